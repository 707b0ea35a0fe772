from __future__ import annotations

import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.history import History
from hub.sampling.snapshot import Snapshot


def history(*ticks: int, capacity: int = 100) -> History:
    """Make a history of snapshots whose time is their tick."""
    history = History(capacity)
    for tick in ticks:
        history.append(Snapshot(tick, tick, float(tick), {}))
    return history


@given(st.integers(1, 10), st.integers(0, 40))
def test_the_newest_are_kept_each_at_its_position(capacity: int, count: int) -> None:
    kept = history(*range(count), capacity=capacity)
    assert (kept.start, kept.end) == (max(0, count - capacity), count)
    assert [kept[n].tick for n in range(kept.start, kept.end)] == list(range(kept.start, count))
    for position in (kept.start - 1, kept.end):
        with pytest.raises(IndexError):
            kept[position]


@pytest.mark.parametrize(("time", "position"), [(-1.0, 0), (0.0, 1), (1.5, 2), (3.0, 4), (99.0, 4)])
def test_what_came_after_a_time_begins_behind_it(time: float, position: int) -> None:
    assert history(0, 1, 2, 3).after(time) == position


def test_what_came_after_a_time_is_what_is_kept_of_it() -> None:
    assert history(0, 1, 2, 3, capacity=2).after(-1.0) == 2
    assert history().after(5.0) == 0


def test_after_the_clock_was_set_back_it_is_what_came_since() -> None:
    assert history(100, 101, 5, 6, 7).after(5.0) == 3


@pytest.mark.parametrize(
    ("position", "begin"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 2), (5, 5), (6, 7)]
)
def test_a_window_begins_with_its_first_snapshot(position: int, begin: int) -> None:
    kept = history(3, 4, 5, 7, 9, 10, 15)
    assert kept.window(position, 5) == (begin if position < 6 else 6)
    assert kept.window(position, 1) == position
    assert kept.window(7, 5) == 7


def test_a_window_whose_beginning_is_gone_gives_way_to_the_next() -> None:
    assert history(*range(5), 5, 6, 7, 10, 11, capacity=4).window(6, 5) == 8
    assert history(*range(5), 5, 6, 7, 8, capacity=3).window(7, 5) == 9
    assert history(*range(5), 5, 6, 7, 8, capacity=4).window(7, 5) == 5


def test_to_see_what_ends_after_a_time_its_window_is_seen_from_its_beginning() -> None:
    kept = history(*range(9))
    assert [kept.begin(time, 5) for time in (-1.0, 3.0, 4.0, 6.0, 8.0, 99.0)] == [0, 0, 5, 5, 5, 5]
    assert [kept.begin(time, 1) for time in (-1.0, 3.0, 8.0)] == [0, 4, 9]
    assert history().begin(0.0, 5) == 0


def test_the_first_window_of_all_is_whole_whenever_it_began() -> None:
    assert history(3, 4, 5).window(1, 5) == 0


# Against the plainest way to look


def plain_after(kept: History, time: float) -> int:
    position = kept.end
    while position > kept.start and kept[position - 1].time > time:
        position -= 1
    return position


def plain_window(kept: History, position: int, ticks: int) -> int:
    if position >= kept.end:
        return kept.end
    number = kept[position].tick // ticks
    while position > kept.start and kept[position - 1].tick // ticks == number:
        position -= 1
    if position == kept.start > 0 and kept[position].tick % ticks:
        while position < kept.end and kept[position].tick // ticks == number:
            position += 1
    return position


@given(
    steps=st.lists(st.sampled_from([1, 1, 1, 1, 2, 9, 0, -1, -3, -20]), max_size=60),
    capacity=st.integers(1, 30),
    ticks=st.integers(1, 12),
    time=st.integers(-5, 90),
)
def test_it_finds_what_looking_at_each_would_find_however_the_clock_was_set(
    steps: list[int], capacity: int, ticks: int, time: int
) -> None:
    made, tick = [], 50
    for step in steps:
        tick += step
        made.append(tick)
    kept = history(*made, capacity=capacity)
    assert kept.after(float(time)) == plain_after(kept, float(time))
    for position in range(kept.start, kept.end + 1):
        assert kept.window(position, ticks) == plain_window(kept, position, ticks)


# Memory


def test_the_oldest_goes_where_memory_is_short_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    one = Snapshot(0, 0, 0.0, {"own": [0.0] * 100})
    kept = History(100, most_bytes=3.5 * one.size())
    for tick in range(250):
        kept.append(Snapshot(tick, tick, float(tick), {"own": [float(tick)] * 100}))
        assert kept.bytes <= 3.5 * one.size()
        assert [kept[n].tick for n in range(kept.start, kept.end)] == list(
            range(max(0, tick - 2), tick + 1)
        )
    assert kept.after(248.0) == 249
    (line,) = caplog.messages
    assert line.startswith("History is full: ")
    assert line.endswith("hold the last 2 s; --history-bytes allows more")


def test_the_newest_is_kept_however_large_it_is() -> None:
    kept = History(10, most_bytes=1)
    for tick in range(3):
        kept.append(Snapshot(tick, tick, float(tick), {"own": str(tick) * 1000}))
    assert len(kept) == 1
    assert kept[2].tick == 2
    assert kept.seconds == 0.0


@given(st.lists(st.integers(0, 200), max_size=60), st.integers(1, 20), st.integers(1, 20_000))
def test_what_is_kept_is_always_the_newest_within_both_bounds(
    lengths: list[int], capacity: int, most: int
) -> None:
    kept = History(capacity, most_bytes=most)
    for tick, length in enumerate(lengths):
        kept.append(Snapshot(tick, tick, float(tick), {"own": f"{tick:03}" + "x" * length}))
    snapshots = [kept[n] for n in range(kept.start, kept.end)]
    assert [one.tick for one in snapshots] == list(range(len(lengths)))[kept.start :]
    assert kept.bytes == sum(one.size() for one in snapshots)
    assert len(kept) <= capacity
    assert kept.bytes <= most or len(kept) == 1


def test_what_has_not_changed_is_kept_once() -> None:
    kept = History(10)
    values = [{"a": [1.0, {"b": True}]}, {"a": [1.0, {"b": True}]}, {"a": [1.0, {"b": 1}]}]
    for tick, value in enumerate(values):
        kept.append(Snapshot(tick, tick, float(tick), {"own": value}))  # type: ignore[dict-item]
    first, second, third = (kept[n].readings["own"] for n in range(3))
    assert first is second
    assert third == {"a": [1.0, {"b": 1}]}
    assert orjson.dumps(third) == b'{"a":[1.0,{"b":1}]}', "which is another value than true"
