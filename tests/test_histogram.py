from __future__ import annotations

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
