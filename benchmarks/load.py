"""The load generator: a process that holds the clients of one server and measures them.

It reads one order as JSON from standard input, and writes lines of JSON to standard output:
how far it is, and at last what it found or why it failed.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, final

from benchmarks.crowd import Crowd, LostClientsError, Tick
from benchmarks.measurement import Measurement, percentile
from benchmarks.meter import Meter, busy_seconds
from benchmarks.wire import WrongBytesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_IN_FLIGHT: Final = 512
_GRACE: Final = 3.0
# The kernel makes it its minimum, 2,304 bytes, which this feed fills in about 11 s. With 4 KiB
# it would take a minute, and until then nobody could tell a stalled client from a quiet one.
_SMALL_BUFFER: Final = 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure: the server, `seconds` of window, and how many clients read or stall."""

    pid: int
    port: int
    paths: list[str]
    clients: int
    seconds: int
    stalled: int = 0


@dataclass(frozen=True, slots=True)
class _Usage:
    """CPU seconds of the server, the load and the whole machine, at one moment."""

    server: float
    load: float
    machine: float

    @property
    def others(self) -> float:
        """What neither of the two has used."""
        return self.machine - self.server - self.load

    def since(self, before: _Usage) -> _Usage:
        """Return what has been used since an earlier moment."""
        return _Usage(
            self.server - before.server, self.load - before.load, self.machine - before.machine
        )


@final
class _Run:
    """One measurement, from the first connection to the last message owed."""

    def __init__(self, order: Order, progress: Callable[[float], None]) -> None:
        self._order = order
        self._progress = progress
        self._server = Meter(order.pid)
        self._load = Meter(os.getpid())

    def measure(self) -> Measurement:
        """Connect, wait for quiet, measure the window, and let late messages arrive."""
        order = self._order
        self._warm()
        resident, descriptors = self._server.resident_bytes(), self._server.descriptors()
        with self._crowd(_SMALL_BUFFER) as stalled, self._crowd() as crowd:
            stalled.open(order.stalled, _IN_FLIGHT)
            rate = order.clients / crowd.open(order.clients, _IN_FLIGHT)
            start = self._settle(crowd)
            settled = self._server.resident_bytes()
            resident = settled - resident
            before = self._usage()
            self._watch(crowd, start)
            used = self._usage().since(before)
            window = _Window(start, start + order.seconds, crowd.ticks)
            owed = order.clients * order.seconds
            crowd.run(window.end + _GRACE, enough=lambda: window.received() >= owed)
            held = self._server.descriptors() - descriptors - (order.clients - crowd.lost)
            p50, p99, most = window.lags()
            return Measurement(
                clients=order.clients,
                stalled=order.stalled,
                frames=window.frames(),
                cpu_us=used.server / window.frames() * 1e6,
                load_us=used.load / window.frames() * 1e6,
                others=max(0.0, used.others / order.seconds),
                lag_p50_ms=p50,
                lag_p99_ms=p99,
                lag_max_ms=most,
                rss_kib=resident / 1024 / (order.clients + order.stalled),
                grown_mib=(self._server.resident_bytes() - settled) / 2**20,
                handshakes=rate,
                drops=max(0, owed - window.received()),
                lost=crowd.lost,
                failed=window.failed(),
                cut=min(order.stalled, max(0, order.stalled - held)),
            )

    def _crowd(self, receive_buffer: int | None = None) -> Crowd:
        return Crowd(self._order.port, self._order.paths, receive_buffer)

    def _usage(self) -> _Usage:
        return _Usage(self._server.cpu_seconds(), self._load.cpu_seconds(), busy_seconds())

    def _warm(self) -> None:
        """Let the server load whatever its first client needs, so that nobody is billed for it."""
        with self._crowd() as first:
            first.open(1, 1)
            first.run(time.time() + 5, enough=lambda: bool(first.ticks))
            held = self._server.descriptors()
        deadline = time.monotonic() + 2
        while self._server.descriptors() >= held and time.monotonic() < deadline:
            time.sleep(0.01)

    def _settle(self, crowd: Crowd) -> float:
        """Return the start of the window: shortly before a tick, when the server is quiet."""
        crowd.run(time.time() + 5, enough=lambda: bool(crowd.ticks))
        if not crowd.ticks:
            raise LostClientsError("no message came within 5 s")
        quiet = time.time() + 0.6
        latest = max(tick.stamp for tick in crowd.ticks.values())
        start = latest + 0.9 + max(0, math.ceil(quiet - latest - 0.9))
        crowd.run(start)
        return start

    def _watch(self, crowd: Crowd, start: float) -> None:
        for second in range(self._order.seconds):
            crowd.run(start + second + 1)
            self._progress((second + 1) / self._order.seconds)


@final
class _Window:
    """The messages sampled within a span of Unix time, and the frames arriving within it."""

    def __init__(self, start: float, end: float, ticks: Mapping[bytes, Tick]) -> None:
        self.end = end
        self._start = start
        self._all = ticks

    def _due(self) -> list[Tick]:
        return [tick for tick in self._all.values() if self._start <= tick.stamp < self.end]

    def frames(self) -> int:
        """Return how many frames arrived within the window, whenever they were due."""
        arrived = sum(
            self._start <= moment < self.end
            for tick in self._all.values()
            for moment in tick.arrivals
        )
        if not arrived:
            raise LostClientsError("no message came within the window")
        return arrived

    def received(self) -> int:
        """Return how many copies of the window's messages arrived, late ones included."""
        return sum(len(tick.arrivals) for tick in self._due())

    def failed(self) -> int:
        """Return how many of the window's messages were error messages."""
        return sum(tick.failed for tick in self._due())

    def lags(self) -> tuple[float, float, float]:
        """Return the time from a message's sample to its arrivals in ms: p50, p99 and the most."""
        lags = sorted(
            (moment - tick.stamp) * 1e3 for tick in self._due() for moment in tick.arrivals
        )
        return percentile(lags, 0.5), percentile(lags, 0.99), lags[-1]


def _write(**line: object) -> None:
    print(json.dumps(line), flush=True)


def main() -> int:
    """Carry out the order on standard input; return the process's exit status."""
    order = Order(**json.load(sys.stdin))
    gc.disable()
    try:
        measurement = _Run(order, lambda share: _write(share=share)).measure()
    except (WrongBytesError, LostClientsError, OSError) as error:
        _write(failure=f"{type(error).__name__}: {error}")
        return 1
    _write(found=asdict(measurement))
    return 0


if __name__ == "__main__":
    sys.exit(main())
