"""What the service itself takes of the machine that it measures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

if sys.platform != "win32":
    import resource

__all__ = ["OwnProcess", "ProcessTotals", "count_descriptors", "process_totals"]


class OwnProcess:
    """Measures the process that it runs in, also after that has forked into another.

    Args:
        lag: returns by how many seconds the event loop was late of late, at the worst; called in
            the thread that collects.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, lag: Callable[[], float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lag = lag
        self._clock = clock
        self._process: psutil.Process | None = None  # none before it is first asked for
        # The last reading that succeeded: when, and the processor time used until then.
        self._time = 0.0
        self._seconds = 0.0

    def prime(self) -> None:
        """Take a first reading of the processor time."""
        self._seconds, self._time = _processor_seconds(self._own()), self._clock()

    def collect(self) -> dict[str, float]:
        """Return what the process takes now, and of the processors since the last reading.

        ``rss_bytes`` is memory that is resident, ``cpu`` percent of one processor, ``threads`` and
        ``descriptors`` (on Windows handles) how many there are, ``loop_lag_seconds`` what ``lag``
        returns.

        Raises:
            RuntimeError: no time has passed since the last reading.
        """
        process = self._own()
        with process.oneshot():
            seconds, now = _processor_seconds(process), self._clock()
            if now <= self._time:
                raise RuntimeError("no time has passed since the last reading")
            found = {
                "rss_bytes": process.memory_info().rss,
                "cpu": max(100 * (seconds - self._seconds) / (now - self._time), 0.0),
                "threads": process.num_threads(),
                "descriptors": count_descriptors(process),
                "loop_lag_seconds": self._lag(),
            }
        self._seconds, self._time = seconds, now
        return found

    def _own(self) -> psutil.Process:
        """Return the process that this code runs in; after a fork, one that has used nothing."""
        if self._process is None or self._process.pid != os.getpid():
            self._process = psutil.Process()
            self._seconds = 0.0
        return self._process


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


def process_totals() -> ProcessTotals:
    """Return the totals of the process that this code runs in.

    Raises:
        OSError: the system does not tell them, for instance as no descriptor is left to ask it.
    """
    try:
        process = psutil.Process()
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
    except psutil.Error as error:
        raise OSError(f"the process cannot be read: {error}") from error


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
