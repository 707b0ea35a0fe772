"""Numbers as people read them."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.watch.figures import duration, part_of, percent, plain, rate, share, size
from hub.cli.watch.level import Level
from hub.cli.watch.message import Value

NUMBERS: Final = (
    st.integers(-(10**299), 10**299)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 10**299, 1.7e308, -1.7e308, 5e-324, 999.5, 999_999, 999_499_999.9])
)
OTHERS: Final = st.none() | st.booleans() | st.text() | st.just([1]) | st.just({"a": 1})


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (999.6, "1 kB"), (1000, "1 kB"),
        (1234, "1.23 kB"), (999_499, "999 kB"), (999_999, "1 MB"), (61_000_000, "61 MB"),
        (270e9, "270 GB"), (16e12, "16 TB"), (3.2e15, "3.2 PB"), (5e18, "5 EB"), (-5, "-5 B"),
    ],
)  # fmt: skip
def test_bytes_have_three_digits_and_a_unit(count: float, shown: str) -> None:
    assert size(count) == shown
    assert rate(count) == f"{shown}/s"


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (12e9, 100e9, "12 of 100 GB"),
        (0, 100e9, "0 of 100 GB"),
        (310e6, 1e9, "310 MB of 1 GB"),
        (None, 1e9, "-"),
        (1, "x", "-"),
    ],
)
def test_a_part_of_bytes_has_its_unit_once_if_it_is_the_same(
    part: Value, whole: Value, shown: str
) -> None:
    assert part_of(part, whole) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 min"), (59.9, "0 min"), (61, "1 min"), (3600, "1 h 0 min"), (7261, "2 h 1 min"),
        (86400, "1 d 0 h"), (1_065_432.1, "12 d 7 h"), (-5, "0 min"), (1e300, "999999 d 0 h"),
    ],
)  # fmt: skip
def test_a_time_has_its_two_greatest_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(NUMBERS, NUMBERS)
def test_a_share_is_a_percentage_or_nothing(part: float, whole: float) -> None:
    found = share(part, whole)
    assert (found is None) == (whole <= 0)
    assert found is None or 0 <= found <= 100
    assert isinstance(Level.of(found), Level)


@given(NUMBERS | OTHERS)
def test_every_value_can_be_written(value: Value) -> None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    for write in (percent, plain, size, rate, duration):
        assert (write(value) != "-") == known
    assert re.fullmatch(r"-|\S+( (B|.B))? of \S+ (B|.B)", part_of(value, value))
