"""How many views may be live."""

from __future__ import annotations

from collections.abc import Collection

from hub.errors import AtCapacity
from hub.feed.view import View

__all__ = ["ViewLimit"]


class ViewLimit:
    """Bounds how many different views are live: each costs work at every tick.

    Args:
        most: how many there may be, beside the reserved ones.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.reserved: set[View] = set()
        """Views that are always admitted, for they are what most clients ask for."""

    def check(self, view: View, live: Collection[View]) -> None:
        """Say whether a view may be live beside those that are.

        Raises:
            AtCapacity: it is one too many.
        """
        if view in live or view in self.reserved:
            return
        if len(live) >= self._most and sum(one not in self.reserved for one in live) >= self._most:
            raise AtCapacity(
                f"{self._most} different views are live, which is the limit: "
                "ask for one that others have, or come back later"
            )
