from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.statistics import LagMeter
from hub.histogram import Distribution, Histogram
from tests.support.fakes import FakeClock


@given(
    st.lists(st.floats(0, 100), max_size=50),
    st.lists(st.floats(0, 100), max_size=8, unique=True).map(sorted),
)
def test_each_value_is_counted_under_the_first_bound_that_it_does_not_exceed(
    values: list[float], bounds: list[float]
) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    found = histogram.distribution()
    for position, bound in enumerate(bounds):
        assert sum(found.counts[: position + 1]) == sum(value <= bound for value in values)
    assert found.count == len(values)
    assert abs(found.total - sum(values)) < 1e-6


def test_a_distribution_does_not_change_any_more() -> None:
    histogram = Histogram((1.0,))
    before = histogram.distribution()
    histogram.observe(2.0)
    assert before == Distribution((1.0,), (0, 0), 0.0)


async def test_the_loop_s_lag_is_measured_twice_a_second_while_the_meter_runs() -> None:
    clock = FakeClock()
    meter = LagMeter(clock)
    meter.start()
    await clock.advance(2.0)
    assert meter.distribution().counts[0] == 4
    await clock.jump(0.8)  # due after 0.5, it comes 0.3 late
    assert meter.distribution().count == 5
    assert abs(meter.distribution().total - 0.3) < 1e-9
    meter.stop()
    await clock.advance(5.0)
    assert meter.distribution().count == 5
    assert clock.pending == 0


async def test_the_greatest_lag_of_late_is_the_same_for_all_who_ask_and_is_over_in_time() -> None:
    clock = FakeClock()
    meter = LagMeter(clock)
    assert meter.recent() == 0.0
    meter.start()
    await clock.jump(0.8)
    await clock.jump(0.6)
    assert [round(meter.recent(), 9) for _ in range(3)] == [0.3] * 3
    await clock.advance(4.0)
    assert meter.recent() == pytest.approx(0.3)
    await clock.advance(0.5)
    assert meter.recent() == pytest.approx(0.1)
    await clock.advance(0.5)
    assert meter.recent() == pytest.approx(0.0)
    meter.stop()


async def test_a_meter_that_is_started_again_knows_no_lag_of_before() -> None:
    clock = FakeClock()
    meter = LagMeter(clock)
    meter.start()
    await clock.jump(3.0)
    meter.stop()
    assert meter.recent() == pytest.approx(2.5)
    meter.start()
    assert meter.recent() == 0.0
    meter.stop()
