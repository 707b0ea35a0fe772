"""Asking every subscriber for a sign of life, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hub.clock import Clock, Timer
from hub.subscriber import Subscriber

__all__ = ["Keepalive"]


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
        self._round: Sequence[Subscriber] = ()
        self._step = 0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin the first round on the running event loop."""
        self._round = self._subscribers()
        self._step = 0
        self._schedule()

    def stop(self) -> None:
        """Probe nobody any more."""
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
