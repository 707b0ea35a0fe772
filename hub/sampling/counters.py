"""Turning counters that only grow into how much they grew since they were last read."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import sub
from typing import Any, Final

from hub.sampling.metric import Totals
from hub.sampling.ranking import Ranking
from hub.sampling.snapshot import (
    MOST_MEMBERS,
    REST,
    CounterDelta,
    DeviceDeltas,
    Failure,
    Incomplete,
)

__all__ = ["CounterMeter"]

_MOST_COUNTED: Final = 2**64


@dataclass(frozen=True, slots=True)
class _Look:
    """What all devices had counted at one time, in monotonic seconds; and which were unreadable."""

    time: float
    counts: Mapping[str, tuple[int, ...]]
    failures: Mapping[str, Failure] = field(default_factory=dict)


class CounterMeter:
    """Turns the running totals of many devices into their growth since the last reading.

    A device that was not there before, or any of whose counters went back because it wrapped or
    was reset, is left out this once. A reading that fails changes nothing: the next growth then
    spans both ticks, and is exact. Of very many devices the most active have their own growth, and
    the rest is added up.

    Args:
        read: returns an object with the counters for each device.
        counters: name of each counter's rate, by its attribute.
        group: the key of the rates by device.
        counted: returns those of all devices' names that count for the total; by default all.
        usual: returns those that are shown unless others are chosen; by default all.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, Any]],
        counters: Mapping[str, str],
        group: str,
        *,
        counted: Callable[[Collection[str]], Collection[str]] = lambda names: names,
        usual: Callable[[Collection[str]], frozenset[str]] = frozenset,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = tuple(counters.values())
        self.group = group
        self._read = read
        self._fields = tuple(counters)
        self._counted = counted
        self._usual = usual
        self._clock = clock
        self._last = _Look(0.0, {})  # the last reading that succeeded
        self._ranking = Ranking(MOST_MEMBERS - 1)  # leaves a place for the rest
        self._shown: Collection[str] = ()  # devices that have their own growth

    def prime(self) -> None:
        """Take a first reading, and forget what was before."""
        self._last = self._look()

    def collect(self) -> DeviceDeltas | Incomplete:
        """Return the growth since the last reading.

        Raises:
            RuntimeError: no time has passed, or no device can be read.
        """
        before, now = self._last, self._look()
        seconds = now.time - before.time
        if seconds <= 0:
            raise RuntimeError("no time has passed since the last reading")
        if now.failures and not now.counts:
            name, failure = next(iter(now.failures.items()))
            raise RuntimeError(f"{name}: {failure.cause}")
        growth = dict(_growth(before.counts, now.counts))
        self._last = now
        deltas = self._deltas(growth, seconds)
        failures = dict(islice(now.failures.items(), MOST_MEMBERS))
        return Incomplete(deltas, failures) if failures else deltas

    def totals(self) -> Totals:
        """Return what the devices shown had counted when they were last read, by attribute."""
        counts, shown = self._last.counts, self._shown
        return {
            name: dict(zip(self._fields, counts[name], strict=True))
            for name in counts
            if name in shown
        }

    def _look(self) -> _Look:
        devices, read_at = self._read(), self._clock()
        counts: dict[str, tuple[int, ...]] = {}
        failures: dict[str, Failure] = {}
        for name, device in devices.items():
            try:
                counts[name] = tuple(_count(device, one) for one in self._fields)
            except (AttributeError, ValueError) as error:
                failures[name] = Failure.of(error)
        return _Look(read_at, counts, failures)

    def _deltas(self, growth: Mapping[str, tuple[int, ...]], seconds: float) -> DeviceDeltas:
        names = self._last.counts.keys()
        usual = self._usual(names)
        # Where both are told in the same way, that is asked once: with many devices it takes long.
        counted = usual if self._usual == self._counted else self._counted(names)
        total = self._sum(seconds, [counts for name, counts in growth.items() if name in counted])
        shown = self._ranking.choose(growth, seconds, usual)
        if len(shown) < len(growth):
            shown -= {REST}  # a device of that very name is among the rest
        self._shown = shown
        idle = self._sum(seconds, ())  # most devices are, and have this one in common
        devices = {
            name: CounterDelta(seconds, growth[name]) if any(growth[name]) else idle
            for name in growth
            if name in shown
        }
        rest = growth.keys() - shown
        if rest:
            devices[REST] = self._sum(seconds, [growth[name] for name in rest])
            usual = usual | {REST} if rest & usual else usual
        return DeviceDeltas(self.names, self.group, total, devices, usual)

    def _sum(self, seconds: float, counts: Iterable[tuple[int, ...]]) -> CounterDelta:
        summed = tuple(map(sum, zip(*counts, strict=True)))
        return CounterDelta(seconds, summed or (0,) * len(self.names))


def _growth(
    before: Mapping[str, tuple[int, ...]], now: Mapping[str, tuple[int, ...]]
) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Iterate over the devices that were there before, and whose counters did not go back."""
    for name, counts in now.items():
        if name in before:
            growth = tuple(map(sub, counts, before[name]))
            if min(growth) >= 0:
                yield name, growth


def _count(device: object, field: str) -> int:
    count = getattr(device, field)
    if not isinstance(count, int) or not 0 <= count < _MOST_COUNTED:
        raise ValueError(f"{field} {count!r} must be a whole number of at most 64 bits")
    return count
