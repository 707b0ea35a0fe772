from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.numbering import Numbering
from hub.sampling.snapshot import Snapshot
from hub.sampling.wire import Parcel


def taken(numbering: Numbering, epoch: str, *numbers: int) -> list[int]:
    """Return the numbers under which snapshots are passed on."""
    parcels = (Parcel(epoch, Snapshot(one, one, float(one), {"cpu": 1.0})) for one in numbers)
    found = (numbering.take(parcel) for parcel in parcels)
    return [snapshot.number for snapshot in found if snapshot is not None]


def test_what_comes_again_is_left_out() -> None:
    numbering = Numbering()
    assert taken(numbering, "a", 5, 6, 7) == [5, 6, 7]
    assert taken(numbering, "a", 6, 7, 8) == [8]


def test_a_later_run_keeps_its_numbers() -> None:
    numbering = Numbering()
    assert taken(numbering, "a", 5, 6) == [5, 6]
    assert taken(numbering, "b", 9, 10) == [9, 10]


def test_numbers_of_a_run_that_begins_lower_are_raised_until_it_ends() -> None:
    numbering = Numbering()
    assert taken(numbering, "a", 500, 501) == [500, 501]
    assert taken(numbering, "b", 100, 101) == [502, 503]
    assert taken(numbering, "b", 100, 101, 103) == [505]
    assert taken(numbering, "c", 600) == [600]


def test_a_run_that_begins_within_the_last_tick_leaves_that_out_and_keeps_its_numbers() -> None:
    """Those who attach only now count as all others do."""
    numbering = Numbering()
    assert taken(numbering, "a", 5, 6) == [5, 6]
    assert taken(numbering, "b", 6, 7) == [7]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), max_size=8))
def test_every_run_gets_through_and_numbers_always_rise(runs: list[tuple[int, int]]) -> None:
    numbering, passed = Numbering(), list[int]()
    for epoch, (first, count) in enumerate(runs):
        found = taken(numbering, str(epoch), *range(first, first + count))
        assert len(found) >= count - 1
        passed += found
    assert passed == sorted(set(passed))
