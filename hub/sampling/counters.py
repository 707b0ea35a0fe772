"""Turning counters that only grow into how much they grew since they were last read."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from hub.sampling.snapshot import CounterDelta, DeviceDeltas

__all__ = ["CounterMeter"]


class CounterMeter:
    """Turns the running totals of many devices into their growth since the last reading.

    A device that was not there before, or any of whose counters went back because it wrapped or
    was reset, is left out this once. A reading that fails changes nothing: the next growth then
    spans both ticks, and is exact.

    Args:
        read: returns an object with the counters for each device.
        counters: name of each counter's rate, by its attribute.
        group: the key of the rates by device.
        counted: returns those of all devices' names that count for the total; by default all.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, Any]],
        counters: Mapping[str, str],
        group: str,
        *,
        counted: Callable[[Collection[str]], Collection[str]] = lambda names: names,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = tuple(counters.values())
        self.group = group
        self._read = read
        self._fields = tuple(counters)
        self._counted = counted
        self._clock = clock
        # The last reading that succeeded: when, and each device's counters.
        self._time = 0.0
        self._totals: dict[str, tuple[int, ...]] = {}

    def prime(self) -> None:
        """Take a first reading, and forget what was before."""
        self._time, self._totals = self._reading()

    def collect(self) -> DeviceDeltas:
        """Return the growth since the last reading.

        Raises:
            RuntimeError: no time has passed.
        """
        time, totals = self._reading()
        seconds = time - self._time
        if seconds <= 0:
            raise RuntimeError("no time has passed since the last reading")
        deltas = {
            name: CounterDelta(seconds, growth)
            for name, counts in totals.items()
            if (growth := self._growth(name, counts)) is not None
        }
        self._time, self._totals = time, totals
        counted = self._counted(totals.keys())
        total = [delta.counts for name, delta in deltas.items() if name in counted]
        return DeviceDeltas(self.names, self.group, self._sum(seconds, total), deltas)

    def _reading(self) -> tuple[float, dict[str, tuple[int, ...]]]:
        devices = self._read()
        totals = {
            name: tuple(getattr(device, field) for field in self._fields)
            for name, device in devices.items()
        }
        return self._clock(), totals

    def _growth(self, name: str, counts: tuple[int, ...]) -> tuple[int, ...] | None:
        before = self._totals.get(name)
        if before is None:
            return None
        growth = tuple(b - a for a, b in zip(before, counts, strict=True))
        return growth if min(growth) >= 0 else None

    def _sum(self, seconds: float, counts: Iterable[tuple[int, ...]]) -> CounterDelta:
        summed = tuple(map(sum, zip(*counts, strict=True)))
        return CounterDelta(seconds, summed or (0,) * len(self.names))
