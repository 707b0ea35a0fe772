from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.view import View
from hub.feed.window import Window
from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Snapshot
from hub.sampling.system import standard_metrics
from hub.sampling.value import Precision, Value
from hub.settings import Settings


@pytest.mark.parametrize(
    ("precision", "exact", "sent"),
    [
        (Precision.TENTH, 2.3000000000000003, 2.3),
        (Precision.TENTH, 25.0, 25.0),
        (Precision.TENTH, 99.96, 100.0),
        (Precision.TENTH, -0.04, 0.0),
        (Precision.HUNDREDTH, 0.115234375, 0.12),
        (Precision.HUNDREDTH, 12.0, 12.0),
        (Precision.WHOLE, 1234.5678, 1235),
        (Precision.RATE, 0.0, 0.0),
        (Precision.RATE, 0.0123456, 0.0123),
        (Precision.RATE, 9.87654, 9.88),
        (Precision.RATE, 9.9996, 10),
        (Precision.RATE, 12345.678, 12346),
    ],
)
def test_numbers_are_rounded_to_what_they_mean(
    precision: Precision, exact: float, sent: float
) -> None:
    found = precision.round(exact)
    assert json.dumps(found) == json.dumps(sent)


@pytest.mark.parametrize("value", [7, 2**60 + 1, True, "1.23456", [], {}])
def test_what_is_no_fraction_stays_as_it_is(value: Value) -> None:
    for precision in Precision:
        assert precision.round(value) == value


def test_every_number_of_a_value_is_rounded() -> None:
    value: Value = {"a": [1.25, None, {"b": 2.249}], "c": None, "name": "x"}
    assert Precision.TENTH.round(value) == {"a": [1.2, None, {"b": 2.2}], "c": None, "name": "x"}


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Precision))
def test_what_is_rounded_can_be_encoded_whatever_it_was(
    number: float, precision: Precision
) -> None:
    orjson.dumps(precision.round(number))


@given(st.floats(0, 1e12), st.sampled_from(Precision))
def test_what_is_rounded_stays_so_and_near(number: float, precision: Precision) -> None:
    found = precision.round(number)
    assert isinstance(found, int | float)
    assert precision.round(found) == found
    assert abs(found - number) <= max(0.5, 0.0051 * number)


def test_every_family_of_the_hub_s_own_has_a_precision() -> None:
    assert all(metric.precision is not None for metric in standard_metrics(Settings()))


def test_what_is_kept_and_reduced_is_exact_and_what_is_sent_is_not() -> None:
    precisions = {"memory": Precision.TENTH, "network": Precision.RATE}
    window = Window(View(("memory", "network", "own"), 3), METRICS)
    ended: list[Snapshot] = []
    for tick in range(3):
        readings: dict[str, Any] = {
            "memory": 2.3 + tick * 0.04,
            "network": DeviceDeltas(
                ("bytes_per_second",),
                "interfaces",
                CounterDelta(0.3, (1,)),
                {"eth0": CounterDelta(0.3, (1000,))},
            ),
            "own": 0.1 + tick * 0.1,
        }
        snapshot = Snapshot(tick, tick, float(tick), readings, precisions)
        assert snapshot.readings["memory"] == 2.3 + tick * 0.04
        ended += window.add(snapshot)
    (reduced,) = ended
    assert reduced.readings["memory"] == pytest.approx(2.34)
    frame = View(("memory", "network", "own"), 3).encode(reduced)
    assert frame is not None
    content = json.loads(frame.text)
    assert content["memory"] == 2.3
    assert content["network"] == {
        "bytes_per_second": 3.33,
        "interfaces": {"eth0": {"bytes_per_second": 3333}},
    }
    assert content["own"] == reduced.readings["own"], "which the hub does not know"


METRICS = {
    "memory": Metric("memory", int),
    "network": Metric("network", int, kind=Kind.RATE),
    "own": Metric("own", int),
}
