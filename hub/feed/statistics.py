"""What a hub has done, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hub.clock import Clock, Timer
from hub.errors import CloseReason
from hub.feed.accounts import Accounts
from hub.feed.subscriber import Subscriber
from hub.histogram import Distribution, Histogram
from hub.sampling.sampler import SamplerStatistics

__all__ = ["HubStatistics", "LagMeter", "Ledger"]


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """What a hub has done since it was last started, and whom it serves now.

    Of frames, also of subscribers that have left: offered == delivered + dropped + abandoned +
    pending.

    Attributes:
        subscribers: receivers of any view.
        views: distinct views among them; each is encoded once a tick.
        overruns: deliveries that were still under way when the next snapshot came.
        offered: frames published to subscribers, or replayed for them.
        delivered: frames handed on to sockets and readers.
        dropped: frames that subscribers did not take in time.
        expired: of those, the ones that the history gave up before they were replayed.
        abandoned: frames that were pending when their subscriber left.
        pending: frames in the queues of subscribers now.
        closed: subscribers that the hub itself has closed, by the reason.
        age: seconds since the newest snapshot, or None before the first.
        lag: seconds by which the event loop was late.
        recent_lag: the greatest of the last five seconds.
        sampler: what the sampler has done, or None before it has begun.
    """

    subscribers: int
    views: int
    overruns: int
    offered: int
    delivered: int
    dropped: int
    expired: int
    abandoned: int
    pending: int
    closed: Mapping[CloseReason, int]
    age: float | None
    lag: Distribution
    recent_lag: float
    sampler: SamplerStatistics | None

    @property
    def ticks(self) -> int:
        """Snapshots sampled."""
        return self.sampler.ticks if self.sampler else 0

    @property
    def missed(self) -> int:
        """Ticks that passed unsampled because the machine or the process stood still."""
        return self.sampler.missed if self.sampler else 0

    def __add__(self, other: HubStatistics) -> HubStatistics:
        """Return what both hubs have done together; of views they may have some in common.

        The age is that of the newer snapshot, and the sampler the one that either has.
        """
        ages = [one.age for one in (self, other) if one.age is not None]
        return HubStatistics(
            subscribers=self.subscribers + other.subscribers,
            views=self.views + other.views,
            overruns=self.overruns + other.overruns,
            offered=self.offered + other.offered,
            delivered=self.delivered + other.delivered,
            dropped=self.dropped + other.dropped,
            expired=self.expired + other.expired,
            abandoned=self.abandoned + other.abandoned,
            pending=self.pending + other.pending,
            closed=Counter(self.closed) + Counter(other.closed),
            age=min(ages, default=None),
            lag=self.lag + other.lag,
            recent_lag=max(self.recent_lag, other.recent_lag),
            sampler=self.sampler or other.sampler,
        )

    def ended(self) -> HubStatistics:
        """Return the same once all subscribers have gone with the hub: only what was counted."""
        abandoned = self.abandoned + self.pending
        return replace(
            self, subscribers=0, views=0, abandoned=abandoned, pending=0, age=None, recent_lag=0.0
        )


class Ledger:
    """Keeps what is to be counted of subscribers that have left."""

    def __init__(self) -> None:
        self.left = Accounts()
        """Their accounts, added up; what is pending there was abandoned."""
        self.closed: Counter[CloseReason] = Counter()
        """How many the hub has closed, by the reason."""

    def close(self, subscriber: Subscriber) -> None:
        """Take over the accounts of a subscriber that leaves."""
        self.left = Accounts.total((self.left, subscriber.accounts))
        if subscriber.close_reason is not None:
            self.closed[subscriber.close_reason] += 1

    def statistics(
        self,
        subscribers: Sequence[Subscriber],
        *,
        views: int,
        overruns: int,
        age: float | None,
        lag: LagMeter,
        sampler: SamplerStatistics | None,
    ) -> HubStatistics:
        """Return all figures, of the subscribers that are there and of those that have left."""
        here, left = Accounts.total(one.accounts for one in subscribers), self.left
        return HubStatistics(
            subscribers=len(subscribers),
            views=views,
            overruns=overruns,
            offered=here.offered + left.offered,
            delivered=here.delivered + left.delivered,
            dropped=here.dropped + left.dropped,
            expired=here.expired + left.expired,
            abandoned=left.pending,
            pending=here.pending,
            closed=dict(self.closed),
            age=age,
            lag=lag.distribution(),
            recent_lag=lag.recent(),
            sampler=sampler,
        )


class LagMeter:
    """Measures by how much a timer comes late, twice a second: what every client feels.

    Args:
        clock: has the timer.
    """

    SECONDS: Final = 0.5
    BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
    RECENT: Final = 10  # measurements, of five seconds

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags = Histogram(self.BOUNDS)
        self._recent: tuple[float, ...] = ()  # replaced as a whole, for other threads read it
        self._due = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to measure on the running event loop."""
        self._recent = ()
        self._schedule()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def distribution(self) -> Distribution:
        """Return how many seconds late it has been."""
        return self._lags.distribution()

    def recent(self) -> float:
        """Return by how many seconds it was late at most in the last five; from any thread.

        Before the first measurement that is 0.
        """
        return max(self._recent, default=0.0)

    def _schedule(self) -> None:
        self._due = self._clock.monotonic() + self.SECONDS
        self._timer = self._clock.call_later(self.SECONDS, self._measure)

    def _measure(self) -> None:
        lag = max(0.0, self._clock.monotonic() - self._due)
        self._lags.observe(lag)
        self._recent = (*self._recent, lag)[-self.RECENT :]
        self._schedule()
