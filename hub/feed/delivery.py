"""The fan-out: handing the frames of a tick to their subscribers, in slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from hub.clock import Clock
from hub.feed.subscriber import Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import Frame

__all__ = ["Delivery", "Round"]

Round: TypeAlias = tuple[Frame, Sequence[Subscriber]]
"""A frame, and those that it is to be offered to."""

_STEP: Final = 32
"""Subscribers that are served between two looks at the clock."""


class Delivery:
    """Offers frames to subscribers, waiting for none of them.

    Each takes microseconds, and after every slice of a millisecond the event loop serves everything
    else: handshakes, pings and the clients' own words.

    Args:
        clock: measures the slices.
    """

    def __init__(self, clock: Clock) -> None:
        self.overruns = 0
        """Deliveries that were still under way when the next began."""
        self._slicer = TimeSlicer(clock)  # its own: replays do not slow it down

    def start(self, rounds: Sequence[Round]) -> None:
        """Begin to hand out frames; what the last delivery has left is handed out first."""
        if self._slicer.busy:
            self.overruns += 1
            self._slicer.finish()
        self._slicer.add(_hand_out(rounds))

    def stop(self) -> None:
        """Hand out nothing more."""
        self._slicer.stop()


def _hand_out(rounds: Sequence[Round]) -> Iterator[None]:
    for frame, subscribers in rounds:
        for first in range(0, len(subscribers), _STEP):
            for subscriber in subscribers[first : first + _STEP]:
                subscriber.offer(frame)
            yield
