from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import anyio
import pytest

from hub.feed.time_slicer import TimeSlicer
from tests.support.fakes import FakeClock, TickingClock, settle


def count(to: int, steps: list[int]) -> Iterator[None]:
    for number in range(to):
        steps.append(number)
        yield


def test_what_is_short_is_done_at_once_and_needs_no_event_loop() -> None:
    steps: list[int] = []
    slicer = TimeSlicer(FakeClock())
    slicer.add(count(100, steps))
    assert len(steps) == 100
    assert not slicer.busy


async def test_what_is_long_is_cut_into_slices_between_which_others_run() -> None:
    steps: list[int] = []
    slicer = TimeSlicer(TickingClock())  # ten steps make a slice
    slicer.add(count(100, steps))
    seen = [len(steps)]
    while slicer.busy:
        await asyncio.sleep(0)
        seen.append(len(steps))
    assert len(seen) >= 9
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 11


async def test_works_take_turns_and_share_the_slice() -> None:
    slicer = TimeSlicer(TickingClock())
    works: list[list[int]] = [[] for _ in range(5)]
    for steps in works:
        slicer.add(count(50, steps))
    for _ in range(12):
        before = sum(map(len, works))
        await asyncio.sleep(0)
        assert sum(map(len, works)) - before <= 11
    assert max(map(len, works)) - min(map(len, works)) <= 12  # the first had a slice alone


async def test_many_short_works_in_one_turn_of_the_loop_take_no_longer_than_a_slice() -> None:
    slicer = TimeSlicer(TickingClock())
    works: list[list[int]] = [[] for _ in range(1000)]
    for steps in works:
        slicer.add(count(1, steps))
    assert sum(map(len, works)) <= 11
    for _ in range(100):
        await asyncio.sleep(0)
    assert sum(map(len, works)) == 1000


async def test_a_step_may_add_work() -> None:
    slicer = TimeSlicer(FakeClock())
    steps: list[int] = []

    def parent() -> Iterator[None]:
        slicer.add(count(3, steps))
        assert steps == []
        yield

    slicer.add(parent())
    assert steps == [0, 1, 2]


async def test_work_that_raises_ends_alone() -> None:
    slicer = TimeSlicer(FakeClock())
    steps: list[int] = []

    def broken() -> Iterator[None]:
        slicer.add(count(3, steps))
        yield
        raise KeyError

    with pytest.raises(KeyError):
        slicer.add(broken())
    await settle()
    assert steps == [0, 1, 2]


async def test_finishing_does_all_that_is_left() -> None:
    slicer = TimeSlicer(TickingClock())
    steps: list[int] = []
    slicer.add(count(1000, steps))
    assert slicer.busy
    slicer.finish()
    assert len(steps) == 1000
    await settle()


async def test_stopping_drops_it() -> None:
    slicer = TimeSlicer(TickingClock())
    steps: list[int] = []
    slicer.add(count(1000, steps))
    slicer.stop()
    done = len(steps)
    await settle()
    assert len(steps) == done < 1000


async def test_a_caller_gets_what_a_work_yields_but_for_the_pauses() -> None:
    slicer = TimeSlicer(TickingClock())
    found = [item async for item in slicer.iterate(iter([None, 1, None, None, 2, 3, None]))]
    assert found == [1, 2, 3]


async def test_a_caller_is_told_what_its_work_raises_in_a_later_slice() -> None:
    def broken() -> Iterator[int | None]:
        yield from [None] * 100
        raise KeyError

    found = TimeSlicer(TickingClock()).iterate(broken())
    with anyio.fail_after(5), pytest.raises(KeyError):
        await anext(found)


async def test_work_for_a_caller_that_is_cancelled_runs_no_further() -> None:
    slicer = TimeSlicer(TickingClock())
    steps: list[int] = []

    async def wait() -> None:
        async for _ in slicer.iterate(count(10_000, steps)):
            pass

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    await settle()
    assert len(steps) < 100
    assert not slicer.busy
