from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.processor import ProcessorMeter

Times = namedtuple(  # as psutil's
    "Times", "user nice system idle iowait irq steal guest guest_nice"
)
COUNTS = st.lists(st.floats(0, 1e9), min_size=9, max_size=9)


def times(user: float, idle: float, iowait: float = 0.0, guest: float = 0.0) -> Times:
    return Times(user, 0.0, 0.0, idle, iowait, 0.0, 0.0, guest, 0.0)


def meter(*readings: Sequence[Any]) -> ProcessorMeter:
    left = iter(readings)
    made = ProcessorMeter(lambda: next(left))
    made.prime()
    return made


@pytest.mark.parametrize(
    ("after", "busy"),
    [
        (times(101, 1003), 25.0),
        (times(100, 1004), 0.0),
        (times(104, 1000), 100.0),
        (times(101, 1002, iowait=1), 25.0),
        (times(101, 1001, guest=1), 50.0),  # a guest's time is among the user's
        (times(100, 1000), 0.0),  # no time has passed
        (times(101, 1003, iowait=-5), 25.0),  # which Linux does
    ],
)
def test_it_is_the_share_that_was_neither_idle_nor_waiting(after: Times, busy: float) -> None:
    assert meter([times(100, 1000)], [after]).collect() == [busy]


def test_each_processor_has_its_own_share_since_the_last_look() -> None:
    made = meter([times(0, 0), times(0, 0)], [times(1, 1), times(0, 2)], [times(1, 3), times(2, 2)])
    assert made.collect() == [50.0, 0.0]
    assert made.collect() == [0.0, 100.0]


def test_where_one_came_or_went_there_is_no_share_for_this_once() -> None:
    made = meter([times(0, 0)] * 2, [times(1, 1)], [times(2, 2)])
    with pytest.raises(RuntimeError, match="number of processors has changed"):
        made.collect()
    assert made.collect() == [50.0]


@given(COUNTS, COUNTS)
def test_it_is_a_percentage_whatever_is_counted(before: list[float], after: list[float]) -> None:
    (share,) = meter([Times(*before)], [Times(*after)]).collect()
    assert 0.0 <= share <= 100.0


def test_psutil_counts_what_it_reads() -> None:
    made = ProcessorMeter(lambda: psutil.cpu_times(percpu=True))
    made.prime()
    assert len(made.collect()) == psutil.cpu_count()
