"""The numbers of the windows that snapshots fall into."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.snapshot import Snapshot

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
