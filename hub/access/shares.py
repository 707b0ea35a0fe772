"""How much of the hub the clients of one address may have at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from hub.access.address import network
from hub.errors import RefusalReason, Refused

if TYPE_CHECKING:
    from hub.access.shared_table import SharedCounts, SharedSets

__all__ = ["ClientShares", "ViewShares"]

_RETRY_SECONDS: Final = 5


class ClientShares:
    """Bounds how many clients of one address are connected.

    Args:
        limit: how many there may be, or None for any number.
        shared: knows those of the other workers of the service, if there are any.
    """

    def __init__(self, limit: int | None, shared: SharedCounts | None = None) -> None:
        self._limit = limit
        self._shared = shared
        self._clients: Counter[str] = Counter()  # how many there are, by their common address

    def acquire(self, address: str) -> None:
        """Count one more client.

        Raises:
            Refused: its address has as many as it may have.
        """
        if self._limit is None or not address:
            return
        line = network(address)
        elsewhere = 0 if self._shared is None else self._shared.elsewhere(line)
        if self._clients[line] + elsewhere >= self._limit:
            text = f"{self._limit} clients of one address are connected, which is the limit"
            raise Refused(RefusalReason.ADDRESS, text, retry_after=_RETRY_SECONDS)
        self._clients[line] += 1
        if self._shared is not None:
            self._shared.write(line, self._clients[line])

    def release(self, address: str) -> None:
        """Count one client less."""
        if self._limit is None or not address:
            return
        line = network(address)
        self._clients[line] -= 1
        if self._shared is not None:
            self._shared.write(line, self._clients[line])
        if not self._clients[line]:
            del self._clients[line]


class ViewShares:
    """Bounds how many different views the clients of one address follow.

    Args:
        limit: how many there may be, or None for any number.
        shared: knows those of the other workers of the service, if there are any.
    """

    def __init__(self, limit: int | None, shared: SharedSets | None = None) -> None:
        self._limit = limit
        self._shared = shared
        # How many clients follow each view, by their common address.
        self._followers: dict[str, Counter[Hashable]] = {}

    def acquire(self, address: str, view: Hashable) -> None:
        """Count one more client that follows a view.

        Raises:
            Refused: its address follows as many others as it may.
        """
        if self._limit is None or not address:
            return
        line = network(address)
        if view not in self._followers.get(line, ()):
            self._begin(line, view, self._limit)
        self._followers[line][view] += 1

    def _begin(self, line: str, view: Hashable, limit: int) -> None:
        """Note that an address is about to follow one more view at this worker."""
        fits = len(self._followers.get(line, ())) < limit
        if self._shared is not None:
            fits = fits and self._shared.fits(line, view, limit)
        if not fits:
            text = f"{limit} different views are followed from one address, which is the limit"
            raise Refused(RefusalReason.VIEW_SHARE, text, retry_after=_RETRY_SECONDS)
        self._followers.setdefault(line, Counter())
        if self._shared is not None:
            self._shared.add(line, view)

    def release(self, address: str, view: Hashable) -> None:
        """Count one client less that follows a view."""
        if self._limit is None or not address:
            return
        line = network(address)
        followers = self._followers[line]
        followers[view] -= 1
        if not followers[view]:
            del followers[view]
            if self._shared is not None:
                self._shared.discard(line, view)
        if not followers:
            del self._followers[line]
