"""Whether subscribers are still there: signs of life, and a deadline for those that stall."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from hub.clock import Clock, Timer
from hub.errors import CloseReason
from hub.feed.subscriber import Subscriber

__all__ = ["EpisodeLog", "Keepalive", "StallWatch", "close_gradually"]

_logger = logging.getLogger("hub")

_DRAIN_SECONDS: Final = 0.02
"""How long to go on at a time between subscribers that are closed one after another."""


class EpisodeLog:
    """Logs one line when a subscriber becomes slow and one when it has recovered or is gone."""

    def blocked(self, subscriber: Subscriber) -> None:
        """See ``Observer``; nothing to log yet."""

    def flowing(self, subscriber: Subscriber) -> None:
        """See ``Observer``; nothing to log."""

    def slow(self, subscriber: Subscriber) -> None:
        """See ``Observer``."""
        _logger.warning("Slow client %s: dropping its oldest frames", subscriber.ticket)

    def recovered(self, subscriber: Subscriber, lost: int) -> None:
        """See ``Observer``."""
        _logger.info("Slow client %s: recovered, %d frames lost", subscriber.ticket, lost)

    def gone(self, subscriber: Subscriber) -> None:
        """Close the episode of a subscriber that leaves while it is slow, or because it was."""
        cut = subscriber.close_reason is CloseReason.TOO_SLOW
        if not cut and not subscriber.lost:
            return
        pending = subscriber.accounts.pending
        _logger.info(
            "Slow client %s: %s, %d frames lost%s",
            subscriber.ticket,
            "cut off" if cut else "gone",
            subscriber.lost,
            f" and {pending} pending" if pending else "",
        )


class StallWatch(EpisodeLog):
    """Cuts off subscribers that take nothing for ``timeout`` seconds.

    One timer serves all of them; there is none while no subscriber is blocked.

    Args:
        timeout: seconds.
        clock: has the timer.
    """

    _GRAIN: Final = 0.1  # seconds; stalls that expire together are cut off together

    def __init__(self, timeout: float, clock: Clock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._since: dict[Subscriber, float] = {}  # blocked since when, oldest first
        self._timer: Timer | None = None  # runs while there are any

    def blocked(self, subscriber: Subscriber) -> None:
        """See ``Observer``."""
        self._since[subscriber] = self._clock.monotonic()
        if self._timer is None:
            self._timer = self._clock.call_later(self._timeout, self._expire)

    def flowing(self, subscriber: Subscriber) -> None:
        """See ``Observer``."""
        self._since.pop(subscriber, None)

    def gone(self, subscriber: Subscriber) -> None:
        """See ``EpisodeLog``; it is watched no longer."""
        self.flowing(subscriber)
        super().gone(subscriber)

    def stop(self) -> None:
        """Watch no subscriber any more."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        horizon = self._clock.monotonic() - self._timeout + self._GRAIN
        expired = []
        for subscriber, since in self._since.items():
            if since > horizon:
                wait = since - horizon + self._GRAIN
                self._timer = self._clock.call_later(wait, self._expire)
                break
            expired.append(subscriber)
        for subscriber in expired:
            del self._since[subscriber]
            subscriber.close(CloseReason.TOO_SLOW)


class Keepalive:
    """Probes each subscriber about once a round, with the probes spread evenly over the round.

    One timer serves all, so that thousands of clients that came at once are not asked at once.

    Args:
        subscribers: returns those to be probed in the next round.
        clock: has the timer.
    """

    ROUND_SECONDS: Final = 20.0
    STEPS: Final = 40

    def __init__(self, subscribers: Callable[[], Sequence[Subscriber]], clock: Clock) -> None:
        self._subscribers = subscribers
        self._clock = clock
        self._round: Sequence[Subscriber] = ()  # those of this round; some may have ended since
        self._step = 0  # how many of the round's steps are done
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin the first round on the running event loop."""
        self._round = self._subscribers()
        self._step = 0
        self._schedule()

    def stop(self) -> None:
        """Probe no subscriber any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._round = ()

    def _schedule(self) -> None:
        self._timer = self._clock.call_later(self.ROUND_SECONDS / self.STEPS, self._probe)

    def _probe(self) -> None:
        first = self._step * len(self._round) // self.STEPS
        self._step += 1
        last = self._step * len(self._round) // self.STEPS
        for subscriber in self._round[first:last]:
            subscriber.probe()
        if self._step == self.STEPS:
            self._round = self._subscribers()
            self._step = 0
        self._schedule()


async def close_gradually(
    subscribers: Sequence[Subscriber], reason: CloseReason, seconds: float, clock: Clock
) -> None:
    """Close subscribers for the reason given, evenly spread over ``seconds``.

    Cancelled, it leaves the others open.
    """
    start = clock.monotonic()
    for count, subscriber in enumerate(subscribers):
        due = start + seconds * count / len(subscribers)
        if due - clock.monotonic() > _DRAIN_SECONDS:
            await clock.sleep_until(due)
        subscriber.close(reason)
