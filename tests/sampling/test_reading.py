from __future__ import annotations

import math
from enum import StrEnum

import pytest

from hub import Metric
from hub.errors import InvalidValue
from hub.sampling.metric import Kind
from hub.sampling.reading import reading_of
from hub.sampling.snapshot import MOST_MEMBERS, CounterDelta, DeviceDeltas, Failure, Incomplete

PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
DISKS = Metric("disks", int, schema={"type": "object", "additionalProperties": PERCENT})


def failed(cause: str) -> Failure:
    return Failure(cause)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (-48.5, "-48.5 must be bigger than or equal to 0"),
        (130, "130 must be smaller than or equal to 100"),
        (math.nan, "nan is not a finite number"),
        (None, "null must be number"),
        ("full", "'full' must be number"),
        (b"full", "a bytes is not a JSON value"),
    ],
)
def test_a_member_that_breaks_the_schema_is_left_out_and_named(value: object, cause: str) -> None:
    assert reading_of(DISKS, {"/": 5.0, "/mnt": value}) == Incomplete(
        {"/": 5.0}, {"/mnt": failed(cause)}
    )


def test_only_where_all_members_have_failed_has_the_family() -> None:
    assert reading_of(DISKS, {"/": -1, "/mnt": 101}) == failed(
        "/: -1 must be bigger than or equal to 0"
    )
    assert reading_of(DISKS, {}) == {}


def test_a_family_s_failure_is_a_short_line_whatever_its_members_are_called() -> None:
    reading = reading_of(DISKS, {"/mnt/\x1b\n" + "a" * 250: -1})
    assert isinstance(reading, Failure)
    assert reading.cause.startswith("/mnt/? aaa")
    assert len(reading.cause) == 200


def test_a_value_that_breaks_its_schema_is_refused_with_the_value() -> None:
    memory = Metric("memory", int, schema=PERCENT)
    with pytest.raises(ValueError, match=r"^130 must be smaller than or equal to 100$"):
        reading_of(memory, 130)
    fixed = {"type": "object", "properties": {"total": PERCENT}, "required": ["total"]}
    with pytest.raises(ValueError, match=r"^total -1 must be bigger"):
        reading_of(Metric("memory_bytes", int, schema=fixed), {"total": -1})


def test_without_a_schema_of_members_an_object_is_one_value() -> None:
    own = Metric("own", int)
    assert not own.has_members
    assert reading_of(own, {"a": None, "b": [1, None], "c": "x"}) == {
        "a": None, "b": [1, None], "c": "x",
    }  # fmt: skip
    with pytest.raises(ValueError, match="a object is not a JSON value"):
        reading_of(own, {"a": 1, "b": object()})
    many = {str(number): number for number in range(500)}
    assert reading_of(own, many) == many


def test_of_very_many_members_the_first_are_kept_and_it_is_said() -> None:
    reading = reading_of(DISKS, {f"/{number:03}": 5 for number in range(100)})
    assert isinstance(reading, Incomplete)
    assert isinstance(reading.value, dict)
    assert list(reading.value) == [f"/{number:03}" for number in range(MOST_MEMBERS)]
    assert reading.failures == {"other": failed("36 more than 64 are left out")}


def test_names_that_differ_only_in_bytes_that_are_no_text_stay_two() -> None:
    names = ("/d\udce9j\udce0", "/d\udce8j\udce0")
    assert reading_of(DISKS, dict(zip(names, (1, 2), strict=True))) == {
        "/d\\xe9j\\xe0": 1, "/d\\xe8j\\xe0": 2,
    }  # fmt: skip
    delta = CounterDelta(1.0, (1,))
    deltas = DeviceDeltas(("x",), "devices", delta, {"\udce9": delta}, frozenset(["\udce9"]))
    reading = reading_of(
        Metric("network", int, kind=Kind.RATE), Incomplete(deltas, {"b": failed("c")})
    )
    assert isinstance(reading, Incomplete)
    assert isinstance(reading.value, DeviceDeltas)
    assert reading.value.devices == {"\\xe9": delta}
    assert reading.value.usual == frozenset({"\\xe9"})


class Colour(StrEnum):
    RED = "red"


def test_names_may_be_of_a_class_of_their_own() -> None:
    assert reading_of(DISKS, {Colour.RED: 5.0}) == {"red": 5.0}
    delta = CounterDelta(1.0, (1,))
    deltas = DeviceDeltas(("x",), "devices", delta, {Colour.RED: delta})
    reading = reading_of(Metric("network", int, kind=Kind.RATE), deltas)
    assert isinstance(reading, DeviceDeltas)
    assert [type(name) for name in reading.devices] == [str]


def test_what_has_failed_is_named_as_cleanly_as_the_rest() -> None:
    delta = CounterDelta(1.0, (1,))
    deltas = DeviceDeltas(("x",), "devices", delta, {"\udce9": delta})
    raw = Incomplete(deltas, {"\udce8": failed("gone"), "a": failed("gone")})
    reading = reading_of(Metric("network", int, kind=Kind.RATE), raw)
    assert isinstance(reading, Incomplete)
    assert reading.failures == {"\\xe8": failed("gone"), "a": failed("gone")}


def test_devices_that_are_usual_are_kept_as_one_object() -> None:
    delta, usual = CounterDelta(1.0, (1,)), frozenset({"a"})
    deltas = DeviceDeltas(("x",), "devices", delta, {"a": delta, "b": delta}, usual)
    reading = reading_of(Metric("network", int, kind=Kind.RATE), deltas)
    assert isinstance(reading, DeviceDeltas)
    assert reading == deltas
    assert reading.usual is usual


def test_a_schema_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="metric schema must be a JSON Schema"):
        Metric("own", int, schema={"type": "nonsense"})
    with pytest.raises(InvalidValue, match="metric schema must be a JSON Schema"):
        Metric("own", int, schema={"type": object()})
