"""Limits that hold for all worker processes of a service together."""

from __future__ import annotations

import os
from typing import Final, Self, final

from hub.access.places import descriptor_limit
from hub.access.segment import Area, Layout, Segment
from hub.access.shared_places import SharedPlaces, SharedTotal
from hub.access.shared_table import LOAD, SharedCounts, SharedSets
from hub.access.shared_views import SharedViews
from hub.access.shared_windows import SharedWindows

__all__ = ["SharedLimits", "WorkerLimits"]

_FEWEST: Final = 256
_MOST: Final = 1 << 17
"""Entries of a worker's table. What comes beyond takes memory, but little: what is never used takes
none, and of more addresses than these each has a share of its own at every worker."""

_PUBLIC: Final = 3  # words of the totals, of which others have those before
_RESTRICTED: Final = 4

_WINDOWS: Final = 1 << 15
"""Slots of windows of a worker, three times what one process keeps alone."""


class SharedLimits:
    """What the parent of worker processes makes for them, and clears after them.

    The workers see each other's counts without waiting for one another. Where several admit
    clients at the same moment, a limit may be exceeded by as many as there are other workers.

    Args:
        segment: the memory.
        fd: its descriptor, which the workers are to inherit.
    """

    def __init__(self, segment: Segment, fd: int) -> None:
        self._segment = segment
        self.fd = fd
        """What the workers are to inherit; it is closed with this object."""
        self._is_open = True

    @classmethod
    def create(cls, parts: int, *, views: int, max_clients: int | None = None) -> Self:
        """Make the memory, of which only what is used takes any.

        Args:
            parts: how many workers there may be at the same time: also those that are about to
                end while others take their place.
            views: how many different views may be live.
            max_clients: how many clients there may be; None is what descriptors allow.

        Raises:
            OSError: there is no room for it.
        """
        clients = min(max_clients or _MOST, descriptor_limit(0) or _MOST, _MOST)
        table = LOAD * (1 << (max(clients, _FEWEST) - 1).bit_length())
        # All workers may admit a view at the same moment.
        layout = Layout(parts=parts, table=table, views=views + parts, windows=_WINDOWS)
        return cls(*Segment.create(layout))

    def clear(self, index: int) -> None:
        """Give back all that the clients of a worker had, once that process has ended."""
        self._segment.clear(index)

    def close(self) -> None:
        """Let go of the memory, which stays as long as a worker has it; again is a no-op."""
        if self._is_open:
            self._is_open = False
            self._segment.close()
            os.close(self.fd)


@final
class WorkerLimits:
    """What one worker and the others know of each other's clients.

    Args:
        segment: the memory.
        index: which part is this worker's, and no other process's.
    """

    def __init__(self, segment: Segment, index: int) -> None:
        self._segment = segment
        hashed = segment.hash
        totals = segment.words(Area.TOTALS)
        self.places = SharedPlaces(totals, index)
        """How many clients there are."""
        self.public_total = SharedTotal(totals, index, _PUBLIC)
        """How many WebSockets the public feed has."""
        self.restricted_total = SharedTotal(totals, index, _RESTRICTED)
        """How many WebSockets the authenticated feed has."""
        self.addresses = SharedCounts(segment.words(Area.ADDRESSES), index, hashed)
        """How many clients each address has."""
        self.address_views = SharedSets(segment.words(Area.ADDRESS_VIEWS), index, hashed)
        """Which views the clients of each address follow."""
        self.views = SharedViews(totals, segment.words(Area.VIEWS), index, hashed)
        """Which views are live."""
        self.connects = SharedWindows(
            segment.words(Area.CONNECT_COUNTS), segment.times(Area.CONNECT_ENDS), index, hashed
        )
        """How often clients came from each address."""
        self.wrong_tokens = SharedWindows(
            segment.words(Area.TOKEN_COUNTS), segment.times(Area.TOKEN_ENDS), index, hashed
        )
        """How often wrong tokens came from each address."""

    @classmethod
    def attach(cls, fd: int, index: int) -> Self:
        """Take part in the memory behind a descriptor that was inherited, and may be closed then.

        Whatever an earlier worker has left in the part is cleared.

        Raises:
            ValueError: it is none, or of another version.
            IndexError: it has no such part.
        """
        segment = Segment(fd)
        segment.take(index)
        return cls(segment, index)

    def close(self) -> None:
        """Let go of the memory; nothing may be asked afterwards, and again is a no-op."""
        self._segment.close()
