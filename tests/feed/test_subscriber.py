from __future__ import annotations

import asyncio

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub import CloseReason, Frame, SubscriberStatistics
from hub.errors import StreamClosed
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.subscriber import Outcome
from hub.feed.view import DEFAULT_METRICS, View
from tests.support.fakes import RecordingObserver, frame, settle

VIEW = View(DEFAULT_METRICS)


def queued(capacity: int = 3, observer: RecordingObserver | None = None) -> QueuedSubscriber:
    observer = observer or RecordingObserver()
    subscriber = QueuedSubscriber(VIEW, capacity, observer, ticket=HostTicket("it"))
    subscriber.go_live()
    return subscriber


async def test_frames_are_received_in_order() -> None:
    subscriber = queued()
    assert [subscriber.offer(frame(n)) for n in (1, 2)] == [Outcome.QUEUED] * 2
    assert [await subscriber.receive() for _ in range(2)] == [frame(1), frame(2)]


async def test_a_full_queue_gives_up_its_oldest_frame_and_counts_it() -> None:
    subscriber = queued()
    outcomes = [subscriber.offer(frame(n)) for n in range(5)]
    assert outcomes == [Outcome.QUEUED] * 3 + [Outcome.DROPPED] * 2
    assert [await subscriber.receive() for _ in range(3)] == [frame(2), frame(3), frame(4)]
    assert subscriber.statistics() == SubscriberStatistics(
        offered=5, delivered=3, dropped=2, pending=0, peak=3
    )


async def test_a_reader_that_waits_is_woken() -> None:
    subscriber = queued()
    reader = asyncio.ensure_future(subscriber.receive())
    await settle()
    assert not reader.done()
    subscriber.offer(frame(1))
    assert await reader == frame(1)


async def test_a_reader_that_is_cancelled_loses_no_frame() -> None:
    subscriber = queued()
    reader = asyncio.ensure_future(subscriber.receive())
    await settle()
    subscriber.offer(frame(1))
    reader.cancel()
    await settle()
    assert reader.cancelled()
    assert await subscriber.receive() == frame(1)


async def test_closing_ends_the_wait_with_its_reason() -> None:
    subscriber = queued()
    reader = asyncio.ensure_future(subscriber.receive())
    await settle()
    subscriber.close(CloseReason.STOPPING)
    subscriber.close(CloseReason.TOO_SLOW)
    with pytest.raises(StreamClosed, match="1001 hub stops serving"):
        await reader
    assert subscriber.close_reason is CloseReason.STOPPING


async def test_closing_keeps_what_is_pending_from_being_delivered_and_refuses_the_rest() -> None:
    subscriber = queued()
    subscriber.offer(frame(1))
    subscriber.close(CloseReason.STOPPING)
    assert subscriber.offer(frame(2)) is Outcome.REFUSED
    with pytest.raises(StreamClosed):
        await subscriber.receive()
    assert subscriber.statistics() == SubscriberStatistics(1, 0, 0, pending=1, peak=1)


async def test_iterating_ends_when_it_is_closed() -> None:
    subscriber = queued()
    subscriber.offer(frame(1))
    seen: list[Frame] = []

    async def read() -> None:
        seen.extend([one async for one in subscriber])

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await settle()
        subscriber.close(CloseReason.STOPPING)
    assert seen == [frame(1)]


async def test_the_observer_hears_of_one_slow_episode_once() -> None:
    observer = RecordingObserver()
    subscriber = queued(capacity=2, observer=observer)
    for n in range(5):
        subscriber.offer(frame(n))
    assert subscriber.lost == 3
    await subscriber.receive()
    await subscriber.receive()
    assert subscriber.lost == 0
    assert observer.seen == ["it blocked", "it slow", "it flowing", "it recovered 3"]


async def test_a_reader_that_keeps_up_is_never_blocked() -> None:
    observer = RecordingObserver()
    subscriber = queued(observer=observer)
    for n in range(5):
        reader = asyncio.ensure_future(subscriber.receive())
        await settle()
        subscriber.offer(frame(n))
        assert await reader == frame(n)
    assert observer.seen == []


def test_probing_a_reader_in_this_process_is_nothing() -> None:
    subscriber = queued()
    subscriber.probe()
    assert subscriber.close_reason is None


class QueueMachine(RuleBasedStateMachine):
    """Any interleaving of offering, reading and closing, beside the plainest model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.capacity = 3
        self.subscriber = queued(self.capacity)
        self.next = 0
        self.offered = 0
        self.expected: list[int] = []
        self.received: list[int] = []

    @rule(count=st.integers(1, 5))
    def offer(self, count: int) -> None:
        for _ in range(count):
            outcome = self.subscriber.offer(frame(self.next))
            if outcome is not Outcome.REFUSED:
                self.offered += 1
                self.expected = [*self.expected, self.next][-self.capacity :]
            self.next += 1

    @precondition(lambda self: self.expected and self.subscriber.close_reason is None)
    @rule()
    def receive(self) -> None:
        got = self.loop.run_until_complete(self.subscriber.receive())
        assert got == frame(self.expected.pop(0))
        self.received.append(int(got.text))

    @rule()
    def close(self) -> None:
        self.subscriber.close(CloseReason.STOPPING)

    @invariant()
    def every_frame_is_accounted_for(self) -> None:
        found = self.subscriber.statistics()
        assert found.offered == self.offered == found.delivered + found.dropped + found.pending
        assert found.delivered == len(self.received)
        assert found.pending == len(self.expected) <= found.peak <= self.capacity
        assert self.received == sorted(set(self.received))

    def teardown(self) -> None:
        self.loop.close()


TestQueue = QueueMachine.TestCase


@given(st.integers(1, 50), st.integers(0, 200))
def test_what_is_kept_is_always_the_newest(capacity: int, offered: int) -> None:
    subscriber = queued(capacity)
    for n in range(offered):
        subscriber.offer(frame(n))
    found = subscriber.statistics()
    assert found.pending == min(capacity, offered)
    assert found.dropped == max(0, offered - capacity)
