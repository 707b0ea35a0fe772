"""Which of very many devices have a place of their own."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final

__all__ = ["Ranking"]

_SECONDS: Final = 60.0


class Ranking:
    """Chooses a few of many devices: those that are usually shown, then the most active ones.

    How active one was fades within a minute or so; of those that were alike, the ones chosen
    before stay.

    Args:
        most: how many are chosen at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._activity: dict[str, float] = {}  # by device
        self._chosen: frozenset[str] = frozenset()  # the last time

    def choose(
        self, growth: Mapping[str, Iterable[int]], seconds: float, usual: Collection[str]
    ) -> frozenset[str]:
        """Return the devices chosen.

        Args:
            growth: of each device's counters, since the last time.
            seconds: since then.
            usual: devices that go before others.
        """
        if len(growth) <= self._most:
            return frozenset(growth)
        fading = math.exp(-seconds / _SECONDS)
        before = self._activity
        self._activity = {
            name: before.get(name, 0.0) * fading + sum(counts) for name, counts in growth.items()
        }
        ranked = sorted(growth, key=lambda name: self._rank(name, usual))
        self._chosen = frozenset(ranked[: self._most])
        return self._chosen

    def _rank(self, name: str, usual: Collection[str]) -> tuple[bool, float, bool, str]:
        return name not in usual, -self._activity[name], name not in self._chosen, name
