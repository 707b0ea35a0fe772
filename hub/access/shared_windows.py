"""How often each has come to any worker of a service, in windows that are common to all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from hub.access.segment import LINE, WORD

__all__ = ["SharedWindows"]

_WAYS: Final = LINE.size // WORD
_COUNT_BITS: Final = 20
_COUNT: Final = (1 << _COUNT_BITS) - 1  # more than any limit


class SharedWindows:
    """Counts how often a key comes, in windows that begin with the first who comes anywhere.

    A key may be in any of eight slots; where these are taken by others, the window that ends first
    gives way. A slot is the upper bits of the key's hash and its count, in one word, and the time
    at which the window ends, in another. While a slot changes hands, another worker may for a
    moment see the new key with an old end or not at all, but never with a wrong count.

    Args:
        counts: words of all workers, as many as slots.
        ends: times of all workers, as many as slots; zero at first.
        index: which are this worker's.
        hashed: returns a word for a text, alike in all workers.
    """

    def __init__(
        self,
        counts: Sequence[memoryview],
        ends: Sequence[memoryview[float]],
        index: int,
        hashed: Callable[[str], int],
    ) -> None:
        self._parts = list(zip(counts, ends, strict=True))
        self._counts, self._ends = self._parts[index]
        self._others = [part for number, part in enumerate(self._parts) if number != index]
        self._lines = len(self._counts) // _WAYS - 1  # a mask: their number is a power of two
        self._hashed = hashed

    def add(self, key: str, amount: int, seconds: float, now: float) -> int:
        """Count a key so often; return how often it came within its window, at all workers.

        Args:
            key: who came.
            amount: how often.
            seconds: how long its window is, if it has none.
            now: a monotonic time that is the same in all processes, in seconds.
        """
        mark, first = self._place(key)
        elsewhere = [found for part in self._others for found in _live(part, mark, first, now)]
        before = sum([count for count, _, _ in elsewhere])
        for count, _, at in _live((self._counts, self._ends), mark, first, now):
            self._counts[at] = mark << _COUNT_BITS | min(count + amount, _COUNT)
            return before + count + amount
        # The window of another worker, which began with the first who came, or one of our own.
        ends = max([end for _, end, _ in elsewhere], default=now + seconds)
        at = min(range(first, first + _WAYS), key=self._ends.__getitem__)
        self._counts[at] = 0
        self._ends[at] = ends
        self._counts[at] = mark << _COUNT_BITS | amount
        return before + amount

    def window(self, key: str, now: float) -> tuple[int, float]:
        """Return how often a key came within its window, and when that ends; 0 and now if never."""
        mark, first = self._place(key)
        found = [one for part in self._parts for one in _live(part, mark, first, now)]
        return sum([count for count, _, _ in found]), max([end for _, end, _ in found], default=now)

    def _place(self, key: str) -> tuple[int, int]:
        """Return what is written of a key, and the first slot in which it may be."""
        hashed = self._hashed(key)
        return hashed >> _COUNT_BITS or 1, (hashed & self._lines) * _WAYS


def _live(
    part: tuple[memoryview, memoryview[float]], mark: int, first: int, now: float
) -> Iterator[tuple[int, float, int]]:
    """Find a key's window in a part, if it is not over: its count, its end, its slot."""
    counts, ends = part
    for way, word in enumerate(LINE.unpack_from(counts, first * WORD)):
        if word >> _COUNT_BITS == mark and (end := ends[first + way]) > now:
            yield word & _COUNT, end, first + way
