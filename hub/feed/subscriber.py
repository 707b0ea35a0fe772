"""One receiver of one view: its bounded queue, the queue's policy and its accounting.

The policy: a queue that is full gives up its oldest frame, because the newest snapshot supersedes
it. Nobody waits for a subscriber, and at any moment, for every subscriber:

    offered == delivered + dropped + pending
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, Self

from hub.errors import CloseReason, StreamClosed
from hub.feed.view import Frame, View

__all__ = ["Observer", "Outcome", "QueuedSubscriber", "Subscriber", "SubscriberStatistics"]


class Outcome(Enum):
    """What became of a frame that was offered."""

    DELIVERED = auto()
    QUEUED = auto()
    DROPPED = auto()
    """Queued, at the cost of the oldest one."""
    REFUSED = auto()
    """The subscriber is closed; the frame does not count as offered."""


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


class Observer(Protocol):
    """Who is told of what happens to a subscriber. All calls are synchronous and must be quick."""

    def blocked(self, subscriber: Subscriber) -> None:
        """It has begun to hold frames because its receiver takes none."""
        ...

    def flowing(self, subscriber: Subscriber) -> None:
        """Its receiver takes frames again."""
        ...

    def slow(self, subscriber: Subscriber) -> None:
        """It has dropped its first frame since it was last up to date."""
        ...

    def recovered(self, subscriber: Subscriber, lost: int) -> None:
        """It is up to date again, having dropped ``lost`` frames."""
        ...


class Subscriber(ABC):
    """A receiver that frames are offered to, one at a time, by the hub.

    Args:
        view: what it receives.
        capacity: frames that may be pending.
        observer: told when it blocks, flows, is slow, has recovered.
        name: who receives, which is written in the log as its ``str``.
    """

    __slots__ = (
        "_backlog",
        "_blocked",
        "_capacity",
        "_delivered",
        "_dropped",
        "_expired",
        "_held",
        "_lost",
        "_observer",
        "_peak",
        "close_reason",
        "name",
        "view",
    )  # fmt: skip

    close_reason: CloseReason | None
    """Why the hub has closed it, if it has."""

    def __init__(self, view: View, capacity: int, observer: Observer, *, name: object) -> None:
        self.view = view
        self.name = name
        self.close_reason = None
        self._capacity = capacity
        self._observer = observer
        self._backlog: Iterator[Frame] | None = None
        self._held: list[Frame] | None = None
        self._delivered = self._dropped = self._expired = self._peak = self._lost = 0
        self._blocked = False

    @abstractmethod
    def offer(self, frame: Frame) -> Outcome:
        """Deliver ``frame`` or queue it. Never waits, never raises, takes microseconds."""

    @abstractmethod
    def close(self, close_reason: CloseReason) -> None:
        """End the stream for the reason given; again is a no-op. Never waits."""

    @property
    def totals(self) -> tuple[int, int, int]:
        """Frames delivered, dropped, and of those the ones that were gone before their replay."""
        return self._delivered, self._dropped, self._expired

    @property
    def lost(self) -> int:
        """Frames dropped since it was last up to date; not 0 means that it is slow."""
        return self._lost

    def statistics(self) -> SubscriberStatistics:
        """Return the counters as they are now."""
        pending = len(self._held or ())
        offered = self._delivered + self._dropped + pending
        return SubscriberStatistics(offered, self._delivered, self._dropped, pending, self._peak)

    def replay(self, backlog: Iterator[Frame]) -> None:
        """Receive these frames first, each taken only when the receiver can have it.

        For a subscriber that has been offered nothing yet, nor is while there are any.
        """
        self._backlog = backlog
        self._start_replay()

    @abstractmethod
    def _start_replay(self) -> None:
        """Begin to hand on the backlog. Does not wait."""

    def skip(self, count: int) -> None:
        """Count frames of the backlog that were gone before they could be taken."""
        if count:
            self._expired += count
            self._drop(count)

    def probe(self) -> None:  # noqa: B027 # most have nothing to ask
        """Ask the receiver for a sign of life, where nobody else does; called now and then."""

    def _enqueue(self, frame: Frame) -> Outcome:
        # A list, made when needed: a deque costs 0.7 KiB even when empty, and few are ever needed.
        held = self._held
        if held is None:
            held = self._held = []
        held.append(frame)
        if len(held) <= self._capacity:
            self._peak = max(self._peak, len(held))
            return Outcome.QUEUED
        del held[0]
        self._drop(1)
        return Outcome.DROPPED

    def _drop(self, count: int) -> None:
        if not self._lost:
            self._observer.slow(self)
        self._dropped += count
        self._lost += count

    def _dequeue(self) -> Frame | None:
        """Count the oldest frame that is due as delivered and return it, if there is one."""
        if self._backlog is not None:
            frame = next(self._backlog, None)
            if frame is not None:
                self._delivered += 1
                return frame
            self._backlog = None
            self._mark_recovered()
        held = self._held
        if not held:
            return None
        frame = held.pop(0)
        self._delivered += 1
        if not held:
            self._held = None
            self._mark_recovered()
        return frame

    def _mark_recovered(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._observer.recovered(self, lost)

    def _block(self) -> None:
        """Say that the receiver takes no frames at the moment, if it did."""
        if not self._blocked:
            self._blocked = True
            self._observer.blocked(self)

    def _flow(self) -> None:
        """Say that the receiver takes frames again, if it did not."""
        if self._blocked:
            self._blocked = False
            self._observer.flowing(self)


class QueuedSubscriber(Subscriber):
    """A subscriber that somebody reads from, one frame at a time: ``async for frame in it``."""

    __slots__ = ("_wakeup",)

    def __init__(self, view: View, capacity: int, observer: Observer, *, name: object) -> None:
        super().__init__(view, capacity, observer, name=name)
        self._wakeup: asyncio.Future[None] | None = None

    def _start_replay(self) -> None:
        self._wake()

    def offer(self, frame: Frame) -> Outcome:
        """See ``Subscriber``."""
        if self.close_reason is not None:
            return Outcome.REFUSED
        if self._wakeup is None:
            self._block()
        outcome = self._enqueue(frame)
        self._wake()
        return outcome

    def close(self, close_reason: CloseReason) -> None:
        """See ``Subscriber``. Frames that are pending stay so."""
        if self.close_reason is None:
            self.close_reason = close_reason
            self._wake()

    async def receive(self) -> Frame:
        """Return the oldest pending frame, waiting for one if need be.

        For one reader at a time. Cancellation loses no frame.

        Raises:
            StreamClosed: the hub has closed the subscriber.
        """
        self._flow()
        while self.close_reason is None:
            if self._backlog is not None:
                await asyncio.sleep(0)  # there may be thousands, and nothing else to wait for
            frame = self._dequeue()
            if frame is not None:
                return frame
            self._wakeup = asyncio.get_running_loop().create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None
        raise StreamClosed(self.close_reason)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.receive()
        except StreamClosed:
            raise StopAsyncIteration from None
