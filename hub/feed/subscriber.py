"""One receiver of one view: its states, its bounded queue and its accounts.

The policy: a queue that is full gives up its oldest frame, because the newest snapshot supersedes
it. Nothing waits for a subscriber, and at any moment, for every subscriber:

    offered == delivered + dropped + pending

Each of the four is counted by itself, so that a frame that is lost on the way shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol, final

from hub.errors import CloseReason
from hub.feed.accounts import Accounts, SubscriberStatistics
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import Frame, View

__all__ = ["Backlog", "Observer", "Outcome", "State", "Subscriber", "Ticket"]


class State(Enum):
    """Where a subscriber is in its life; it goes down this list, and never back."""

    JOINING = auto()
    """It is offered nothing yet."""
    REPLAYING = auto()
    """It receives what was before, as fast as its receiver takes it."""
    LIVE = auto()
    """It is offered every new frame."""
    ENDED = auto()
    """It is offered and asked nothing any more, for one reason."""


_REPLAYING, _LIVE, _ENDED = State.REPLAYING, State.LIVE, State.ENDED  # looked up once per frame


class Outcome(Enum):
    """What became of a frame that was offered."""

    DELIVERED = auto()
    QUEUED = auto()
    DROPPED = auto()
    """Queued, at the cost of the oldest one."""
    REFUSED = auto()
    """The subscriber is not live; the frame does not count as offered."""


_DELIVERED, _REFUSED = Outcome.DELIVERED, Outcome.REFUSED


class Ticket(Protocol):
    """A client's admission: its ``str`` is who it is, in the log."""

    def release(self) -> None:
        """Give the client's place back."""
        ...


class Observer(Protocol):
    """Is told of what happens to a subscriber. All calls are synchronous and must be quick."""

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


class Backlog:
    """What a subscriber is to receive before it is live, read piece by piece.

    Args:
        frames: yields them, and None where it has worked for a moment without one; at its end the
            subscriber is live.
        slicer: runs it.
    """

    __slots__ = ("frames", "running", "slicer")

    def __init__(self, frames: Iterator[Frame | None], slicer: TimeSlicer) -> None:
        self.frames = frames
        self.slicer = slicer
        self.running = False
        """Whether the slicer has it, rather than waiting for the receiver."""


class Subscriber(ABC):
    """A receiver that frames are offered to, one at a time, by the hub.

    What it may be offered and asked is decided here, by its state. Subclasses say how to hand a
    frame on (``_write``), that there is one in the queue (``_wake``), how to say goodbye
    (``_send_close``) and how to ask for a sign of life (``_send_probe``).

    Args:
        view: what it receives.
        capacity: frames that may be pending.
        observer: told when it blocks, flows, is slow, has recovered.
        ticket: of the client that receives.
    """

    __slots__ = (
        "_backlog", "_blocked", "_capacity", "_close_reason", "_delivered", "_dropped", "_expired",
        "_lost", "_observer", "_offered", "_peak", "_queue", "_state", "ticket", "view",
    )  # fmt: skip

    def __init__(self, view: View, capacity: int, observer: Observer, *, ticket: Ticket) -> None:
        self.view = view
        self.ticket = ticket
        self._capacity = capacity
        self._observer = observer
        self._state = State.JOINING
        self._close_reason: CloseReason | None = None
        # A list, made when needed: a deque costs 0.7 KiB even when empty, and few are ever needed.
        self._queue: list[Frame] | None = None
        self._backlog: Backlog | None = None  # only while it replays
        self._blocked = False  # its receiver takes nothing at the moment, as far as is known
        self._lost = 0  # dropped since it was last up to date
        self._peak = 0
        self._offered = self._delivered = self._dropped = self._expired = 0

    # What subclasses say

    @abstractmethod
    def _write(self, frame: Frame) -> bool:
        """Hand a frame to the receiver if it takes it at once; say whether it did."""

    @abstractmethod
    def _wake(self) -> None:
        """See to it that what is in the queue reaches the receiver. Does not wait."""

    @abstractmethod
    def _send_close(self, reason: CloseReason) -> None:
        """End the stream towards the receiver. Does not wait."""

    def _send_probe(self) -> None:  # noqa: B027 # most have nothing to ask
        """Ask the receiver for a sign of life, where nothing else does."""

    # Its state

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the hub has ended it; None if it has not, or if the peer has."""
        return self._close_reason

    @final
    def start_replay(self, backlog: Backlog) -> None:
        """Receive a backlog first, each frame only when the receiver can have it."""
        if self._state is State.JOINING:
            self._state = _REPLAYING
            self._backlog = backlog
            self._resume_replay()

    @final
    def go_live(self) -> bool:
        """Be offered every new frame from now on; say whether that is so."""
        if self._state is not _ENDED:
            self._state = _LIVE
            self._backlog = None
            if not self._queue:
                self._mark_recovered()
        return self._state is _LIVE

    @final
    def close(self, reason: CloseReason) -> None:
        """End it for the hub's reason given, and tell the receiver. Never waits.

        Again, or once the peer has ended it, is a no-op.
        """
        if self._state is not _ENDED:
            self._close_reason = reason
            self._state = _ENDED
            self._backlog = None
            self._send_close(reason)

    @final
    def end(self) -> None:
        """Note that the peer has ended it; a no-op if it has ended already."""
        if self._state is not _ENDED:
            self._state = _ENDED
            self._backlog = None

    @final
    def probe(self) -> None:
        """Ask the receiver for a sign of life; called now and then."""
        if self._state is not _ENDED:
            self._send_probe()

    # Its frames

    @final
    def offer(self, frame: Frame) -> Outcome:
        """Deliver ``frame`` or queue it. Never waits, never raises, takes microseconds."""
        if self._state is not _LIVE:
            return _REFUSED
        self._offered += 1
        if self._write(frame):
            self._delivered += 1
            return _DELIVERED
        return self._enqueue(frame)

    def _enqueue(self, frame: Frame) -> Outcome:
        queue = self._queue
        if queue is None:
            queue = self._queue = []
        queue.append(frame)
        outcome = Outcome.QUEUED
        if len(queue) > self._capacity:
            del queue[0]
            self._drop(1)
            outcome = Outcome.DROPPED
        self._peak = max(self._peak, len(queue))
        self._wake()
        return outcome

    def _dequeue(self) -> Frame | None:
        """Take the oldest pending frame to hand it on, if there is one."""
        queue = self._queue
        if not queue:
            return None
        frame = queue.pop(0)
        self._delivered += 1
        if not queue:
            self._queue = None
            if self._backlog is None:
                self._mark_recovered()
        return frame

    def _drop(self, count: int) -> None:
        if not self._lost:
            self._observer.slow(self)
        self._dropped += count
        self._lost += count

    @final
    def expire(self, count: int) -> None:
        """Count frames of the backlog that were gone before they could be read."""
        if count:
            self._offered += count
            self._expired += count
            self._drop(count)

    def _resume_replay(self) -> None:
        """Go on with the backlog, if there is one: the receiver has room again."""
        backlog = self._backlog
        if backlog is not None and not backlog.running:
            backlog.running = True
            backlog.slicer.add(self._replay(backlog))

    def _replay(self, backlog: Backlog) -> Iterator[None]:
        """Hand on the backlog as far as the receiver takes it; nothing of it is ever dropped."""
        while self._backlog is backlog and not self._queue and not self._is_full():
            frame = next(backlog.frames, None)
            if frame is not None:
                self._offered += 1
                if self._write(frame):
                    self._delivered += 1
                else:
                    self._enqueue(frame)
            yield
        backlog.running = False

    def _is_full(self) -> bool:
        """Say whether the receiver takes nothing even while the queue is empty."""
        return False

    # Its accounts

    @property
    def accounts(self) -> Accounts:
        """What became of its frames so far."""
        return Accounts(
            self._offered,
            self._delivered,
            self._dropped,
            self._expired,
            len(self._queue or ()),
        )

    @property
    def lost(self) -> int:
        """Frames dropped since it was last up to date; not 0 means that it is slow."""
        return self._lost

    def statistics(self) -> SubscriberStatistics:
        """Return the counters as they are now."""
        offered, delivered, dropped, _, pending = self.accounts
        return SubscriberStatistics(offered, delivered, dropped, pending, self._peak)

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
