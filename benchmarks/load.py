"""The load generator: a process that holds the clients of one server and measures them.

It reads a `LoadSpec` as JSON from standard input, and writes lines of JSON to standard output:
its progress, and at last its measurement or why it failed.
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

from benchmarks.clients import Clients, LostClientsError, Tick
from benchmarks.measurement import Measurement, percentile
from benchmarks.meter import Meter, busy_seconds
from benchmarks.wire import WrongBytesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_IN_FLIGHT: Final = 512
_GRACE: Final = 3.0
# The kernel raises it to its minimum, 2,304 bytes, which this feed fills in about 11 s. With 4 KiB
# that takes a minute, in which the server cannot tell a stalled client from a healthy one.
_SMALL_BUFFER: Final = 1024


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """What the load generator does.

    Attributes:
        pid: the server's process, whose CPU time and memory are measured.
        port: the server's port on 127.0.0.1.
        paths: request paths of the feed; the clients take them in turn.
        clients: how many clients read all they are sent.
        seconds: length of the measured window.
        stalled: how many further clients stop reading after their handshake.
        compression: whether the clients offer compression, and insist on it.
    """

    pid: int
    port: int
    paths: list[str]
    clients: int
    seconds: int
    stalled: int = 0
    compression: bool = False


@dataclass(frozen=True, slots=True)
class _Usage:
    """CPU seconds of the server, the load and the whole machine, at one moment."""

    server: float
    load: float
    machine: float

    @property
    def others(self) -> float:
        """What processes other than server and load have used."""
        return self.machine - self.server - self.load

    def since(self, before: _Usage) -> _Usage:
        """Return what has been used since an earlier moment."""
        return _Usage(
            self.server - before.server, self.load - before.load, self.machine - before.machine
        )


@final
class _Run:
    """One measurement, from the first connection to the last message owed."""

    def __init__(self, load_spec: LoadSpec, progress: Callable[[float], None]) -> None:
        self._load_spec = load_spec
        self._progress = progress
        self._server = Meter(load_spec.pid)
        self._load = Meter(os.getpid())

    def measure(self) -> Measurement:
        """Connect, wait for quiet, measure the window, and let late messages arrive."""
        load_spec = self._load_spec
        self._warm()
        resident, descriptors = self._server.resident_bytes(), self._server.descriptors()
        with self._new_clients(_SMALL_BUFFER) as stalled, self._new_clients() as clients:
            stalled.open(load_spec.stalled, _IN_FLIGHT)
            rate = load_spec.clients / clients.open(load_spec.clients, _IN_FLIGHT)
            start = self._settle(clients)
            settled = self._server.resident_bytes()
            resident = settled - resident
            before = self._usage()
            self._watch(clients, start)
            used = self._usage().since(before)
            window = _Window(start, start + load_spec.seconds, clients.ticks)
            owed = load_spec.clients * load_spec.seconds
            clients.run(window.end + _GRACE, enough=lambda: window.received() >= owed)
            held = self._server.descriptors() - descriptors - (load_spec.clients - clients.lost)
            p50, p99, most = window.lags()
            return Measurement(
                clients=load_spec.clients,
                stalled=load_spec.stalled,
                frames=window.frames(),
                cpu_us=used.server / window.frames() * 1e6,
                load_us=used.load / window.frames() * 1e6,
                others=max(0.0, used.others / load_spec.seconds),
                lag_p50_ms=p50,
                lag_p99_ms=p99,
                lag_max_ms=most,
                rss_kib=resident / 1024 / (load_spec.clients + load_spec.stalled),
                grown_mib=(self._server.resident_bytes() - settled) / 2**20,
                handshakes=rate,
                drops=max(0, owed - window.received()),
                lost=clients.lost,
                failed=window.failed(),
                cut=min(load_spec.stalled, max(0, load_spec.stalled - held)),
                frame_bytes=window.bytes() / window.frames(),
            )

    def _new_clients(self, receive_buffer: int | None = None) -> Clients:
        spec = self._load_spec
        return Clients(spec.port, spec.paths, receive_buffer, compression=spec.compression)

    def _usage(self) -> _Usage:
        return _Usage(self._server.cpu_seconds(), self._load.cpu_seconds(), busy_seconds())

    def _warm(self) -> None:
        """Have the server import what its first client needs, so that no figure includes it."""
        with self._new_clients() as first:
            first.open(1, 1)
            first.run(time.time() + 5, enough=lambda: bool(first.ticks))
            held = self._server.descriptors()
        deadline = time.monotonic() + 2
        while self._server.descriptors() >= held and time.monotonic() < deadline:
            time.sleep(0.01)

    def _settle(self, clients: Clients) -> float:
        """Return the start of the window: shortly before a tick, when the server is quiet."""
        clients.run(time.time() + 5, enough=lambda: bool(clients.ticks))
        if not clients.ticks:
            raise LostClientsError("no message came within 5 s")
        quiet = time.time() + 0.6
        latest = max(tick.stamp for tick in clients.ticks.values())
        start = latest + 0.9 + max(0, math.ceil(quiet - latest - 0.9))
        clients.run(start)
        return start

    def _watch(self, clients: Clients, start: float) -> None:
        for second in range(self._load_spec.seconds):
            clients.run(start + second + 1)
            self._progress((second + 1) / self._load_spec.seconds)


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
        arrived = sum(map(self._arrived, self._all.values()))
        if not arrived:
            raise LostClientsError("no message came within the window")
        return arrived

    def bytes(self) -> int:
        """Return how many bytes those frames have."""
        return sum(self._arrived(tick) * len(tick.frame) for tick in self._all.values())

    def _arrived(self, tick: Tick) -> int:
        return sum(self._start <= moment < self.end for moment in tick.arrivals)

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
    """Run the load that standard input specifies; return the process's exit status."""
    load_spec = LoadSpec(**json.load(sys.stdin))
    gc.disable()
    try:
        measurement = _Run(load_spec, lambda share: _write(share=share)).measure()
    except (WrongBytesError, LostClientsError, OSError) as error:
        _write(failure=f"{type(error).__name__}: {error}")
        return 1
    _write(found=asdict(measurement))
    return 0


if __name__ == "__main__":
    sys.exit(main())
