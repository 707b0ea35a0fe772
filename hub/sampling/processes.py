"""Which processes of the machine use most of its processors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import islice
from typing import Final

import psutil

__all__ = ["SHOWN", "ProcessTable"]

SHOWN: Final = 10
"""How many processes a table shows."""

_GRAIN: Final = 0.05  # seconds by which the system's account of a processor's time may be off


@dataclass(frozen=True, slots=True)
class _Usage:
    """What a walk found of a process.

    Attributes:
        process: asked for by its number, which may be another's by now.
        seconds: the processor time that it had used.
        known: whether it is taken for the process that had its number at the walk before.
    """

    process: psutil.Process
    seconds: float
    known: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A process that may be shown.

    Attributes:
        usage: what the last walk found.
        used: seconds that it has used since the walk before, if it is what it is taken for.
        most: the same if it is not, as far as that may be: all of its own.
    """

    usage: _Usage
    used: float
    most: float


class ProcessTable:
    """Which processes use the most processor time, from walk to walk.

    It keeps psutil's process objects to itself: those that psutil shares would also share their
    baselines, with other hubs and with the host. Of each process only the times are read; what
    else is shown is read for the few that are shown. The system uses numbers again, and psutil
    reads by number: whether a process is still the one that had its number is asked only of those
    that are shown, or would be if they were new.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The last walk: when, and each process that it could read, by its number.
        self._time = 0.0
        self._usages: dict[int, _Usage] = {}

    def prime(self) -> None:
        """Take a first walk, and forget what was before."""
        self._usages = {}
        self._time, self._usages = self._clock(), dict(self._walk())

    def collect(self) -> list[dict[str, object]]:
        """Walk through all processes; return the busiest since the last walk, busiest first.

        Each has its ``pid``, ``name``, ``cpu`` in percent of one processor and ``memory`` in
        percent of the machine's.
        """
        now, usages = self._clock(), dict(self._walk())
        walk = _Walk(self._usages, usages, self._clock() - self._time)
        elapsed = max(now - self._time, 1e-3)
        self._time, self._usages = now, usages
        return list(islice(walk.busiest(elapsed), SHOWN))

    def _walk(self) -> Iterator[tuple[int, _Usage]]:
        for pid in psutil.pids():
            before = self._usages.get(pid)
            try:
                usage = _new(pid) if before is None else _read(before.process, known=True)
                if before is not None and usage.seconds < before.seconds:  # it is another one
                    usage = _new(pid)
            except psutil.Error:  # gone meanwhile, or not permitted
                continue
            yield pid, usage


class _Walk:
    """What two walks found, and what was used between them.

    Args:
        before: what the first found, by process number.
        after: what the second found; a process that turns out to be another is replaced there.
        seconds: from the begin of the first to the end of the second.
    """

    def __init__(
        self, before: Mapping[int, _Usage], after: dict[int, _Usage], seconds: float
    ) -> None:
        self._before = before
        self._after = after
        # A process that has used more has not begun since the first walk.
        self._possible = (seconds + _GRAIN) * (os.cpu_count() or 1)
        # A heap of candidates, with minus the most that each has used, and its number.
        self._heap: list[tuple[float, int, _Candidate]] = []
        for pid, usage in after.items():
            self._add(pid, usage)

    def busiest(self, elapsed: float) -> Iterator[dict[str, object]]:
        """Describe one process after the other, busiest first, by its use in so many seconds."""
        while self._heap:
            _, pid, candidate = heappop(self._heap)
            process = candidate.usage.process
            is_certain = candidate.most == candidate.used
            try:
                shown = _describe(process, 100 * candidate.used / elapsed) if is_certain else None
                # Asked last, so that all that was read is of one process.
                if not process.is_running():
                    self._renew(pid, candidate.usage)
                elif shown is None:
                    self._push(pid, replace(candidate, most=candidate.used))
                else:
                    yield shown
            except psutil.Error:  # gone meanwhile, or not permitted
                continue

    def _renew(self, pid: int, usage: _Usage) -> None:
        """Have the process that has taken another's number among the candidates in its place."""
        if usage.known:  # else it has only just ended
            self._after[pid] = _new(pid)
            self._add(pid, self._after[pid])

    def _add(self, pid: int, usage: _Usage) -> None:
        """Have a process among the candidates, unless it is not known what it has used."""
        used = self._used(pid, usage)
        if used is not None:
            may_be_new = usage.known and used > 0 and usage.seconds <= self._possible
            self._push(pid, _Candidate(usage, used, usage.seconds if may_be_new else used))

    def _push(self, pid: int, candidate: _Candidate) -> None:
        heappush(self._heap, (-candidate.most, pid, candidate))

    def _used(self, pid: int, usage: _Usage) -> float | None:
        """Return what a process has used since the first walk: a new one, all of its own."""
        if not usage.known and usage.seconds <= self._possible:
            return usage.seconds
        before = self._before.get(pid)
        if before is None or usage.seconds < before.seconds:  # old, but not seen then
            return None
        return usage.seconds - before.seconds


def _new(pid: int) -> _Usage:
    return _read(psutil.Process(pid), known=False)


def _read(process: psutil.Process, *, known: bool) -> _Usage:
    times = process.cpu_times()
    return _Usage(process, times.user + times.system, known)


def _describe(process: psutil.Process, share: float) -> dict[str, object]:
    with process.oneshot():
        name, memory = process.name(), process.memory_percent("rss")
    memory = min(100.0, max(0.0, memory))  # psutil's size of the machine may be an old one
    return {"pid": process.pid, "name": name, "cpu": round(share, 1), "memory": round(memory, 2)}
