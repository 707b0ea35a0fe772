from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.devices import parse_devices
from hub.feed.view import DEFAULT_METRICS, Aggregate, View
from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Failure, Incomplete
from tests.support.fakes import snapshot

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


# Other forms of the message


def test_what_failed_is_null_in_a_partial_view_and_the_rest_is_there() -> None:
    view = View(DEFAULT_METRICS, partial=True)
    failed = {"cpu": 1.0, "memory": Failure("broken"), "disk": Failure("gone")}
    assert encoded(view, **failed) == (
        '{"cpu":1.0,"memory":null,"disk":null,"errors":{"memory":"broken","disk":"gone"},'
        '"timestamp":"2025-11-10T12:30:45.123456+00:00"}'
    )


def test_a_partial_view_has_no_errors_where_nothing_failed() -> None:
    view = View(DEFAULT_METRICS, partial=True)
    assert encoded(view) == encoded(DEFAULT)
    assert view.encode(snapshot(cpu=1.0)) is None


def test_in_the_past_a_partial_view_has_what_there_was() -> None:
    frame = View(DEFAULT_METRICS, partial=True).encode(snapshot(cpu=1.0), past=True)
    assert frame is not None
    assert json.loads(frame.payload) == {
        "cpu": 1.0,
        "memory": None,
        "disk": None,
        "timestamp": "2025-11-10T12:30:45.123456+00:00",
    }


def test_a_partial_view_that_has_nothing_at_all_says_nothing() -> None:
    view = View(("cpu", "memory"), partial=True)
    assert view.encode(snapshot(disk=1.0)) is None


def test_a_numbered_view_shows_the_number_last() -> None:
    frame = View(("cpu",), seq=True).encode(snapshot(), 7)
    assert frame is not None
    assert frame.text.endswith('"timestamp":"2025-11-10T12:30:45.123456+00:00","seq":7}')


def test_growth_becomes_rates() -> None:
    eth = CounterDelta(2.0, (10, 4))
    growth = DeviceDeltas(("in_per_second", "out_per_second"), "interfaces", eth, {"eth0": eth})
    values = json.loads(encoded(View(("network",)), network=growth))
    rates = {"in_per_second": 5.0, "out_per_second": 2.0}
    assert values["network"] == {**rates, "interfaces": {"eth0": rates}}


def test_a_frame_as_an_event_has_its_timestamp_for_an_id() -> None:
    frame = DEFAULT.encode(snapshot())
    assert frame is not None
    assert frame.event == (
        b"id: 2025-11-10T12:30:45.123456+00:00\ndata: " + frame.payload + b"\n\n"
    )


def test_with_one_tick_all_rules_are_the_same_view() -> None:
    assert View(("cpu",), aggregate=Aggregate.MAX) == View(("cpu",))
    assert View(("cpu",), 2, Aggregate.MAX) != View(("cpu",), 2)


# Members


RATES = ("in_per_second",)
DELTA = CounterDelta(2.0, (10,))
NETWORK = DeviceDeltas(
    RATES, "interfaces", DELTA, {"eth0": DELTA, "lo": DELTA}, frozenset({"eth0"})
)


def shown(*selected: str, **readings: object) -> dict[str, Any]:
    metrics = tuple(readings)
    devices = tuple(parse_devices("devices", ",".join(selected)).items()) if selected else ()
    return dict(json.loads(encoded(View(metrics, partial=True, devices=devices), **readings)))


def test_the_usual_devices_are_shown_unless_others_are_chosen() -> None:
    assert shown(network=NETWORK)["network"] == {
        "in_per_second": 5.0, "interfaces": {"eth0": {"in_per_second": 5.0}},
    }  # fmt: skip
    choices = {"network:*": ["eth0", "lo"], "network:lo": ["lo"], "network:!e*": []}
    for chosen, names in choices.items():
        network = shown(chosen, network=NETWORK)["network"]
        assert list(network["interfaces"]) == names
        assert network["in_per_second"] == 5.0, "in all it stays the same"


def test_members_of_gauges_can_be_chosen_too() -> None:
    disks = {"/": 5.0, "/home": 6.0}
    assert shown(disks=disks)["disks"] == disks
    assert shown("disks:/h*", disks=disks)["disks"] == {"/home": 6.0}
    assert shown("disks:/elsewhere", disks=disks)["disks"] == {}


def test_a_member_that_failed_is_named_in_a_partial_view_alone() -> None:
    disks = Incomplete({"/": 5.0}, {"/mnt": Failure("late")})
    message = shown(disks=disks)
    assert message["disks"] == {"/": 5.0}
    assert message["errors"] == {"disks//mnt": "late"}
    assert "errors" not in shown("disks:/", disks=disks)
    assert json.loads(encoded(View(("disks",)), disks=disks)).keys() == {"disks", "timestamp"}


VIEWS = st.builds(
    View,
    st.sampled_from([("cpu",), ("cpu", "network"), ("network",)]),
    st.integers(1, 3),
    st.sampled_from(Aggregate),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "network:eth0", "network:!eth0", "network:eth0,eth1"]).map(
        lambda text: tuple(parse_devices("devices", text).items()) if text else ()
    ),
)


@given(VIEWS, VIEWS)
def test_views_are_equal_where_they_are_written_alike(one: View, other: View) -> None:
    one.encode(snapshot(cpu=1.0), 1)  # whatever it was used for
    assert (repr(one) == repr(other)) == (one == other)
