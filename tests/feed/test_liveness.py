from __future__ import annotations

import logging

import pytest

from hub import CloseReason
from hub.feed.liveness import EpisodeLog, StallWatch
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.view import View
from tests.support.fakes import FakeClock, frame

VIEW = View(("cpu",))


class Room:
    """A watch with a clock of its own, and subscribers of it."""

    def __init__(self, timeout: float = 15) -> None:
        self.clock = FakeClock()
        self.watch = StallWatch(timeout, self.clock)

    def enter(self, name: str) -> QueuedSubscriber:
        subscriber = QueuedSubscriber(VIEW, 1, self.watch, ticket=HostTicket(name))
        subscriber.go_live()
        return subscriber


async def test_who_takes_nothing_is_cut_off_at_the_deadline() -> None:
    room = Room()
    stalled = room.enter("stalled")
    stalled.offer(frame(1))
    await room.clock.advance(14.8)
    assert stalled.close_reason is None
    await room.clock.advance(0.2)
    assert stalled.close_reason is CloseReason.TOO_SLOW


async def test_who_takes_a_frame_in_time_begins_anew() -> None:
    room = Room()
    one = room.enter("one")
    one.offer(frame(1))
    await room.clock.advance(14)
    await one.receive()
    one.offer(frame(2))
    await room.clock.advance(14)
    assert one.close_reason is None
    await room.clock.advance(1)
    assert one.close_reason is CloseReason.TOO_SLOW


async def test_each_has_a_deadline_of_its_own_on_one_timer() -> None:
    room = Room()
    stalled = []
    for n in range(3):
        stalled.append(room.enter(str(n)))
        stalled[n].offer(frame(1))
        await room.clock.advance(5)
        assert room.clock.pending == 1
    for n in range(3):
        assert [one.close_reason is not None for one in stalled] == [i <= n for i in range(3)]
        await room.clock.advance(5)
    assert room.clock.pending == 0


async def test_there_is_no_timer_while_nobody_is_blocked() -> None:
    assert Room().clock.pending == 0


async def test_who_has_left_is_watched_no_longer() -> None:
    room = Room()
    gone = room.enter("gone")
    gone.offer(frame(1))
    room.watch.gone(gone)
    await room.clock.advance(60)
    assert gone.close_reason is None


async def test_stopping_forgets_everybody() -> None:
    room = Room()
    one = room.enter("one")
    one.offer(frame(1))
    room.watch.stop()
    await room.clock.advance(60)
    assert one.close_reason is None
    assert room.clock.pending == 0


async def test_a_slow_episode_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    slow = QueuedSubscriber(VIEW, 1, EpisodeLog(), ticket=HostTicket("10.0.0.1:4711"))
    slow.go_live()
    for n in range(5):
        slow.offer(frame(n))
    await slow.receive()
    assert caplog.messages == [
        "Slow client 10.0.0.1:4711: dropping its oldest frames",
        "Slow client 10.0.0.1:4711: recovered, 4 frames lost",
    ]


@pytest.mark.parametrize(
    ("close_reason", "end"), [(None, "gone"), (CloseReason.TOO_SLOW, "cut off")]
)
async def test_the_log_says_how_a_slow_client_has_left(
    caplog: pytest.LogCaptureFixture, close_reason: CloseReason | None, end: str
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    log = EpisodeLog()
    slow = QueuedSubscriber(VIEW, 1, log, ticket=HostTicket("client"))
    slow.go_live()
    for n in range(3):
        slow.offer(frame(n))
    if close_reason is not None:
        slow.close(close_reason)
    log.gone(slow)
    assert caplog.messages[1:] == [f"Slow client client: {end}, 2 frames lost and 1 pending"]


def test_who_was_cut_off_without_having_dropped_a_frame_is_logged_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    log = EpisodeLog()
    client = QueuedSubscriber(VIEW, 1, log, ticket=HostTicket("client"))
    client.close(CloseReason.TOO_SLOW)
    log.gone(client)
    assert caplog.messages == ["Slow client client: cut off, 0 frames lost"]


def test_a_client_that_was_not_slow_leaves_without_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    log = EpisodeLog()
    log.gone(QueuedSubscriber(VIEW, 1, log, ticket=HostTicket("client")))
    assert caplog.messages == []
