"""A subscriber's states, on every way to its receiver, and what the accounts say in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)
from starlette.types import Message

from hub import CloseReason, Frame, Hub, Metric, Settings
from hub.errors import StreamClosed
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.subscriber import Backlog, Outcome, State, Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import View
from hub.server.connection import Connection
from hub.web.pump import EventPump, Pump, WebSocketPump
from tests.support.fakes import (
    FakeClock,
    FakeCollector,
    RecordingObserver,
    Replay,
    frame,
    settle,
    snapshot,
)

VIEW = View(("cpu",))


class Wire:
    """A transport, and an ASGI server, that write down what reaches the receiver."""

    def __init__(self) -> None:
        self.sent: list[object] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def set_protocol(self, protocol: object) -> None:
        pass

    def set_write_buffer_limits(self, **_limits: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        pass


class Reader(QueuedSubscriber):
    """A reader with a task that takes all there is."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(VIEW, 3, RecordingObserver(), ticket=HostTicket("it"))
        self.task = asyncio.ensure_future(self._read(wire))

    async def _read(self, wire: Wire) -> None:
        async for one in self:
            wire.sent.append(one)


def pump(kind: type[Pump]) -> Callable[[Wire], Subscriber]:
    def make(wire: Wire) -> Subscriber:
        ticket = HostTicket("it")
        return kind(VIEW, 3, RecordingObserver(), ticket=ticket, send=wire.send)

    return make


def connection(wire: Wire) -> Subscriber:
    return Connection(
        VIEW,
        3,
        RecordingObserver(),
        transport=wire,  # type: ignore[arg-type] # as far as it is used
        ticket=HostTicket("it"),
        connections=set(),
        left=lambda _: None,
    )


WAYS = pytest.mark.parametrize(
    "make",
    [Reader, pump(WebSocketPump), pump(EventPump), connection],
    ids=["reader", "websocket", "events", "connection"],
)
ENDS = pytest.mark.parametrize("reason", [None, CloseReason.RESTART])


def finish(subscriber: Subscriber, reason: CloseReason | None) -> None:
    """End it as the peer does (no reason), or as the hub does."""
    if reason is None:
        subscriber.end()
    else:
        subscriber.close(reason)


@WAYS
async def test_it_is_offered_frames_only_while_it_is_live(
    make: Callable[[Wire], Subscriber],
) -> None:
    wire = Wire()
    subscriber = make(wire)
    await settle()
    assert subscriber.state is State.JOINING
    assert subscriber.offer(frame(1)) is Outcome.REFUSED
    assert subscriber.go_live()
    assert subscriber.offer(frame(2)) is not Outcome.REFUSED
    await settle()
    assert len(wire.sent) == 1
    assert subscriber.accounts == (1, 1, 0, 0, 0)


@WAYS
@ENDS
async def test_what_has_ended_is_offered_and_asked_nothing(
    make: Callable[[Wire], Subscriber], reason: CloseReason | None
) -> None:
    wire = Wire()
    subscriber = make(wire)
    subscriber.go_live()
    await settle()
    finish(subscriber, reason)
    await settle()
    before = list(wire.sent)
    assert subscriber.state is State.ENDED
    assert subscriber.close_reason is reason
    assert subscriber.offer(frame(1)) is Outcome.REFUSED
    subscriber.probe()
    assert not subscriber.go_live()
    replay = Replay(subscriber, 5)
    replay.start()
    await settle()
    assert replay.read == []
    assert wire.sent == before
    assert subscriber.state is State.ENDED
    assert subscriber.accounts == (0, 0, 0, 0, 0)


@WAYS
@ENDS
async def test_a_replay_ends_with_its_subscriber_and_never_joins(
    make: Callable[[Wire], Subscriber], reason: CloseReason | None
) -> None:
    wire = Wire()
    subscriber = make(wire)
    await settle()
    joined: list[bool] = []

    def frames() -> Iterator[Frame | None]:
        yield frame(1)
        finish(subscriber, reason)
        yield frame(2)
        joined.append(subscriber.go_live())

    subscriber.start_replay(Backlog(frames(), TimeSlicer(FakeClock())))
    await settle()
    subscriber.probe()  # what once began the rest of it
    await settle()
    assert joined == []
    assert subscriber.state is State.ENDED
    assert subscriber.accounts.offered == 2


@WAYS
async def test_the_first_end_is_the_one_that_counts(make: Callable[[Wire], Subscriber]) -> None:
    by_peer, by_hub = make(Wire()), make(Wire())
    by_peer.end()
    by_peer.close(CloseReason.TOO_SLOW)
    by_hub.close(CloseReason.STOPPING)
    by_hub.end()
    by_hub.close(CloseReason.TOO_SLOW)
    await settle()
    assert (by_peer.close_reason, by_hub.close_reason) == (None, CloseReason.STOPPING)


async def test_a_reader_that_has_left_is_told_so() -> None:
    subscriber = QueuedSubscriber(VIEW, 3, RecordingObserver(), ticket=HostTicket("it"))
    subscriber.end()
    with pytest.raises(StreamClosed, match="its reader has left"):
        await subscriber.receive()


class Taker(Subscriber):
    """Takes a frame when it is told to, at once or out of its queue."""

    def __init__(self, capacity: int) -> None:
        super().__init__(VIEW, capacity, RecordingObserver(), ticket=HostTicket("taker"))
        self.is_open = False
        self.taken = 0

    def _write(self, frame: Frame) -> bool:  # noqa: ARG002 # only counted
        self.taken += self.is_open
        return self.is_open

    def _wake(self) -> None:
        pass

    def _send_close(self, reason: CloseReason) -> None:
        pass

    def _is_full(self) -> bool:
        return not self.is_open

    def take(self, count: int) -> None:
        for _ in range(count):
            if self._dequeue() is None:
                self._resume_replay()
            else:
                self.taken += 1


class AccountsMachine(RuleBasedStateMachine):
    """Subscribers that come, take, stall, are closed and leave, while a hub publishes."""

    takers: Bundle[Taker] = Bundle("takers")

    def __init__(self) -> None:
        super().__init__()
        metrics = (Metric("cpu", lambda: 1.0, always=True),)
        self.hub = Hub(
            Settings(history=6), metrics=metrics, clock=FakeClock(), collector=FakeCollector()
        )
        self.number = 0
        self.here: list[Taker] = []
        self.all: list[Taker] = []

    @rule(count=st.integers(1, 8))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.hub.publish(snapshot(self.number))

    @rule(target=takers, capacity=st.integers(1, 4), history=st.integers(0, 6))
    def add(self, capacity: int, history: int) -> Taker:
        taker = Taker(capacity)
        self.here.append(taker)
        self.all.append(taker)
        self.hub.add(taker, history=history)
        return taker

    @rule(taker=takers, count=st.integers(1, 6))
    def take(self, taker: Taker, count: int) -> None:
        taker.take(count)

    @rule(taker=takers)
    def stall_or_flow(self, taker: Taker) -> None:
        taker.is_open = not taker.is_open
        if taker.is_open:
            taker.take(100)

    @rule(taker=takers, reason=st.sampled_from(CloseReason))
    def close(self, taker: Taker, reason: CloseReason) -> None:
        taker.close(reason)

    @rule(target=takers, taker=consumes(takers), again=st.booleans())
    def leave(self, taker: Taker, *, again: bool) -> MultipleResults[Taker]:
        self.hub.remove(taker)
        if again:
            self.hub.remove(taker)
        self.here = [one for one in self.here if one is not taker]
        return multiple()

    @invariant()
    def every_frame_of_each_is_accounted_for(self) -> None:
        for taker in self.all:
            found = taker.accounts
            assert found.offered == found.delivered + found.dropped + found.pending
            assert found.delivered == taker.taken
            assert found.expired <= found.dropped

    @invariant()
    def every_frame_of_all_is_accounted_for(self) -> None:
        found = self.hub.statistics()
        assert found.offered == (found.delivered + found.dropped + found.abandoned + found.pending)
        assert found.offered == sum(taker.accounts.offered for taker in self.all)
        assert found.pending == sum(taker.accounts.pending for taker in self.here)
        assert found.subscribers == len(self.here)


TestAccountsInAnyOrder = AccountsMachine.TestCase
TestAccountsInAnyOrder.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
