"""Which views are live at any worker of a service."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final

__all__ = ["SharedViews"]

_COUNT: Final = 2  # the word of the totals in which a worker tells the length of its list


class SharedViews:
    """Tells the other workers which views are live here, and knows which are live there.

    Each worker has a list without gaps.

    Args:
        totals: words of all workers, of which one is the length of the list.
        lists: the lists of all workers.
        index: which are this worker's.
        hashed: returns a word for a text, alike in all workers.
    """

    def __init__(
        self,
        totals: Sequence[memoryview],
        lists: Sequence[memoryview],
        index: int,
        hashed: Callable[[str], int],
    ) -> None:
        self._totals = totals
        self._lists = lists
        self._index = index
        self._hashed = hashed
        self._listed: list[Hashable] = []  # this worker's, in the order of its list
        self._places: dict[Hashable, int] = {}  # where each of them is
        self._write_length()

    def _write_length(self) -> None:
        self._totals[self._index][_COUNT] = len(self._listed)

    def fits(self, view: Hashable, most: int) -> bool:
        """Say whether at most so many views are live once this one is too.

        A view counts once, however many workers have it. It is known by its ``repr``.
        """
        lengths = [total[_COUNT] for total in self._totals]
        if sum(lengths) < most:
            return True
        lists = [one[:length].tolist() for one, length in zip(self._lists, lengths, strict=True)]
        live = set[int]().union(*lists)
        return len(live) < most or self._hashed(repr(view)) in live

    def add(self, view: Hashable) -> None:
        """Tell that a view is live at this worker."""
        own = self._lists[self._index]
        if view in self._places or len(self._listed) == len(own):
            return  # more than fit are live only where as many were admitted at the same moment
        own[len(self._listed)] = self._hashed(repr(view))
        self._places[view] = len(self._listed)
        self._listed.append(view)
        self._write_length()

    def discard(self, view: Hashable) -> None:
        """Tell that a view is no longer live at this worker."""
        at = self._places.pop(view, None)
        if at is None:
            return
        # The last of the list takes its place.
        own, moved = self._lists[self._index], self._listed.pop()
        if at < len(self._listed):
            own[at] = own[len(self._listed)]
            self._listed[at] = moved
            self._places[moved] = at
        self._write_length()

    def clear(self) -> None:
        """Tell that no view is live at this worker."""
        self._listed.clear()
        self._places.clear()
        self._write_length()
