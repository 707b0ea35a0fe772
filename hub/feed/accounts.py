"""What became of a subscriber's frames, in figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Accounts", "SubscriberStatistics"]


class Accounts(NamedTuple):
    """What became of a subscriber's frames; accounts of several add up column by column."""

    offered: int = 0
    """Frames that were published to it, or replayed for it, while it was there."""
    delivered: int = 0
    """Frames handed on to its socket or its reader."""
    dropped: int = 0
    """Frames given up because its queue was full, or gone before they were replayed."""
    expired: int = 0
    """Of those dropped, the ones that were gone before they were replayed."""
    pending: int = 0
    """Frames in its queue; if it has ended, they stay there for good."""

    @classmethod
    def total(cls, accounts: Iterable[Accounts]) -> Accounts:
        """Add up the accounts of several subscribers."""
        return cls(*map(sum, zip(*accounts, strict=True)))


@dataclass(frozen=True, slots=True)
class SubscriberStatistics:
    """Counts of frames since the subscriber joined.

    Attributes:
        offered: frames published to it while it was open.
        delivered: frames handed on to its socket or its reader.
        dropped: frames given up because the queue was full, or gone before they were replayed.
        pending: frames in the queue now.
        peak: the most frames that have been pending at once.
    """

    offered: int
    delivered: int
    dropped: int
    pending: int
    peak: int
