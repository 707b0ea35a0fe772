from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.histogram import Distribution, Histogram
from hub.sampling.hello import (
    Hello,
    Standing,
    UnfitSampler,
    read_hello,
    read_standing,
    write_hello,
    write_standing,
)
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.wire import UnreadableDemand, read_demand, write_demand

GOOD = {"v": 1, "e": "ab", "interval": 0.5, "families": ["cpu", "load"]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
counts = st.integers(0, 2**53)
seconds = st.floats(0, 1e9)


@st.composite
def distributions(draw: st.DrawFn) -> Distribution:
    histogram = Histogram(draw(st.lists(seconds, max_size=5, unique=True).map(sorted)))
    for value in draw(st.lists(seconds, max_size=5)):
        histogram.observe(value)
    return histogram.distribution()


statistics = st.builds(
    SamplerStatistics,
    ticks=counts,
    missed=counts,
    lateness=distributions(),
    duration=distributions(),
    failures=st.dictionaries(st.text(max_size=8), counts, max_size=4),
)


@given(
    st.builds(
        Hello,
        epoch=st.text(max_size=20),
        interval=st.floats(0.1, 60),
        families=st.frozensets(st.text(max_size=10), max_size=5),
    )
)
def test_an_introduction_is_read_as_it_was_written(hello: Hello) -> None:
    assert read_hello(write_hello(hello)) == hello


@given(st.builds(Standing, statistics=statistics, failure=st.text(max_size=20)))
def test_a_standing_is_read_as_it_was_written(standing: Standing) -> None:
    assert read_standing(write_standing(standing)) == standing


@given(st.frozensets(st.text(max_size=10), max_size=5))
def test_a_demand_is_read_as_it_was_written(names: frozenset[str]) -> None:
    assert read_demand(write_demand(names)) == names


@given(st.binary(max_size=60) | json_values.map(orjson.dumps))
def test_what_is_no_letter_is_refused_in_one_line(body: bytes) -> None:
    for read in (read_hello, read_standing):
        with pytest.raises(UnfitSampler) as refused:
            read(body)
        assert str(refused.value).isprintable()
    try:
        names = read_demand(body)
    except UnreadableDemand:
        return
    assert all(isinstance(name, str) for name in names)


@given(st.sampled_from(sorted(GOOD)), json_values)
def test_an_introduction_is_right_in_all_parts_or_refused(name: str, value: Any) -> None:  # noqa: ANN401 # any
    try:
        hello = read_hello(orjson.dumps({**GOOD, name: value}))
    except UnfitSampler:
        return
    assert isinstance(hello.epoch, str)
    assert 0 < hello.interval < float("inf")
    assert all(isinstance(family, str) for family in hello.families)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"v": 2}, "it speaks version 2, and this hub version 1"),
        ({"v": True}, "version True"),
        ({"interval": 0}, "not as version 1 has it"),
        ({"interval": "1"}, "not as version 1 has it"),
        ({"families": {"cpu": 1}}, "not as version 1 has it"),
        ({"families": [1]}, "not as version 1 has it"),
        ({"families": ["x"] * 4097}, "not as version 1 has it"),
        ({"e": None}, "not as version 1 has it"),
    ],
)
def test_what_is_wrong_with_an_introduction_is_told(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UnfitSampler, match=text):
        read_hello(orjson.dumps({**GOOD, **changes}))
