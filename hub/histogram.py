"""How values are distributed: counts by upper bound, as OpenMetrics defines them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Distribution", "Histogram"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values that a histogram has counted until some moment.

    Attributes:
        bounds: upper bounds of the buckets, ascending; one more bucket has no bound.
        counts: how many values each bucket alone has, one more than there are bounds.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def __add__(self, other: Distribution) -> Distribution:
        """Return the values of both, which have the same buckets."""
        if self.bounds != other.bounds:
            raise ValueError("distributions over different buckets")
        counts = (a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Distribution(self.bounds, tuple(counts), self.total + other.total)


class Histogram:
    """Counts values as they come, at the cost of a binary search.

    Args:
        bounds: upper bounds of the buckets, each of which is inclusive, ascending.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def distribution(self) -> Distribution:
        """Return the counts as they are now."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
