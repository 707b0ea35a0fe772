"""What the workers of a service tell each other of addresses: counts and sets, in tables."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final

from hub.access.segment import LINE, WORD

__all__ = ["LOAD", "SharedCounts", "SharedSets"]

LOAD: Final = 4
"""Slots for each entry that a table may have: so few are taken that most searches end at once."""

_HALF: Final = 32
_VALUE: Final = (1 << _HALF) - 1

Hash = Callable[[str], int]


class _Table:
    """Pairs of a key's mark and a value, of which there may be several of one key.

    A pair is one word, the mark its upper half and never all zeros, so that another worker never
    sees a mark with a value that is not its own, even of a worker that was killed while it wrote.
    The mark says at which cache line a search begins; it ends at the first free slot. What is
    removed leaves no gap: a later pair takes its place. A worker that reads while a pair moves may
    see it twice, or miss it for a moment.

    Args:
        parts: the tables of all workers.
        index: which is this worker's, and is empty.
        hashed: returns a word for a text, alike in all workers.
    """

    def __init__(self, parts: Sequence[memoryview], index: int, hashed: Hash) -> None:
        self._hashed = hashed
        self._own = parts[index]
        self._parts = parts
        self._others = [part for number, part in enumerate(parts) if number != index]
        self._last = len(self._own) - 1  # a mask: the number of slots is a power of two
        self._room = len(self._own) // LOAD  # for so many pairs more

    def _start(self, word: int) -> int:
        """Return the slot at which a search for a word begins."""
        return (word >> _HALF) * LINE.size // WORD & self._last

    def _values(self, part: memoryview, mark: int) -> Iterator[int]:
        """Find all values of one mark in a part.

        ``mark`` is a word whose lower half is zero.
        """
        at, wanted = self._start(mark), mark >> _HALF
        for _ in range(0, len(part), LINE.size // WORD):  # would end even if it never were free
            if not part[at]:  # mostly, and this is the cheapest way
                return
            for word in LINE.unpack_from(part, at * WORD):
                if not word:
                    return
                if word >> _HALF == wanted:
                    yield word & _VALUE
            at = (at + LINE.size // WORD) & self._last

    def _find(self, word: int, ignored: int) -> int:
        """Return the slot of a pair in this worker's part, or the free one in which it goes.

        ``ignored`` is how many of the lower bits need not be the same.
        """
        at, wanted = self._start(word), word >> ignored
        while (found := self._own[at]) and found >> ignored != wanted:
            at = (at + 1) & self._last
        return at

    def _put(self, at: int, word: int) -> None:
        """Write a pair into its slot, or into a free one if there may be more.

        Else the others do not know of it, and their limits may be exceeded by it: so there is an
        end to the memory, whichever clients come.
        """
        if not self._own[at]:
            if not self._room:
                return
            self._room -= 1
        self._own[at] = word

    def _remove(self, at: int) -> None:
        """Free a slot, if it is not, and move a later pair there wherever a search would end."""
        own, last, gap = self._own, self._last, at
        if not own[at]:
            return
        while word := own[at := (at + 1) & last]:
            if (at - self._start(word)) & last >= (at - gap) & last:  # its search comes by the gap
                own[gap] = word
                gap = at
        own[gap] = 0
        self._room += 1


class SharedCounts(_Table):
    """Tells the other workers how often this one has something, and knows how often they have it.

    Args:
        parts: the tables of all workers.
        index: which is this worker's, and is empty.
        hashed: returns a word for a key, alike in all workers.
    """

    def elsewhere(self, key: str) -> int:
        """Return how often the other workers have a key, taken together."""
        mark = _mark(self._hashed(key))
        return sum([sum(self._values(part, mark)) for part in self._others])

    def write(self, key: str, count: int) -> None:
        """Tell how often this worker has a key."""
        word = _mark(self._hashed(key)) | count
        at = self._find(word, _HALF)
        if count:
            self._put(at, word)
        else:
            self._remove(at)


class SharedSets(_Table):
    """Tells the other workers what belongs to a key here, and knows what belongs to it there.

    Args:
        parts: the tables of all workers.
        index: which is this worker's, and is empty.
        hashed: returns a word for a text, alike in all workers.
    """

    def fits(self, key: str, member: Hashable, most: int) -> bool:
        """Say whether at most so many members belong to a key once this one does too.

        A member counts once, however many workers have it. It is known by its ``repr``.
        """
        mark = _mark(self._hashed(key))
        found = [list(self._values(part, mark)) for part in self._parts]
        if sum(map(len, found)) < most:
            return True
        members = set().union(*found)
        return len(members) < most or self._pair(key, member) & _VALUE in members

    def add(self, key: str, member: Hashable) -> None:
        """Tell that a member belongs to a key at this worker."""
        word = self._pair(key, member)
        self._put(self._find(word, 0), word)

    def discard(self, key: str, member: Hashable) -> None:
        """Tell that a member no longer belongs to a key at this worker."""
        self._remove(self._find(self._pair(key, member), 0))

    def _pair(self, key: str, member: Hashable) -> int:
        return _mark(self._hashed(key)) | self._hashed(repr(member)) >> _HALF


def _mark(hashed: int) -> int:
    """Return the upper half of a word, which is not zero."""
    return (hashed >> _HALF or 1) << _HALF
