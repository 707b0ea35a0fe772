"""What a container may have of the machine, and how much of it was used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hub.sampling.cgroup import ControlGroup, CpuGroup, Throttling

__all__ = ["ContainerMemoryMeter", "ContainerMeter", "ContainerProcessorMeter"]


class ContainerMeter:
    """Reads the limits of our control group, how much memory it uses, and how it was held up.

    Args:
        control: the group.
    """

    def __init__(self, control: ControlGroup) -> None:
        self._control = control
        # The group with the limit at the last reading, and how often it had been held up.
        self._before: tuple[CpuGroup, Throttling | None] | None = None

    def prime(self) -> None:
        """Take a first reading."""
        self._processor()

    def collect(self) -> dict[str, float | int]:
        """Return what is known of these; without a group nothing.

        ``cpu_limit_cores`` is in processors, and ``throttled`` is the percentage of the periods
        since the last reading in which the limit held the group up: both only with such a limit,
        the latter not in the first reading of a group, nor where the kernel does not count it.
        ``memory_limit_bytes`` is only there with such a limit, ``memory_used_bytes`` and
        ``oom_kills`` (so far) are of the group whose limit it is.

        Raises:
            OSError: a file cannot be read.
            RuntimeError: a file holds what it should not.
        """
        memory = self._memory()  # first: if it fails, the next growth spans both readings
        return {**self._processor(), **memory}

    def _processor(self) -> dict[str, float]:
        bound = self._control.cpu()
        if bound is None or bound.limit is None:
            self._before = None
            return {}
        before, self._before = self._before, (bound.group, bound.group.throttling())
        figures = {"cpu_limit_cores": bound.limit}
        if before is not None and before[0] == bound.group:
            share = _throttled(before[1], self._before[1])
            if share is not None:
                figures["throttled"] = share
        return figures

    def _memory(self) -> dict[str, int]:
        bound = self._control.memory()
        if bound is None:
            return {}
        figures = {
            "memory_limit_bytes": bound.limit,
            "memory_used_bytes": bound.group.used_bytes(),
            "oom_kills": bound.group.oom_kills(),
        }
        return {name: figure for name, figure in figures.items() if figure is not None}


class ContainerProcessorMeter:
    """Turns the processor time that our control group has had into a share of what it may have.

    That is its limit, or all processors, whichever is less; where the limit is another group's
    further up, that group's time counts.

    Args:
        control: the group.
        processors: returns how many processors there are, None where that is not known.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        control: ControlGroup,
        processors: Callable[[], int | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control = control
        self._processors = processors
        self._clock = clock
        self._before: _Use | None = None  # at the last reading that succeeded

    def prime(self) -> None:
        """Take a first reading, and forget what was before."""
        self._before = self._reading()

    def collect(self) -> float:
        """Return what was used since the last reading, in percent of what may be.

        Raises:
            OSError: a file cannot be read.
            RuntimeError: a file holds what it should not, or since the last reading no time has
                passed, the count went back, or the limit became another group's; there was none,
                or there is no group.
        """
        now = self._reading()
        before, self._before = self._before, now
        if before is None:
            raise RuntimeError("there was no reading before this one")
        if before.group != now.group:
            raise RuntimeError("the limit of processor time now comes from another control group")
        if now.time <= before.time:
            raise RuntimeError("no time has passed since the last reading")
        if now.seconds < before.seconds:
            raise RuntimeError("the count of processor time went back")
        return _percent(now.seconds - before.seconds, (now.time - before.time) * now.cores)

    def _reading(self) -> _Use:
        bound = self._control.cpu()
        if bound is None:
            raise RuntimeError("this process is in no control group that can be read")
        cores = [count for count in (bound.limit, self._processors()) if count is not None]
        if not cores:
            raise RuntimeError("the number of processors is not known")
        return _Use(bound.group, min(cores), bound.group.used_seconds(), self._clock())


class ContainerMemoryMeter:
    """Reads how full our control group's memory is; it needs no first reading.

    Args:
        control: the group.
    """

    def __init__(self, control: ControlGroup) -> None:
        self._control = control

    def collect(self) -> float:
        """Return the working set in percent of the limit; without one, of the machine's memory.

        Raises:
            OSError: a file cannot be read.
            RuntimeError: a file holds what it should not, or there is no group.
        """
        bound = self._control.memory()
        if bound is None:
            raise RuntimeError("this process is in no control group that can be read")
        limit = self._control.total_memory() if bound.limit is None else bound.limit
        return _percent(bound.group.used_bytes(), limit)


@dataclass(frozen=True, slots=True)
class _Use:
    """The processor time that a group had had at a time, and how many processors it might have."""

    group: CpuGroup
    cores: float
    seconds: float
    time: float


def _throttled(before: Throttling | None, after: Throttling | None) -> float | None:
    """Return the share of periods that were throttled; None where that cannot be told."""
    if before is None or after is None:
        return None
    periods = after.periods - before.periods
    throttled = after.throttled - before.throttled
    if periods < 0 or throttled < 0:
        return None
    return _percent(throttled, periods) if periods else 0.0


def _percent(part: float, whole: float) -> float:
    """Return a share that is never above 100; of nothing everything is used."""
    return min(100.0, 100.0 * part / whole) if whole > 0 else 100.0
