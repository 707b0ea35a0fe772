from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import InvalidValue
from hub.snapshot import Failure
from hub.view import DEFAULT_METRICS, View
from tests.support.fakes import snapshot

KNOWN = ("cpu", "memory", "disk", "queue_depth")
DEFAULT = View(DEFAULT_METRICS)


def encoded(view: View, **readings: object) -> str:
    frame = view.encode(snapshot(**readings))  # type: ignore[arg-type] # plain readings
    assert frame is not None
    return frame.text


def test_the_default_message_is_the_contracts_byte_for_byte() -> None:
    assert encoded(DEFAULT) == (
        '{"cpu":25.5,"memory":60.2,"disk":45.3,"timestamp":"2025-11-10T12:30:45.123456+00:00"}'
    )


def test_a_failure_becomes_the_contracts_error_message() -> None:
    failed = {"cpu": 1.0, "memory": 2.0, "disk": Failure("No such file or directory")}
    assert encoded(DEFAULT, **failed) == (
        '{"error":"Metric collection failed: disk: No such file or directory",'
        '"timestamp":"2025-11-10T12:30:45.123456+00:00"}'
    )


def test_several_failures_are_all_named() -> None:
    failed = {"cpu": Failure("broken"), "memory": 2.0, "disk": Failure("gone")}
    assert json.loads(encoded(DEFAULT, **failed))["error"] == (
        "Metric collection failed: cpu: broken; disk: gone"
    )


def test_a_failure_of_what_was_not_chosen_is_not_seen() -> None:
    failed = {"cpu": 1.0, "disk": Failure("gone")}
    assert json.loads(encoded(View(("cpu",)), **failed)).keys() == {"cpu", "timestamp"}


@given(st.text())
def test_an_error_is_never_longer_than_200_characters(cause: str) -> None:
    error = json.loads(encoded(View(("cpu",)), cpu=Failure(cause * 50)))["error"]
    assert error.startswith("Metric collection failed: cpu:")
    assert len(error) <= 200


def test_there_is_no_message_while_a_chosen_metric_has_no_reading() -> None:
    assert DEFAULT.encode(snapshot(cpu=1.0, memory=2.0)) is None


@given(st.lists(st.sampled_from(KNOWN), min_size=1))
def test_order_and_repetition_make_no_difference(chosen: list[str]) -> None:
    view = View.of(chosen, KNOWN)
    assert view == View.of(set(chosen), KNOWN)
    assert list(view.metrics) == [name for name in KNOWN if name in chosen]


@pytest.mark.parametrize(
    ("query", "metrics"),
    [
        (b"", DEFAULT_METRICS),
        (b"metrics=cpu", ("cpu",)),
        (b"metrics=disk,cpu", ("cpu", "disk")),
        (b"metrics=disk&metrics=cpu,disk", ("cpu", "disk")),
        (b"metrics=cpu%2Cqueue_depth", ("cpu", "queue_depth")),
    ],
)
def test_a_query_chooses_metrics(query: bytes, metrics: tuple[str, ...]) -> None:
    assert View.parse(query, KNOWN) == View(metrics)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"metrics=", "metrics"),
        (b"metrics=cpu,", "metrics"),
        (b"metrics=CPU", "metrics"),
        (b"metrics=gpu", "metrics"),
        (b"metrics= cpu", "metrics"),
        (b"color=red", "color"),
        (b"metrics=cpu&color", "color"),
        (b"metrics=%ff", "query"),
        (b"metrics=\xff", "query"),
        (b"&".join([b"metrics=cpu"] * 101), "query"),
    ],
)
def test_a_bad_query_is_refused_naming_the_parameter(query: bytes, parameter: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        View.parse(query, KNOWN)
    assert caught.value.field == parameter
    assert "\n" not in str(caught.value)


def test_an_unknown_metric_is_told_the_valid_names() -> None:
    with pytest.raises(InvalidValue, match="one or more of cpu, memory, disk, queue_depth"):
        View.parse(b"metrics=gpu", KNOWN)


@given(st.binary() | st.text().map(lambda text: quote(text).encode()))
def test_any_query_is_either_read_or_refused(query: bytes) -> None:
    try:
        view = View.parse(query, KNOWN)
    except InvalidValue:
        return
    assert set(view.metrics) <= set(KNOWN)
