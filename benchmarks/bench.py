"""Runs a case: starts a server and the load against it, each on its core, and ends them both."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, cast

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from benchmarks import output
from benchmarks.load import LoadSpec
from benchmarks.machine import Cores, pinned
from benchmarks.measurement import Measurement
from benchmarks.probe import Probe
from benchmarks.servers.feed import PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import TaskID

    from benchmarks.targets import Target

_RUNNING: Final = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
_LAG: Final = re.compile(r'^hub_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_TIMEOUT: Final = 20.0
_TAIL: Final = 30
_ROOT: Final = Path(__file__).parent.parent


class BenchError(Exception):
    """A measurement could not be made, or what it saw was wrong."""


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement to make: which server, how many clients, how long in whole seconds.

    `compression` says whether the clients offer it. `attack` is the name of an attack that lasts as
    long as the measurement. It is empty for the control: the hub's loop lag is read as under an
    attack, but no attacker runs.
    """

    target: Target
    clients: int
    seconds: int
    stalled: int = 0
    paths: tuple[str, ...] = (PATH,)
    attack: str | None = None
    compression: bool = False


def measure_all(cases: Sequence[Case], cores: Cores) -> list[Measurement]:
    """Measure the cases one after another, with a progress bar on stderr."""
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    # Two refreshes a second: the bar is drawn on the load's core.
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bar:
        task = bar.add_task("", total=len(cases))
        found = []
        for place, case in enumerate(cases):
            bar.update(task, description=f"{case.target.title}, {case.clients:,} clients")
            advance = functools.partial(_advance, bar, task, place)
            found.append(measure(case, cores, advance))
            bar.update(task, completed=place + 1)
    return found


def _advance(bar: Progress, task: TaskID, place: int, share: float) -> None:
    bar.update(task, completed=place + share)


def measure(case: Case, cores: Cores, progress: Callable[[float], None]) -> Measurement:
    """Run a fresh server and a fresh load; return what the load found.

    Raises `BenchError` if either fails, or if the load saw a single wrong frame.
    """
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        try:
            return _measure(case, cores, log, progress)
        except BenchError as error:
            where = f"{case.target.title}, {case.clients:,} clients"
            raise BenchError(f"{where}: {error}\n{_tail(log)}".rstrip()) from error


def _measure(case: Case, cores: Cores, log: Path, progress: Callable[[float], None]) -> Measurement:
    # The server's log goes to a file: a pipe that this process does not read would stop it.
    with (
        log.open("w") as stderr,
        pinned(cores.server),
        child(case.target.command, stderr=stderr) as server,
    ):
        port = _port(server, log)
        paths = list(case.paths)
        load_spec = LoadSpec(
            server.pid, port, paths, case.clients, case.seconds, case.stalled, case.compression
        )
        if case.attack is None:
            return run_load(load_spec, cores, progress)
        return _run_beside_attack(case.attack, load_spec, cores, progress)


@contextlib.contextmanager
def running_hub(*flags: str) -> Iterator[int]:
    """Run the hub on a port that the system chooses, and yield it. Raises `BenchError`."""
    with hub_process(*flags) as (_, port):
        yield port


@contextlib.contextmanager
def hub_process(*flags: str) -> Iterator[tuple[int, int]]:
    """Run the hub as `running_hub` does; yield its process's number and its port."""
    command = (sys.executable, "-m", "hub", "--port", "0", *flags)
    with (
        tempfile.NamedTemporaryFile("w", prefix="hub-log-") as log,
        child(command, stderr=cast("IO[str]", log)) as server,
    ):
        yield server.pid, _port(server, Path(log.name))


def _run_beside_attack(
    name: str, load_spec: LoadSpec, cores: Cores, progress: Callable[[float], None]
) -> Measurement:
    command = ("nice", sys.executable, "-m", "benchmarks.attack", name, str(load_spec.port))
    probe, ends = Probe(load_spec.port), "{}"
    if not name:
        with probe:
            found = run_load(load_spec, cores, progress)
    else:
        with pinned(cores.load), child(command, stdout=subprocess.PIPE) as attacker:
            with probe:
                found = run_load(load_spec, cores, progress)
            attacker.terminate()
            ends, _ = attacker.communicate(timeout=_TIMEOUT)
    return replace(
        found,
        ends=json.loads(ends),
        loop_lag_ms=_worst_lag(load_spec.port),
        livez_p99_ms=probe.p99_ms,
    )


def _worst_lag(port: int) -> float:
    """Return the smallest bound in ms that covers all samples of the hub's loop-lag histogram."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        metrics = answer.read().decode()
    buckets = [(float(bound), float(count)) for bound, count in _LAG.findall(metrics)]
    return 1e3 * min(bound for bound, count in buckets if count == buckets[-1][1])


def run_load(
    load_spec: LoadSpec, cores: Cores, progress: Callable[[float], None] = lambda _: None
) -> Measurement:
    """Run a fresh load against a server; return what it found. Raises `BenchError`."""
    command = (sys.executable, "-m", "benchmarks.load")
    with (
        pinned(cores.load),
        child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load,
    ):
        reply, answers = _pipes(load)
        with reply:
            reply.write(json.dumps(asdict(load_spec)))
        for line in answers:
            answer: dict[str, Any] = json.loads(line)
            if "share" in answer:
                progress(answer["share"])
            elif "found" in answer:
                return Measurement(**answer["found"])
            else:
                raise BenchError(answer["failure"])
    raise BenchError("the load generator ended without a result")


def _pipes(load: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if load.stdin is None or load.stdout is None:
        raise BenchError("the load generator has no pipes")
    return load.stdin, load.stdout


@contextlib.contextmanager
def child(
    command: tuple[str, ...],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and end it however the block ends.

    Its own process group keeps a Ctrl-C from reaching it first: it is ended from here.
    """
    with subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=stderr, text=True, cwd=_ROOT, process_group=0
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()


def _port(server: subprocess.Popen[str], log: Path) -> int:
    """Wait until the server has logged its port; raises `BenchError` if it does not in time."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        if found := _RUNNING.search(log.read_text()):
            return int(found[1])
        time.sleep(0.02)
    raise BenchError("the server ended or did not start in time")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-_TAIL:])


def report_to(directory: Path, name: str, make: Callable[[], str]) -> int:
    """Make a report, write and print it; return the process's exit status."""
    end_on_sigterm()
    try:
        report = make()
    except BenchError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    output.write(directory, {name: report})
    print(report)
    return 0


def end_on_sigterm() -> None:
    """Have SIGTERM unwind the stack as Ctrl-C does, so that no child outlives this process."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
