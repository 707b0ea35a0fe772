"""How many clients there are, and may be, at any worker of a service."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SharedPlaces", "SharedTotal"]


class SharedPlaces:
    """Tells the other workers how many clients this one has and may have, and knows theirs.

    Args:
        parts: words of all workers, of which the first two are meant.
        index: which are this worker's.
    """

    def __init__(self, parts: Sequence[memoryview], index: int) -> None:
        self._own = parts[index]
        self._others = [part for number, part in enumerate(parts) if number != index]

    def write(self, clients: int) -> None:
        """Tell how many clients this worker has."""
        self._own[0] = clients

    def write_limit(self, limit: int) -> None:
        """Tell how many clients this worker may have."""
        self._own[1] = limit

    def elsewhere(self) -> int:
        """Return how many clients the others have."""
        return sum([part[0] for part in self._others])

    def limit_elsewhere(self) -> int:
        """Return how many clients the others may have."""
        return sum([part[1] for part in self._others])


class SharedTotal:
    """Tells the other workers a number of this one, and knows the sum of theirs.

    Args:
        parts: words of all workers.
        index: which are this worker's.
        word: which of them is meant.
    """

    def __init__(self, parts: Sequence[memoryview], index: int, word: int) -> None:
        self._own = parts[index]
        self._others = [part for number, part in enumerate(parts) if number != index]
        self._word = word

    def total(self, own: int) -> int:
        """Tell this worker's number; return the sum of all."""
        self._own[self._word] = own
        return own + sum([part[self._word] for part in self._others])
