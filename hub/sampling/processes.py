"""Which processes of the machine use most of its processors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

__all__ = ["SHOWN", "ProcessTable"]

SHOWN: Final = 10
"""How many processes a table shows."""


@dataclass(frozen=True, slots=True)
class _Usage:
    """A process, and the processor time in seconds that it had used at a walk."""

    process: psutil.Process
    seconds: float


class ProcessTable:
    """Which processes use the most processor time, from walk to walk.

    It keeps psutil's process objects to itself: those that psutil shares would also share their
    baselines, with other hubs and with the host. Of each process only the times are read; what
    else is shown is read for the few that are shown.

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
        """Walk through all processes; return the busiest since the last walk, busiest first."""
        now, usages = self._clock(), dict(self._walk())
        elapsed = max(now - self._time, 1e-3)
        shares = [
            (100 * self._since(pid, usage) / elapsed, -pid, usage.process)
            for pid, usage in usages.items()
        ]
        self._time, self._usages = now, usages
        shares.sort(key=lambda share: share[:2], reverse=True)
        return list(_top(shares))

    def _walk(self) -> Iterator[tuple[int, _Usage]]:
        for pid in psutil.pids():
            known = self._usages.get(pid)
            try:
                process = psutil.Process(pid) if known is None else known.process
                times = process.cpu_times()
            except psutil.Error:  # gone meanwhile, or not permitted
                continue
            yield pid, _Usage(process, times.user + times.system)

    def _since(self, pid: int, usage: _Usage) -> float:
        """Return the seconds used since the last walk: all of its own for a new process."""
        before = self._usages.get(pid)
        if before is None or usage.seconds < before.seconds:
            return usage.seconds
        return usage.seconds - before.seconds


def _top(shares: Sequence[tuple[float, int, psutil.Process]]) -> Iterator[dict[str, object]]:
    """Describe the first few that are still what they were: the system reuses process numbers."""
    shown = 0
    for share, _, process in shares:
        if shown == SHOWN:
            return
        try:
            if not process.is_running():
                continue
            with process.oneshot():
                name, memory = process.name(), process.memory_percent("rss")
        except psutil.Error:
            continue
        shown += 1
        yield {"pid": process.pid, "name": name, "cpu": round(share, 1), "memory": round(memory, 2)}
