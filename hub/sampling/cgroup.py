"""What control groups of Linux allow this process, and what is used of that.

Both versions are read. What their files mean is told by Linux, in
Documentation/admin-guide/cgroup-v2.rst and Documentation/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from hub.sampling.hierarchy import UNIFIED, Hierarchy, find_hierarchies

__all__ = ["ControlGroup", "CpuBound", "CpuGroup", "MemoryBound", "MemoryGroup", "Throttling"]

_NUMBER: Final = re.compile(r"[0-9]{1,20}")  # Linux counts in 64 bits


@dataclass(frozen=True, slots=True)
class Throttling:
    """How many periods a group has run in, and in how many of them its limit held it up."""

    periods: int
    throttled: int


class CpuGroup(Protocol):
    """A group whose processes share a limit of processor time. Equal ones are the same group."""

    def limit_cores(self) -> float | None:
        """Return how many processors' time it may have; None without a limit."""
        ...

    def used_seconds(self) -> float:
        """Return the processor time that it has had so far, in seconds.

        Raises:
            RuntimeError: the kernel does not count it.
        """
        ...

    def throttling(self) -> Throttling | None:
        """Return how often it was held up so far; None where the kernel does not count that."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A group whose processes share a limit of memory. Equal ones are the same group."""

    path: Path
    files: _MemoryFiles
    killed_in: tuple[Path, ...]  # the groups whose kills are counted

    def limit_bytes(self) -> int | None:
        """Return how much it may have, which may be more than there is; None without a limit."""
        path = self.path / self.files.limit
        text = _read_if_there(path)
        return None if text is None or text == "max" else _number(text, path)

    def used_bytes(self) -> int:
        """Return its working set: what it uses, less file pages that can be dropped at once.

        Where the pages are not counted by their kind, it is all that it uses.
        """
        path = self.path / self.files.usage
        inactive = _entry(self.path / "memory.stat", self.files.inactive) or 0
        return max(0, _number(_read(path), path) - inactive)

    def oom_kills(self) -> int | None:
        """Return how many processes were killed for want of memory; None where that is not counted.

        Version 2 counts all that were in the group or below. Version 1 counts each group's by
        itself: then it is those of our groups, from the innermost up to this one.
        """
        kills = [_entry(path / self.files.events, "oom_kill") for path in self.killed_in]
        counted = [kill for kill in kills if kill is not None]
        return sum(counted) if counted else None


@dataclass(frozen=True, slots=True)
class CpuBound:
    """The group with the tightest limit, in cores; without any limit our innermost group."""

    group: CpuGroup
    limit: float | None


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """The group with the tightest limit, in bytes; without any limit our innermost group."""

    group: MemoryGroup
    limit: int | None


class ControlGroup:
    """The control group of this process, as far as it can be seen from here.

    Where its files lie is found once; limits are read anew at every use, since they may be changed
    at any time. A limit may be set for any group on the way up; the tightest holds. On other
    systems, and where nothing can be seen, there is no group.

    Reading raises ``RuntimeError`` for a file that holds what Linux never writes, and ``OSError``
    for one that cannot be read. One that is not there sets no limit.

    Args:
        total_memory: returns the machine's memory, in bytes. What is not below it is no limit.
        root: where ``/proc`` and the mounted hierarchies are found.
    """

    def __init__(self, total_memory: Callable[[], int], root: Path = Path("/")) -> None:
        self.total_memory = total_memory
        hierarchies = find_hierarchies(root)
        # Our innermost group that has such files, then those around it.
        self._cpu = _legacy_cpu(hierarchies) or _unified_cpu(hierarchies)
        self._memory = _legacy_memory(hierarchies) or _unified_memory(hierarchies)

    @property
    def found(self) -> bool:
        """Whether there is any group, be it with a limit or without."""
        return bool(self._cpu or self._memory)

    def cpu_limit(self) -> float | None:
        """Return how many processors' time we may have now; None without a limit."""
        bound = self.cpu()
        return None if bound is None else bound.limit

    def memory_limit(self) -> int | None:
        """Return how many bytes we may have now; None without a limit."""
        bound = self.memory()
        return None if bound is None else bound.limit

    def cpu(self) -> CpuBound | None:
        """Return what bounds our processor time now; None without any group."""
        return _tightest([CpuBound(group, group.limit_cores()) for group in self._cpu])

    def memory(self) -> MemoryBound | None:
        """Return what bounds our memory now; None without any group."""
        bound = _tightest([MemoryBound(group, group.limit_bytes()) for group in self._memory])
        if bound is None or bound.limit is None or bound.limit < self.total_memory():
            return bound
        return MemoryBound(self._memory[0], None)


_Bound = TypeVar("_Bound", CpuBound, MemoryBound)


def _tightest(bounds: Sequence[_Bound]) -> _Bound | None:
    """Return the tightest bound; of equal ones the outermost, which more processes share."""
    limited = [bound for bound in reversed(bounds) if bound.limit is not None]
    return min(limited or bounds, key=_size, default=None)


def _size(bound: CpuBound | MemoryBound) -> float:
    return math.inf if bound.limit is None else bound.limit


# Processor time


@dataclass(frozen=True, slots=True)
class _UnifiedCpuGroup:
    """See ``CpuGroup``; of version 2."""

    path: Path

    def limit_cores(self) -> float | None:
        path = self.path / "cpu.max"
        text = _read_if_there(path)
        if text is None:
            return None
        quota, _, period = text.partition(" ")
        return None if quota == "max" else _cores(_number(quota, path), _number(period, path), path)

    def used_seconds(self) -> float:
        microseconds = _entry(self.path / "cpu.stat", "usage_usec")
        if microseconds is None:
            raise RuntimeError(f"{self.path} does not count processor time")
        return microseconds / 1e6

    def throttling(self) -> Throttling | None:
        return _throttling(self.path / "cpu.stat")


@dataclass(frozen=True, slots=True)
class _LegacyCpuGroup:
    """See ``CpuGroup``; of version 1, which counts time in a hierarchy that may be another."""

    path: Path
    accounting: Path | None  # where the same group's time is counted

    def limit_cores(self) -> float | None:
        path, period_path = self.path / "cpu.cfs_quota_us", self.path / "cpu.cfs_period_us"
        quota, period = _read_if_there(path), _read_if_there(period_path)
        if quota is None or period is None or quota == "-1":
            return None
        return _cores(_number(quota, path), _number(period, period_path), path)

    def used_seconds(self) -> float:
        if self.accounting is None:
            raise RuntimeError(f"{self.path} does not count processor time")
        path = self.accounting / "cpuacct.usage"
        return _number(_read(path), path) / 1e9  # nanoseconds

    def throttling(self) -> Throttling | None:
        return _throttling(self.path / "cpu.stat")


def _legacy_cpu(hierarchies: Mapping[str, Hierarchy]) -> Sequence[CpuGroup]:
    limits, times = hierarchies.get("cpu"), hierarchies.get("cpuacct")
    if limits is None:
        return ()
    return [
        _LegacyCpuGroup(limits.directory(group), times.around(group) if times else None)
        for group in limits.lineage("cpu.cfs_quota_us")
    ]


def _unified_cpu(hierarchies: Mapping[str, Hierarchy]) -> Sequence[CpuGroup]:
    return [_UnifiedCpuGroup(path) for path in _directories(hierarchies.get(UNIFIED), "cpu.stat")]


def _cores(quota: int, period: int, path: Path) -> float:
    """Return how many processors a quota is that may be used up in each period."""
    if quota == 0 or period == 0:
        raise _malformed(f"{quota} in {period}", path)
    return quota / period


def _throttling(path: Path) -> Throttling | None:
    table = _table(path)
    if "nr_periods" not in table or "nr_throttled" not in table:
        return None
    return Throttling(_number(table["nr_periods"], path), _number(table["nr_throttled"], path))


# Memory


@dataclass(frozen=True, slots=True)
class _MemoryFiles:
    """What a version calls a group's files, and the entry for inactive pages of files."""

    limit: str
    usage: str
    events: str
    inactive: str


_UNIFIED_MEMORY: Final = _MemoryFiles(
    "memory.max", "memory.current", "memory.events", "inactive_file"
)
_LEGACY_MEMORY: Final = _MemoryFiles(
    "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "total_inactive_file"
)


def _legacy_memory(hierarchies: Mapping[str, Hierarchy]) -> Sequence[MemoryGroup]:
    paths = _directories(hierarchies.get("memory"), _LEGACY_MEMORY.usage)
    return [
        MemoryGroup(path, _LEGACY_MEMORY, killed_in=tuple(paths[: paths.index(path) + 1]))
        for path in paths
    ]


def _unified_memory(hierarchies: Mapping[str, Hierarchy]) -> Sequence[MemoryGroup]:
    paths = _directories(hierarchies.get(UNIFIED), _UNIFIED_MEMORY.usage)
    return [MemoryGroup(path, _UNIFIED_MEMORY, killed_in=(path,)) for path in paths]


def _directories(hierarchy: Hierarchy | None, file: str) -> list[Path]:
    """Return where our group and those around it lie that have a file; none without a hierarchy."""
    return [] if hierarchy is None else list(map(hierarchy.directory, hierarchy.lineage(file)))


# What files hold


def _read(path: Path) -> str:
    return path.read_bytes().decode("ascii", "replace").strip()


def _read_if_there(path: Path) -> str | None:
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _table(path: Path) -> dict[str, str]:
    """Return the entries of a file with a key and a value on each line; none without the file."""
    lines = (line.partition(" ") for line in (_read_if_there(path) or "").splitlines())
    return {key: value for key, _, value in lines}


def _entry(path: Path, key: str) -> int | None:
    """Return one entry's number; None where there is no such entry, or no such file."""
    text = _table(path).get(key)
    return None if text is None else _number(text, path)


def _number(text: str, path: Path) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise _malformed(text, path)
    return int(text)


def _malformed(text: str, path: Path) -> RuntimeError:
    return RuntimeError(f"{path} holds {text[:40]!r}, which means nothing")
