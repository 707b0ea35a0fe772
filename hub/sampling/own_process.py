"""What the service itself takes of the machine that it measures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

if sys.platform != "win32":
    import resource

__all__ = ["OwnProcess", "ProcessTotals", "count_descriptors", "process_totals"]


class OwnProcess:
    """Measures the process that it runs in, also after that has forked, and others of its service.

    Args:
        lag: returns by how many seconds the event loop was late of late, at the worst; called in
            the thread that collects.
        others: returns the numbers of the service's other processes; called in the same thread.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        lag: Callable[[], float],
        others: Callable[[], Collection[int]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lag = lag
        self._others = others
        self._clock = clock
        self._processes: Mapping[int, psutil.Process] = {}  # those of the last reading
        # The last reading that succeeded: when, and the processor time that each had used by then.
        self._time = 0.0
        self._seconds: Mapping[int, float] = {}

    def prime(self) -> None:
        """Take a first reading of the processor time."""
        self._processes = self._present()
        self._seconds = {pid: found.seconds for pid, found in self._read().items()}
        self._time = self._clock()

    def collect(self) -> dict[str, float]:
        """Return what the processes take now, and of the processors since the last reading.

        ``rss_bytes`` is memory that is resident, ``cpu`` percent of one processor, ``threads`` and
        ``descriptors`` (on Windows handles) how many there are, ``loop_lag_seconds`` what ``lag``
        returns. One that has ended meanwhile is left out, unless it is the own.

        Raises:
            RuntimeError: no time has passed since the last reading.
        """
        self._processes = self._present()
        found, now = self._read(), self._clock()
        if now <= self._time:
            raise RuntimeError("no time has passed since the last reading")
        used = (one.seconds - self._seconds.get(pid, 0.0) for pid, one in found.items())
        cpu = 100 * sum(max(one, 0.0) for one in used) / (now - self._time)
        self._seconds = {pid: one.seconds for pid, one in found.items()}
        self._time = now
        return {
            "rss_bytes": sum(one.rss for one in found.values()),
            "cpu": cpu,
            "threads": sum(one.threads for one in found.values()),
            "descriptors": sum(one.descriptors for one in found.values()),
            "loop_lag_seconds": self._lag(),
        }

    def _present(self) -> dict[int, psutil.Process]:
        """Return the own process and the others; one that is new has used nothing before."""
        own = os.getpid()
        known = self._processes
        found = {own: known.get(own) or psutil.Process()}
        for pid in self._others():
            with suppress(psutil.NoSuchProcess):
                found[pid] = known.get(pid) or psutil.Process(pid)
        return found

    def _read(self) -> dict[int, _Reading]:
        found: dict[int, _Reading] = {}
        for pid, process in self._processes.items():
            try:
                found[pid] = _reading(process)
            except psutil.NoSuchProcess:
                if pid == os.getpid():
                    raise
        return found


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one process takes; processor time in seconds, memory in bytes."""

    rss: int
    seconds: float
    threads: int
    descriptors: int


def _reading(process: psutil.Process) -> _Reading:
    with process.oneshot():
        return _Reading(
            rss=process.memory_info().rss,
            seconds=_processor_seconds(process),
            threads=process.num_threads(),
            descriptors=count_descriptors(process),
        )


@dataclass(frozen=True, slots=True)
class ProcessTotals:
    """What a process has used since it was started, and what it has now.

    Attributes:
        start_time: when it was started, in seconds since the Unix epoch.
        cpu_seconds: processor time, its own and the system's on its behalf.
        rss_bytes: memory that is resident.
        virtual_bytes: memory that it has mapped.
        descriptors: files, sockets and so on that are open; on Windows handles.
        max_descriptors: how many there may be; None where there is no such limit.
    """

    start_time: float
    cpu_seconds: float
    rss_bytes: int
    virtual_bytes: int
    descriptors: int
    max_descriptors: int | None

    def __add__(self, other: ProcessTotals) -> ProcessTotals:
        """Return what both take; they count from when the first was started."""
        most = (self.max_descriptors, other.max_descriptors)
        return ProcessTotals(
            start_time=min(self.start_time, other.start_time),
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            rss_bytes=self.rss_bytes + other.rss_bytes,
            virtual_bytes=self.virtual_bytes + other.virtual_bytes,
            descriptors=self.descriptors + other.descriptors,
            max_descriptors=None if None in most else sum(one or 0 for one in most),
        )


def process_totals(others: Iterable[int] = ()) -> ProcessTotals:
    """Return the totals of the process that this code runs in, and of others of its service.

    Of those that have ended by now there are none.

    Raises:
        OSError: the system does not tell them, for instance as no descriptor is left to ask it.
    """
    try:
        totals = _totals(psutil.Process())
        for pid in others:
            with suppress(psutil.NoSuchProcess):
                totals += _totals(psutil.Process(pid))
    except psutil.Error as error:
        raise OSError(f"the process cannot be read: {error}") from error
    return totals


def _totals(process: psutil.Process) -> ProcessTotals:
    with process.oneshot():
        memory = process.memory_info()
        return ProcessTotals(
            start_time=process.create_time(),
            cpu_seconds=_processor_seconds(process),
            rss_bytes=memory.rss,
            virtual_bytes=memory.vms,
            descriptors=count_descriptors(process),
            max_descriptors=_max_descriptors(),
        )


def count_descriptors(process: psutil.Process, root: Path = Path("/")) -> int:
    """Return how many files, sockets and so on a process has open; on Windows handles.

    A list of them would take a millisecond for every two thousand. Since Linux 6.2 the directory
    that has them tells their number as its size; before, that was 0.

    Args:
        process: the one in question.
        root: where ``/proc`` is found.
    """
    if sys.platform == "win32":
        return process.num_handles()
    try:
        size = (root / "proc" / str(process.pid) / "fd").stat().st_size
    except OSError:  # no Linux
        size = 0
    return size or process.num_fds()


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _max_descriptors() -> int | None:
    if sys.platform != "win32":
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY:
            return limit
    return None
