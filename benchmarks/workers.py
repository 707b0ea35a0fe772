"""Measures what several workers gain, and what they cost: `python -m benchmarks.workers`.

The workers have all cores, so the load must take none while they send: its clients read only
between two ticks, and the kernel tells when each message came (SO_TIMESTAMPNS). On loopback that is
when it was written.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
import statistics
import struct
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import orjson
import psutil

from benchmarks import machine, output
from benchmarks.bench import BenchError, end_on_sigterm, hub_process, report_to
from benchmarks.clients import Clients
from benchmarks.meter import Meter
from benchmarks.report import table
from benchmarks.wire import PING, TEXT, pong_frame, read_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TIMESTAMPS: Final = 35  # SO_TIMESTAMPNS, which Python does not name
_STAMP: Final = struct.Struct("qq")
_PATH: Final = "/api/system/metrics?metrics=cpu,memory,disk,process&seq=true"
_IN_FLIGHT: Final = 512
_READ_AFTER: Final = 0.6  # seconds after a tick, when all has been sent
_CLIENTS: Final = re.compile(r'^hub_worker_clients\{worker="\d+"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """What one run found.

    Attributes:
        workers: how many workers served.
        clients: how many clients there were.
        cpu_us: processor time of all processes for each message received, in microseconds.
        last_ms: from the sample to the last client's message, the median over the ticks, in ms.
        rss_mib: resident memory of all processes.
        sampling_ms: processor time of the process that samples for each tick, in ms; with one
            worker it is the same that serves, and so not known.
        spread: the most clients that a worker has, over the mean.
    """

    workers: int
    clients: int
    cpu_us: float
    last_ms: float
    rss_mib: float
    sampling_ms: float | None
    spread: float


class Processes:
    """All processes of a hub."""

    def __init__(self, pid: int) -> None:
        found = psutil.Process(pid)
        self._meters = [Meter(one.pid) for one in (found, *found.children())]

    def cpu_seconds(self) -> list[float]:
        """Return the processor time of each so far, of the first one first."""
        return [meter.cpu_seconds() for meter in self._meters]

    def resident_mib(self) -> float:
        """Return their resident memory."""
        return sum(meter.resident_bytes() for meter in self._meters) / 2**20


class Readers:
    """Clients that read only when told to."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)

    def drop(self) -> None:
        """Read whatever has come, and forget it."""
        for one in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while one.recv(65536):
                    pass

    def read(self) -> float:
        """Read what must be one message, the same for all; return the last one's delay in seconds.

        Raises:
            BenchError: a client has none, or another one.
        """
        messages: set[bytes] = set()
        last = 0.0
        for one in self._sockets:
            data, ancillary, _, _ = one.recvmsg(65536, 64)
            seconds, nanoseconds = _STAMP.unpack(ancillary[0][2][: _STAMP.size])
            last = max(last, seconds + nanoseconds / 1e9)
            messages.add(_message(one, data))
        if len(messages) != 1:
            raise BenchError(f"clients got {len(messages)} different messages in one tick")
        return last - _stamp(*messages)


def _message(client: socket.socket, data: bytes) -> bytes:
    """Return the one message among a client's frames, and answer its pings."""
    if (
        len(data) > 4
        and data[0] == TEXT
        and (frame := read_frame(data))
        and frame.size == len(data)
    ):
        return frame.payload
    messages = []
    while data and (frame := read_frame(data)) is not None:
        if frame.head == PING:
            client.send(pong_frame(frame.payload))
        elif frame.head == TEXT:
            messages.append(frame.payload)
        data = data[frame.size :]
    if data or len(messages) != 1:
        raise BenchError(f"a tick brought {len(messages)} messages to a client")
    return messages[0]


def _stamp(payload: bytes) -> float:
    return datetime.fromisoformat(orjson.loads(payload)["timestamp"]).timestamp()


def measure(workers: int, clients: int, ticks: int) -> Found:
    """Run a fresh hub with so many workers and clients. Raises `BenchError`."""
    with (
        hub_process("--no-access-log", "--workers", str(workers)) as (pid, port),
        Clients(port, [_PATH]) as crowd,
    ):
        crowd.open(clients, _IN_FLIGHT)
        latest = _latest(crowd)
        readers, processes = Readers(crowd.release()), Processes(pid)
        time.sleep((latest + _READ_AFTER - time.time()) % 1.0)
        readers.drop()
        before, begun = processes.cpu_seconds(), time.monotonic()
        delays = []
        for tick in range(1, ticks + 1):
            time.sleep(max(0.0, begun + tick - time.monotonic()))
            delays.append(readers.read())
        after = processes.cpu_seconds()
        used = [now - then for now, then in zip(after, before, strict=True)]
        return Found(
            workers=workers,
            clients=clients,
            cpu_us=sum(used) / (ticks * clients) * 1e6,
            last_ms=statistics.median(delays) * 1e3,
            rss_mib=processes.resident_mib(),
            sampling_ms=used[0] / ticks * 1e3 if workers > 1 else None,
            spread=_spread(port, workers),
        )


def _latest(crowd: Clients) -> float:
    """Return when the latest sample was taken, once all clients have had some."""
    crowd.run(time.time() + 2.5)
    return max(tick.stamp for tick in crowd.ticks.values())


def _spread(port: int, workers: int) -> float:
    if workers == 1:
        return 1.0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        counts = [float(count) for count in _CLIENTS.findall(answer.read().decode())]
    return max(counts) / statistics.mean(counts)


def _median(several: Sequence[Found]) -> Found:
    """Return what lies in the middle of several runs, figure by figure."""

    def middle(name: str) -> float:
        return statistics.median(float(getattr(one, name)) for one in several)

    known = [one.sampling_ms for one in several if one.sampling_ms is not None]
    return replace(
        several[0],
        cpu_us=middle("cpu_us"),
        last_ms=middle("last_ms"),
        rss_mib=middle("rss_mib"),
        sampling_ms=statistics.median(known) if known else None,
        spread=middle("spread"),
    )


def _lines(rounds: Sequence[Found]) -> Iterator[tuple[str, ...]]:
    for clients in sorted({one.clients for one in rounds}):
        alone: Found | None = None
        for workers in sorted({one.workers for one in rounds}):
            runs = [one for one in rounds if (one.clients, one.workers) == (clients, workers)]
            found = _median(runs)
            alone = alone or found
            yield (
                f"{clients:,}",
                str(workers),
                f"{found.cpu_us:.2f}",
                f"{found.cpu_us / alone.cpu_us:.2f}",
                f"{found.last_ms:.1f}",
                f"{found.last_ms / alone.last_ms:.2f}",
                f"{found.rss_mib:.0f}",
                "" if found.sampling_ms is None else f"{found.sampling_ms:.2f}",
                f"{found.spread:.3f}",
            )


def render(rounds: Sequence[Found], environment: Sequence[str]) -> str:
    """Write a report in Markdown."""
    head = (
        "clients", "workers", "CPU µs per message", "ratio", "tick to last message, ms", "ratio",
        "memory MiB", "sampling process, ms per tick", "most clients / mean",
    )  # fmt: skip
    parts = (
        "# Workers",
        "All processes of the hub together; medians of the rounds, and ratios to one worker. "
        "`benchmarks/README.md` says how they are taken.",
        "\n".join(table(head, list(_lines(rounds)))),
        "\n".join(f"- {line}" for line in environment),
    )
    return "\n\n".join(parts) + "\n"


def _run(options: argparse.Namespace) -> str:
    most = machine.raise_descriptor_limit()
    counts = machine.fitting(options.clients, most)
    rounds = []
    for number in range(options.rounds):
        for clients in counts:
            for workers in options.workers:
                rounds.append(measure(workers, clients, options.seconds))
                print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr)
    return render(rounds, machine.describe(machine.Cores.split()))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--clients", type=_numbers, default=(9000,), metavar="N,…")
    parser.add_argument("--workers", type=_numbers, default=(1, 2), metavar="N,…")
    parser.add_argument("--rounds", type=int, default=3, help="of all cases (default: 3)")
    parser.add_argument("--seconds", type=int, default=7, help="ticks of a case (default: 7)")
    output.add_flags(parser)
    options = parser.parse_args(arguments)
    end_on_sigterm()
    return report_to(options.output, "workers.md", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
