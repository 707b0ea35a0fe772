"""Measures a hub on a machine with very many interfaces, in a network namespace of its own.

As a process it runs inside the namespace: it reads a `CrowdSpec` as JSON from standard input and
writes what it found to standard output.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

from benchmarks.bench import BenchError, child, run_load
from benchmarks.load import LoadSpec
from benchmarks.machine import Cores, pinned
from benchmarks.measurement import Measurement
from benchmarks.meter import Meter
from benchmarks.servers.feed import PATH
from benchmarks.targets import UnavailableError
from benchmarks.tick import TickCost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_IP: Final = shutil.which("ip") or ""
_HISTORY: Final = f"{PATH}/history?metrics=network&devices=network:*&seconds="
_TIMEOUT: Final = 120.0
_LATE: Final = 10  # how nice those are who ask for the past: the clients are to be in time
_SETTLING: Final = 3.0
_HINT: Final = "at most about "
_TAIL: Final = 2000


@dataclass(frozen=True, slots=True)
class CrowdSpec:
    """What to measure.

    Attributes:
        clients: how many follow the default view.
        seconds: how long their messages are watched, each time.
        askers: how many ask for the largest answer the second time, again and again.
        history_bytes: memory that the hub's past may take.
        ticks: how many ticks are measured.
        pause: seconds between two of them.
    """

    clients: int = 10
    seconds: int = 20
    askers: int = 2
    history_bytes: int = 32 * 2**20
    ticks: int = 200
    pause: float = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request for so many seconds of the past was answered.

    Attributes:
        asked: how many seconds were asked for.
        status: 200, or 400 where the answer would be too large.
        size: its length in bytes.
        rows: how many snapshots it has.
        taken: seconds from the request to its last byte.
        text: the beginning of it.
    """

    asked: int
    status: int
    size: int
    rows: int
    taken: float
    text: str


@dataclass(frozen=True, slots=True)
class Crowd:
    """What was found.

    Attributes:
        tick: what sampling takes.
        snapshots: how many the history holds.
        reach: how many seconds it reaches back.
        estimate: bytes that it takes by its own account.
        idle: resident bytes of the hub before its history was filled.
        filled: the same afterwards.
        peak: the most that it ever was, also while it answered.
        answers: to requests for ever more of the past, and at last for as much as is granted.
        asked: how many times the last was answered while the clients were watched.
        calm: what the clients saw while no client asked for the past.
        busy: what they saw meanwhile.
    """

    tick: TickCost
    snapshots: int
    reach: float
    estimate: int
    idle: int
    filled: int
    peak: int
    answers: tuple[Answer, ...]
    asked: int
    calm: Measurement
    busy: Measurement


def measure_crowd(pairs: int, spec: CrowdSpec) -> Crowd:
    """Measure a hub where there are so many pairs of interfaces.

    Raises `BenchError`, and `UnavailableError` where namespaces cannot be made.
    """
    command = (sys.executable, "-m", "benchmarks.crowd")
    with (
        tempfile.TemporaryFile("w+") as log,
        namespace(pairs) as inside,
        child(
            (*inside, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=cast("IO[str]", log),
        ) as process,
    ):  # fmt: skip
        found, _ = process.communicate(json.dumps(asdict(spec)))
        if process.returncode:
            log.seek(0)
            raise BenchError(f"a hub among many interfaces: {log.read()[-_TAIL:]}")
    return _crowd(json.loads(found))


def _crowd(found: dict[str, Any]) -> Crowd:
    parts = {
        "tick": TickCost(**found["tick"]),
        "answers": tuple(Answer(**one) for one in found["answers"]),
        "calm": Measurement(**found["calm"]),
        "busy": Measurement(**found["busy"]),
    }
    return Crowd(**{**found, **parts})


@contextlib.contextmanager
def namespace(pairs: int) -> Iterator[tuple[str, ...]]:
    """Make a network namespace with so many pairs of interfaces; it is gone afterwards.

    Yields what a command begins with that is to run there. One interface has a default route. None
    of them is physical, so that the hub has to look for the one. Raises `UnavailableError`.
    """
    name = f"bench-{os.getpid()}"
    if not _IP or os.geteuid():
        raise UnavailableError("many interfaces left out: they take root and iproute2")
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        cause = error.stderr.strip()
        raise UnavailableError(f"many interfaces left out: no namespace ({cause})") from None
    try:
        _ip("-n", name, "-batch", "-", lines=_interfaces(pairs))
        yield _IP, "netns", "exec", name
    finally:
        _ip("netns", "del", name)  # and the interfaces with it


def _interfaces(pairs: int) -> Iterator[str]:
    yield "link set lo up"
    for number in range(pairs):
        one, other = f"veth{number}a", f"veth{number}b"
        yield f"link add {one} up type veth peer name {other}"
        yield f"link set {other} up"
    yield "address add 192.0.2.1/24 dev veth0a"
    yield "route add default via 192.0.2.2"


def _ip(*arguments: str, lines: Iterable[str] = ()) -> None:
    subprocess.run(
        (_IP, *arguments), input="\n".join(lines), check=True, capture_output=True, text=True
    )


# Inside the namespace


class _Askers:
    """Threads that ask for the same answer again and again, and let others go first."""

    def __init__(self, port: int, seconds: int, count: int) -> None:
        self.answered = 0
        self._port = port
        self._seconds = seconds
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LATE)
        while not self._over.is_set():
            if ask(self._port, self._seconds).status == http.client.OK:
                self.answered += 1


def ask(port: int, seconds: int) -> Answer:
    """Ask for so many seconds of the past of all interfaces that have a place of their own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    with contextlib.closing(connection):
        begun = time.perf_counter()
        connection.request("GET", f"{_HISTORY}{seconds}")
        answer = connection.getresponse()
        body = answer.read()
        taken = time.perf_counter() - begun
    rows = body.partition(b"]")[0].count(b"+00:00")
    return Answer(seconds, answer.status, len(body), rows, taken, body[:300].decode())


def granted(refused: Answer) -> int:
    """Return how many seconds a refusal says may be asked for."""
    text = refused.text.partition(_HINT)[2]
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    if not digits:
        raise BenchError(f"neither an answer nor a hint: {refused.text}")
    return int(digits)


def _answers(port: int, reach: float) -> list[Answer]:
    answers = [ask(port, seconds) for seconds in (60, 300, 900) if seconds <= reach]
    answers.append(ask(port, 3600))
    if answers[-1].status != http.client.OK:
        answers.append(ask(port, granted(answers[-1])))
    return answers


def _measure(spec: CrowdSpec, cores: Cores) -> Crowd:
    command = (sys.executable, "-m", "benchmarks.servers.crowded", str(spec.history_bytes))
    tick = _tick(spec, cores)
    with pinned(cores.server), child(command, stdout=subprocess.PIPE) as server:
        lines = _output(server)
        port: int = _line(lines)["port"]
        load_spec = LoadSpec(server.pid, port, [PATH], spec.clients, spec.seconds)
        meter = Meter(server.pid)
        os.sched_setaffinity(0, {cores.load})
        ask(port, 60)  # imports what it needs
        time.sleep(_SETTLING)
        idle = meter.resident_bytes()
        server.send_signal(signal.SIGUSR1)
        past = _line(lines)
        filled = meter.resident_bytes()
        answers = _answers(port, past["seconds"])
        calm = run_load(load_spec, cores)
        with _Askers(port, answers[-1].asked, spec.askers) as askers:
            busy = run_load(load_spec, cores)
        peak = meter.peak_bytes()
    return Crowd(
        tick=tick,
        snapshots=past["snapshots"],
        reach=past["seconds"],
        estimate=past["estimate"],
        idle=idle,
        filled=filled,
        peak=peak,
        answers=tuple(answers),
        asked=askers.answered,
        calm=calm,
        busy=busy,
    )


def _tick(spec: CrowdSpec, cores: Cores) -> TickCost:
    command = (sys.executable, "-m", "benchmarks.tick", str(spec.ticks), str(spec.pause))
    with pinned(cores.server):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return TickCost(**json.loads(done.stdout))


def _output(server: subprocess.Popen[str]) -> IO[str]:
    if server.stdout is None:
        raise BenchError("the server has no pipe")
    return server.stdout


def _line(lines: IO[str]) -> dict[str, Any]:
    line = lines.readline()
    if not line:
        raise BenchError("the server has ended")
    found: dict[str, Any] = json.loads(line)
    return found


def main() -> int:
    """Measure what standard input says; return the process's exit status."""
    spec = CrowdSpec(**json.load(sys.stdin))
    try:
        found = _measure(spec, Cores.split())
    except BenchError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    json.dump(asdict(found), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
