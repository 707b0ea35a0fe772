"""What a hub has done, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hub.errors import Closure
from hub.histogram import Distribution
from hub.sampler import SamplerStatistics

__all__ = ["HubStatistics"]


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """What a hub has done since it was last started, and whom it serves now.

    Attributes:
        subscribers: receivers of any view.
        views: distinct views among them; each is encoded once a tick.
        overruns: deliveries that were still under way when the next snapshot came.
        delivered: frames handed on to sockets and readers, also of subscribers that have left.
        dropped: frames that subscribers did not take in time.
        overtaken: of those, the ones that the history gave up before they were replayed.
        closed: subscribers that the hub itself has closed, by the reason.
        age: seconds since the newest snapshot, or None before the first.
        lag: seconds by which the event loop was late.
        sampler: what the sampler has done, or None before it has begun.
    """

    subscribers: int
    views: int
    overruns: int
    delivered: int
    dropped: int
    overtaken: int
    closed: Mapping[Closure, int]
    age: float | None
    lag: Distribution
    sampler: SamplerStatistics | None

    @property
    def ticks(self) -> int:
        """Snapshots sampled."""
        return self.sampler.ticks if self.sampler else 0

    @property
    def missed(self) -> int:
        """Ticks that passed unsampled because the machine or the process stood still."""
        return self.sampler.missed if self.sampler else 0
