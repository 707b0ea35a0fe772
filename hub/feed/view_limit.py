"""How many views may be live."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from hub.errors import AtCapacity
from hub.feed.view import View

__all__ = ["SharedViews", "ViewLimit"]


class SharedViews(Protocol):
    """What the workers of a service know of each other's live views."""

    def fits(self, view: View, most: int) -> bool:
        """Say whether at most so many different views are live once this one is too."""
        ...

    def add(self, view: View) -> None:
        """Tell that a view is live here."""
        ...

    def discard(self, view: View) -> None:
        """Tell that a view is no longer live here, if it was."""
        ...

    def clear(self) -> None:
        """Tell that no view is live here."""
        ...


class ViewLimit:
    """Bounds how many different views are live: each costs work at every tick.

    Args:
        most: how many there may be, beside the reserved ones.
        shared: knows those of the other workers of the service, if there are any.
    """

    def __init__(self, most: int, shared: SharedViews | None = None) -> None:
        self._most = most
        self._shared = shared
        self.reserved: set[View] = set()
        """Views that are always admitted, for they are what most clients ask for."""

    def check(self, view: View, live: Collection[View]) -> None:
        """Say whether a view may be live beside those that are.

        Raises:
            AtCapacity: it is one too many.
        """
        if view in live or view in self.reserved:
            return
        if not self._fits(view, live):
            raise AtCapacity(
                f"{self._most} different views are live, which is the limit: "
                "ask for one that others have, or come back later"
            )

    def _fits(self, view: View, live: Collection[View]) -> bool:
        if self._shared is not None:
            return self._shared.fits(view, self._most)
        return len(live) < self._most or sum(one not in self.reserved for one in live) < self._most

    def opened(self, view: View) -> None:
        """Have the other workers know that a view is live here, unless it is reserved."""
        if self._shared is not None and view not in self.reserved:
            self._shared.add(view)

    def closed(self, view: View) -> None:
        """Have the other workers know that a view is no longer live here."""
        if self._shared is not None:
            self._shared.discard(view)

    def reset(self) -> None:
        """Have the other workers know that no view is live here."""
        if self._shared is not None:
            self._shared.clear()
