"""Where the past meets the present: replays against a plain reference, however they interleave."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import AtCapacity, CloseReason, Frame, Hub, Metric, Settings
from hub.feed.liveness import EpisodeLog
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.subscriber import State, Subscriber
from hub.feed.view import Aggregate, View
from hub.feed.window import Window
from hub.sampling.snapshot import Failure, Reading, Snapshot
from tests.support.fakes import FakeClock, FakeCollector, Listener, TickingClock, settle

METRICS = (Metric("cpu", lambda: 1.0, always=True), Metric("rare", lambda: 1.0))
BY_NAME = {metric.name: metric for metric in METRICS}
START = 1_762_777_800  # the beginning of a minute


class Reader(Subscriber):
    """Takes a frame when it is told to, and holds what it is offered meanwhile."""

    def __init__(self, view: View, capacity: int = 1000) -> None:
        super().__init__(view, capacity, EpisodeLog(), ticket=HostTicket("reader"))
        self.received: list[dict[str, Any]] = []

    def _write(self, frame: Frame) -> bool:  # noqa: ARG002 # it has to wait
        return False

    def _wake(self) -> None:
        """Wait to be told."""

    def _send_close(self, reason: CloseReason) -> None:
        """There is nothing behind it."""

    def take(self, count: int = 1_000_000) -> list[dict[str, Any]]:
        while count and (frame := self._next()) is not None:
            self.received.append(json.loads(frame.text))
            count -= 1
        statistics = self.statistics()
        assert statistics.delivered == len(self.received)
        assert statistics.offered == (
            statistics.delivered + statistics.dropped + statistics.pending
        )
        return self.received

    def _next(self) -> Frame | None:
        frame = self._dequeue()
        if frame is None:
            self._resume_replay()
            frame = self._dequeue()
        return frame

    @property
    def times(self) -> list[str]:
        return [one["timestamp"] for one in self.received]


class Bench:
    """A hub whose snapshots a test publishes, all of which it remembers."""

    def __init__(
        self, capacity: int = 100, views: int = 256, clock: FakeClock | None = None
    ) -> None:
        settings = Settings(history=capacity, views=views)
        self.hub = Hub(
            settings, metrics=METRICS, clock=clock or FakeClock(), collector=FakeCollector()
        )
        self.published: list[Snapshot] = []
        self.capacity = capacity
        self.tick = self.number = START

    def publish(self, step: int = 1, *, rare: Reading | None = None) -> None:
        self.tick += step
        self.number += max(step, 1)
        readings: dict[str, Reading] = {"cpu": float(self.tick % 97)}
        if rare is not None:
            readings["rare"] = rare
        self.published.append(Snapshot(self.tick, self.number, self.tick + 0.25, readings))
        self.hub.publish(self.published[-1])

    def numbers(self, timestamps: list[str], ticks: int) -> list[int]:
        """Return the numbers of the windows that end with these snapshots."""
        published = {one.timestamp: one for one in self.published}
        return [published[timestamp].window_number(ticks) for timestamp in timestamps]

    def kept(self) -> list[Snapshot]:
        return self.published[-self.capacity :]

    def expected(self, view: View, kept: list[Snapshot], after: float) -> list[dict[str, Any]]:
        """Say what a view is told of these snapshots and of all that came after them."""
        first = kept[0] if kept else None
        later = self.published[self.published.index(first) :] if first else self.published
        if first is not None and first is not self.published[0]:
            cut = first.tick // view.ticks if first.tick % view.ticks else None
            later = _without_beginning(later, view.ticks, cut)
        window = Window(view, BY_NAME)
        ended = [one for snapshot in later for one in window.add(snapshot) if one.time > after]
        frames = [frame for one in ended if (frame := view.encode(one, past=True)) is not None]
        return [json.loads(frame.text) for frame in frames]


def _without_beginning(snapshots: list[Snapshot], ticks: int, number: int | None) -> list[Snapshot]:
    """Leave out the beginning as far as it belongs to a window of which not all is kept."""
    for index, snapshot in enumerate(snapshots):
        if snapshot.tick // ticks != number:
            return snapshots[index:]
    return []


def unnumbered(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k != "seq"} for one in messages]


STEPS = st.sampled_from([1, 1, 1, 1, 1, 2, 7])
RARE = st.sampled_from([None, None, 5.0, Failure("gone")])
PUBLISH = st.tuples(STEPS, RARE)
VIEWS = st.builds(
    View,
    st.sampled_from([("cpu",), ("cpu", "rare"), ("rare",)]),
    st.integers(1, 6),
    st.sampled_from(list(Aggregate)),
    st.booleans(),
    st.booleans(),
)


@given(
    capacity=st.integers(1, 40),
    before=st.lists(PUBLISH, max_size=40),
    view=VIEWS,
    back=st.floats(0, 80),
    asked=st.sampled_from(["history", "since", "since a frame"]),
    then=st.lists(PUBLISH | st.integers(1, 9), max_size=20),
)
def test_a_replay_and_what_follows_is_what_the_reference_says(
    *,
    capacity: int,
    before: list[tuple[int, Reading | None]],
    view: View,
    back: float,
    asked: str,
    then: list[tuple[int, Reading | None] | int],
) -> None:
    bench = Bench(capacity)
    for step, rare in before:
        bench.publish(step, rare=rare)
    newest = bench.published[-1].time if bench.published else 0.0
    kept, reader = bench.kept(), Reader(view)
    if asked == "history":
        after = newest - (1 + int(back))
        bench.hub.add(reader, history=1 + int(back))
    else:
        after = newest - (int(back) if asked == "since a frame" else back)
        bench.hub.add(reader, since=after)
    lost = False
    for action in then:
        if isinstance(action, int):
            reader.take(action)
        else:
            bench.publish(action[0], rare=action[1])
        lost = lost or reader.statistics().dropped > 0
    reader.take()
    lost = lost or reader.statistics().dropped > 0
    assert reader.times == sorted(set(reader.times)), "strictly increasing"
    expected = unnumbered(bench.expected(view, kept, after))
    received = unnumbered(reader.received)
    # Who had nothing of the past is not told what has not been sampled at all.
    expected = expected[_missing(expected, received) :]
    if received[:1] != expected[:1]:
        received = received[1:]  # greeted with what there was, or with the window so far
    if _expired(bench, kept):
        return  # see below
    assert received == expected
    if view.seq:
        numbers = [one["seq"] for one in reader.received]
        assert numbers[1:] == bench.numbers(reader.times[1:], view.ticks)
        # What the window holds so far has the number of the one before.
        whole = bench.numbers(reader.times[:1], view.ticks)
        assert numbers[:1] in (whole, [number - 1 for number in whole])
    assert not lost


def _is_whole(message: dict[str, Any]) -> bool:
    return all(
        one is not None or name in message.get("errors", {}) for name, one in message.items()
    )


def _missing(expected: list[dict[str, Any]], received: list[dict[str, Any]]) -> int:
    """Count the first messages that were not received because something had not been sampled."""
    first = next((at for at, one in enumerate(expected) if _is_whole(one)), len(expected))
    silent = not received or _is_whole(received[0])
    return first if silent else 0


def _expired(bench: Bench, kept: list[Snapshot]) -> bool:
    """Say whether what was to be replayed may have left the ring before it was read."""
    first = bench.published.index(kept[0]) if kept else 0
    return len(bench.published) - first > bench.capacity


# What is overtaken by the ring


@given(st.integers(1, 10), st.integers(0, 10), st.integers(0, 10), st.lists(st.integers(0, 30)))
def test_who_is_overtaken_skips_to_what_is_kept_and_every_frame_is_accounted_for(
    capacity: int, before: int, first: int, then: list[int]
) -> None:
    bench, reader = Bench(capacity), Reader(View(("cpu",), seq=True))
    for _ in range(before):
        bench.publish()
    begin = len(bench.published) - min(before, capacity)
    bench.hub.add(reader, history=100)
    reader.take(first)
    for count in then:
        bench.publish()
        reader.take(count)
    reader.take()
    statistics = reader.statistics()
    published = bench.published[begin:]
    assert statistics.delivered + statistics.dropped == len(published)
    times = [one.timestamp for one in published]
    assert [time for time in times if time in reader.times] == reader.times
    numbers = [one["seq"] for one in reader.received]
    assert [b - a for a, b in pairwise(numbers)] == [
        times.index(b) - times.index(a) for a, b in pairwise(reader.times)
    ]
    if published:
        assert reader.times[-1] == times[-1]


def test_being_overtaken_is_one_slow_episode(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    bench, reader = Bench(5), Reader(View(("cpu",)))
    for _ in range(5):
        bench.publish()
    bench.hub.add(reader, history=5)
    reader.take(1)
    for _ in range(9):
        bench.publish()
    reader.take()
    assert caplog.messages == [
        "Slow client reader: dropping its oldest frames",
        "Slow client reader: recovered, 8 frames lost",
    ]
    assert reader.lost == 0


def test_a_window_of_which_a_part_was_overtaken_is_left_out() -> None:
    bench, reader = Bench(5), Reader(View(("cpu",), 5))
    for step in (1, 1, 5, 1):  # ticks 1, 2, 7, 8: the first window ends with tick 7
        bench.publish(step)
    bench.hub.add(reader, history=60)
    reader.take(1)
    for _ in range(6):  # to tick 14: only 10 and later are kept
        bench.publish()
    reader.take()
    assert reader.times == [bench.published[index].timestamp for index in (1, -1)]


# Joining


def test_who_has_caught_up_is_one_subscriber_like_any_other() -> None:
    bench, reader = Bench(), Reader(View(("cpu",)))
    bench.publish()
    bench.hub.add(reader, history=5)
    reader.take()
    assert bench.hub.statistics().subscribers == 1
    bench.publish()
    assert reader.statistics().pending == 1


def test_the_newest_whole_window_is_seen_at_once() -> None:
    bench, reader = Bench(), Reader(View(("cpu",), 5))
    for _ in range(13):  # ticks 1 to 13: 5 to 9 are the newest whole window
        bench.publish()
    bench.hub.add(reader)
    (greeting,) = reader.take()
    assert greeting["timestamp"] == bench.published[8].timestamp
    assert greeting["cpu"] == sum((START + n) % 97 for n in range(5, 10)) / 5
    bench.publish()
    assert reader.take()[1]["timestamp"] == bench.published[13].timestamp
    assert reader.received[1]["cpu"] == sum((START + n) % 97 for n in range(10, 15)) / 5


def test_before_there_is_one_it_is_what_the_window_holds_so_far() -> None:
    bench, first, second = Bench(), Reader(View(("cpu",), 5)), Reader(View(("cpu",), 5))
    bench.publish()
    bench.publish()
    bench.hub.add(first)
    bench.publish()
    bench.hub.add(second)
    bench.publish()
    assert [one["cpu"] for one in first.take()] == [
        sum((START + n) % 97 for n in numbers) / len(numbers) for numbers in ([1, 2], [1, 2, 3, 4])
    ]
    assert [one["timestamp"] for one in second.take()] == [
        bench.published[2].timestamp,
        bench.published[3].timestamp,
    ]


def test_a_family_that_nobody_had_asked_for_is_seen_from_its_first_reading() -> None:
    bench, reader = Bench(), Reader(View(("rare",), 5))
    bench.publish()
    bench.hub.add(reader, history=10)
    assert reader.take() == []
    bench.publish(rare=4.0)
    assert [one["rare"] for one in reader.take()] == [4.0]
    bench.publish(rare=6.0)
    assert len(reader.take()) == 1, "once, and then with the window"
    bench.publish(rare=8.0)
    assert [one["rare"] for one in reader.take()] == [4.0, 6.0]


def test_what_was_told_of_a_window_is_not_told_again_when_its_last_ticks_were_missed() -> None:
    bench, reader = Bench(), Reader(View(("cpu",), 5))
    bench.publish()
    bench.hub.add(reader)
    bench.publish(step=7)
    assert len(reader.take()) == 1
    bench.publish()
    assert len(reader.take()) == 2
    assert len(set(reader.times)) == 2


def test_without_a_history_a_window_is_what_was_sampled_since_somebody_asked() -> None:
    settings = Settings(history=0)
    hub = Hub(settings, metrics=METRICS, clock=FakeClock(), collector=FakeCollector())
    bench, reader = Bench(), Reader(View(("cpu",), 3))
    bench.hub = hub
    for _ in range(4):
        bench.publish()
    hub.add(reader)
    for _ in range(4):
        bench.publish()
    assert [one["cpu"] for one in reader.take()] == [
        sum((START + n) % 97 for n in numbers) / len(numbers) for numbers in ([5], [6, 7, 8])
    ]


# In slices


async def test_what_comes_while_the_past_is_read_is_neither_lost_nor_told_twice() -> None:
    bench = Bench(600, clock=TickingClock())
    view = View(("cpu",), 50, seq=True)
    for _ in range(500):
        bench.publish()
    await settle()
    kept, after = bench.kept(), bench.published[-1].time - 400
    live, replaying = Listener(view), Listener(view)
    bench.hub.add(live)
    bench.hub.add(replaying, history=400)
    assert live.frames == replaying.frames == []  # a slice was not enough
    assert {live.state, replaying.state} == {State.JOINING, State.REPLAYING}
    turns = 0
    while bench.hub.slicer.busy or len(bench.published) < 800:
        await asyncio.sleep(0)
        turns += 1
        if turns % 3 == 0:
            bench.publish()
    await settle()
    assert turns > 50
    expected = unnumbered(bench.expected(view, kept, after))
    received = [json.loads(one.text) for one in replaying.frames]
    assert unnumbered(received) == expected
    assert [one["seq"] for one in received] == bench.numbers(
        [one["timestamp"] for one in received], 50
    )
    shared = [json.loads(one.text) for one in live.frames]
    assert shared == received[-len(shared) :]
    assert shared[0]["timestamp"] < bench.published[500].timestamp, "the newest whole window"


async def test_who_leaves_while_its_channel_is_filled_leaves_nothing_behind() -> None:
    bench = Bench(600, clock=TickingClock())
    for _ in range(500):
        bench.publish()
    await settle()
    gone, other = Listener(View(("cpu",), 50)), Listener(View(("cpu",), 50))
    bench.hub.add(gone)
    bench.hub.remove(gone)
    assert bench.hub.statistics().views == 0
    bench.hub.add(other)
    await _until_idle(bench.hub)
    assert gone.frames == []
    assert len(other.frames) == 1


async def _until_idle(hub: Hub) -> None:
    for _ in range(10_000):
        if not hub.slicer.busy:
            return
        await asyncio.sleep(0)
    raise AssertionError("it never ends")


def test_a_clock_that_is_set_back_sets_no_number_back() -> None:
    bench, reader = Bench(), Reader(View(("cpu",), 10, seq=True))
    bench.publish()
    bench.hub.add(reader)
    for step in (1, 1, 8, 1, 1, -7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 100, *[1] * 20):
        bench.publish(step)
    numbers = [one["seq"] for one in reader.take()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 4


# Leaving, and the cap on views


def test_who_leaves_half_way_leaves_nothing_behind() -> None:
    bench, reader = Bench(), Reader(View(("cpu",)))
    for _ in range(9):
        bench.publish()
    bench.hub.add(reader, history=9)
    reader.take(3)
    assert bench.hub.statistics().subscribers == 1
    bench.hub.remove(reader)
    assert bench.hub.statistics().subscribers == bench.hub.statistics().views == 0
    bench.hub.remove(reader)
    bench.publish()
    assert len(reader.received) == 3


@pytest.mark.parametrize("history", [0, 500])
@pytest.mark.parametrize("ticks", [1, 200])
@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("ends_first", [True, False])
async def test_an_end_at_any_time_before_it_is_live_leaves_nothing_behind(
    history: int, ticks: int, turns: int, *, ends_first: bool
) -> None:
    """Its end is known before it has left, while what it waits for goes on."""
    bench, reader = Bench(600, clock=TickingClock()), Reader(View(("cpu",), ticks))
    for _ in range(500):
        bench.publish()
    if ends_first:
        reader.end()
    bench.hub.add(reader, history=history)
    for _ in range(turns):
        reader.take(1)
        await asyncio.sleep(0)
    reader.end()
    for _ in range(100):
        await asyncio.sleep(0)
    bench.hub.remove(reader)
    found = bench.hub.statistics()
    assert (found.subscribers, found.views, found.pending) == (0, 0, 0)


def test_those_who_replay_are_dismissed_with_all_others() -> None:
    bench, replaying, live = Bench(), Reader(View(("cpu",))), Reader(View(("cpu",)))
    bench.publish()
    bench.hub.add(replaying, history=9)
    bench.hub.add(live)
    bench.hub.close_all(CloseReason.RESTART)
    assert replaying.close_reason is live.close_reason is CloseReason.RESTART


def test_there_is_room_for_so_many_views_and_for_any_number_of_subscribers() -> None:
    bench = Bench(views=2)
    bench.publish()
    one, other, third = (Reader(View(("cpu",), ticks)) for ticks in (1, 2, 3))
    bench.hub.add(one)
    bench.hub.add(other, history=10)
    bench.hub.check_view_capacity(other.view)
    with pytest.raises(AtCapacity, match=r"^2 different views are live, which is the limit"):
        bench.hub.check_view_capacity(third.view)
    bench.hub.add(third)
    assert third.close_reason is CloseReason.AT_CAPACITY
    assert bench.hub.statistics().closed == {CloseReason.AT_CAPACITY: 1}
    assert third.take() == []
    bench.hub.remove(third)
    bench.hub.remove(other)  # before it has begun to take
    bench.hub.add(Reader(third.view))
    assert bench.hub.statistics().closed == {CloseReason.AT_CAPACITY: 1}
    assert bench.hub.statistics().views == 2


def test_for_reserved_views_there_is_always_room_and_they_take_none() -> None:
    bench = Bench(views=1)
    bench.publish()
    reserved = {View(("cpu",), ticks) for ticks in (2, 3)}
    bench.hub.view_limit.reserved |= reserved
    readers = [Reader(view) for view in (*reserved, View(("cpu",)))]
    for reader in readers:
        bench.hub.add(reader)
        assert reader.close_reason is None
    with pytest.raises(AtCapacity):
        bench.hub.check_view_capacity(View(("cpu",), 4))
    bench.hub.remove(readers[0])
    bench.hub.check_view_capacity(readers[0].view)
    with pytest.raises(AtCapacity):
        bench.hub.check_view_capacity(View(("cpu",), 4))


async def test_the_hosts_own_code_is_told_that_there_is_no_room() -> None:
    bench = Bench(views=1)
    async with bench.hub.subscribe(("cpu",)):
        with pytest.raises(AtCapacity):
            async with bench.hub.subscribe(("rare",)):
                pass
    await bench.hub.stop()


async def test_the_hosts_own_code_may_ask_for_the_past_and_reads_it_at_its_own_pace() -> None:
    bench = Bench()
    for _ in range(9):
        bench.publish()
    async with bench.hub.subscribe(
        ("cpu",), interval=3, aggregate="max", history=20, seq=True, partial=True
    ) as frames:
        received = [json.loads((await anext(frames)).text) for _ in range(3)]
        bench.publish()
        bench.publish()
        received.append(json.loads((await anext(frames)).text))
    assert isinstance(frames, QueuedSubscriber)
    assert [one["cpu"] for one in received] == [
        max((START + n) % 97 for n in numbers)
        for numbers in ([1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11])
    ]
    assert [b["seq"] - a["seq"] for a, b in pairwise(received)] == [1, 1, 1]
    await bench.hub.stop()
