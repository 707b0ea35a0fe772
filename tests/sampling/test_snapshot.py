"""The numbers of the windows that snapshots fall into, and the memory that they take."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate, count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.history import History
from hub.sampling.snapshot import (
    CounterDelta,
    DeviceDeltas,
    Failure,
    Incomplete,
    Reading,
    Snapshot,
)
from hub.sampling.value import Value

FIRST = st.integers(0, 10**9)
TICKS = st.integers(1, 100)
STEPS = st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 9, 1000]), min_size=1, max_size=200)
SHIFTS = st.integers(-(10**6), 10**6)


def snapshot(tick: int, number: int) -> Snapshot:
    return Snapshot(tick, number, float(tick), {})


@pytest.mark.parametrize(
    ("tick", "number", "window"),
    [(99, 99, 9), (100, 100, 10), (109, 109, 10), (110, 107, 11), (123, 103, 10), (90, 100, 10)],
)
def test_a_window_s_number_is_the_wall_clock_s_less_what_it_was_set_by(
    tick: int, number: int, window: int
) -> None:
    assert snapshot(tick, number).window_number(10) == window


@given(FIRST, TICKS, STEPS)
def test_while_the_clock_was_never_set_it_is_the_window_on_the_wall_clock(
    first: int, ticks: int, steps: list[int]
) -> None:
    for tick in accumulate(steps, initial=first):
        assert snapshot(tick, tick).window_number(ticks) == tick // ticks


@given(FIRST, SHIFTS, TICKS, STEPS)
def test_windows_numbers_rise_by_as_many_windows_as_have_passed(
    first: int, shift: int, ticks: int, steps: list[int]
) -> None:
    numbers = accumulate(steps, initial=first)
    for one, later in pairwise(snapshot(number + shift, number) for number in numbers):
        passed = later.tick // ticks - one.tick // ticks
        assert later.window_number(ticks) - one.window_number(ticks) == passed


@given(FIRST, TICKS, st.lists(st.tuples(st.integers(1, 1000), SHIFTS), min_size=1))
def test_a_clock_that_is_set_moves_a_window_s_number_by_one_at_most(
    first: int, ticks: int, steps: list[tuple[int, int]]
) -> None:
    number = first
    for step, shift in steps:
        number += step
        found = snapshot(number + shift, number).window_number(ticks)
        assert found in {number // ticks, number // ticks + (ticks > 1)}


# Memory

NAMES = ("read_bytes", "write_bytes", "read_count", "write_count")
DEVICES = [f"device{number}" for number in range(64)]
NUMBERS = count(1)


def whole(least: int) -> int:
    """Return a number that is an object of its own."""
    return least + next(NUMBERS)


def real() -> float:
    return next(NUMBERS) / 7


def deltas(devices: int, least: int) -> DeviceDeltas:
    seconds = real()  # the same object for all, as they are read together

    def delta() -> CounterDelta:
        return CounterDelta(seconds, tuple(whole(least) for _ in NAMES))

    return DeviceDeltas(NAMES, "devices", delta(), {name: delta() for name in DEVICES[:devices]})


def members(devices: int) -> dict[str, Value | None]:
    return {name: real() for name in DEVICES[:devices]}


def readings(devices: int, least: int) -> dict[str, Reading]:
    return {
        "cpu": real(),
        "memory": real(),
        "memory_bytes": {name: whole(least) for name in NAMES},
        "cores": [real() for _ in range(max(1, devices))],
        "disks": Incomplete(members(devices), {"other": Failure(f"no more than {real()}")}),
        "disks_bytes": {name: members(3) for name in DEVICES[:devices]},
        "disk_io": deltas(devices, least),
        "network": deltas(devices, least),
        "swap": Failure(f"no answer within {real()} s"),
    }


@pytest.mark.parametrize("devices", [0, 1, 4, 64])
@pytest.mark.parametrize("least", [1000, 2**30, 2**50])
def test_the_memory_that_snapshots_take_is_told_but_for_a_fifth(devices: int, least: int) -> None:
    history = History(100)
    tracemalloc.start()
    try:
        for tick in range(1000, 1100):
            history.append(Snapshot(tick, tick, tick + real(), readings(devices, least)))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * taken < history.bytes < 1.2 * taken
