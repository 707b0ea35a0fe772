"""Windows against a plain reference: group by number, reduce by the rule."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.view import Aggregate, View
from hub.feed.window import Window
from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Failure, Incomplete, Reading, Snapshot
from hub.sampling.value import Value

METRICS = {kind.value: Metric(kind.value, int, kind=kind) for kind in Kind}
NAMES = ("in_per_second", "out_per_second")


def view(ticks: int, rule: Aggregate = Aggregate.MEAN) -> View:
    return View(tuple(METRICS), ticks, rule)


def run(one: View, snapshots: Sequence[Snapshot]) -> tuple[list[Snapshot], Snapshot | None]:
    """Return the windows that ended, and what the one after them holds."""
    window = Window(one, METRICS)
    return [ended for snapshot in snapshots for ended in window.add(snapshot)], window.so_far()


def gauges(ticks: int, *values: Reading, rule: Aggregate = Aggregate.MEAN) -> list[Any]:
    """Return what one gauge's values at successive ticks from 0 come to, window by window."""
    snapshots = [Snapshot(n, n, float(n), {"gauge": value}) for n, value in enumerate(values)]
    ended, rest = run(view(ticks, rule), snapshots)
    return [one.readings["gauge"] for one in (*ended, *([rest] if rest else ()))]


RULES: dict[Aggregate, Callable[[Sequence[float]], float]] = {
    Aggregate.MEAN: lambda values: math.fsum(values) / len(values),
    Aggregate.MIN: min,
    Aggregate.MAX: max,
    Aggregate.LAST: lambda values: values[-1],
}


@pytest.mark.parametrize(
    ("rule", "value"),
    [(Aggregate.MEAN, 3.0), (Aggregate.MIN, 1.0), (Aggregate.MAX, 6.0), (Aggregate.LAST, 2.0)],
)
def test_a_gauge_is_reduced_by_the_rule(rule: Aggregate, value: float) -> None:
    assert gauges(3, 1.0, 6.0, 2.0, rule=rule) == [value]


def test_lists_and_objects_are_reduced_element_by_element() -> None:
    assert gauges(2, [1.0, [2.0]], [3.0, [4.0], 9.0]) == [[2.0, [3.0], 9.0]]
    assert gauges(2, {"a": 1.0, "b": {"c": 1}}, {"b": {"c": 2}, "d": None}) == [
        {"a": 1.0, "b": {"c": 1.5}, "d": None}
    ]
    assert gauges(2, [None, 4.0], [2.0, None]) == [[2.0, 4.0]]


def test_what_is_no_number_is_the_last() -> None:
    assert gauges(2, "up", "down") == ["down"]
    assert gauges(3, True, True, False) == [False]


def test_a_value_of_another_shape_begins_anew() -> None:
    assert gauges(4, 100, "?", 2, 4) == [3]
    assert gauges(3, [1.0], {"a": 1.0}, {"a": 3.0}) == [{"a": 2.0}]


def test_whole_numbers_keep_a_whole_mean_exactly() -> None:
    (mean,) = gauges(2, 2**62, 2**62 + 2)
    assert mean == 2**62 + 1
    assert isinstance(mean, int)
    assert gauges(2, 1, 2) == [1.5]
    assert gauges(4, 1, 2, 4.5, 4.5) == [3.0]


def test_a_failure_stands_for_the_window_only_if_there_was_nothing_else() -> None:
    assert gauges(2, Failure("gone"), 4.0, Failure("a"), Failure("b")) == [4.0, Failure("b")]
    assert gauges(2, 4.0, Failure("gone")) == [4.0]


def test_a_list_as_a_whole_is_the_last() -> None:
    snapshots = [Snapshot(n, n, float(n), {"list": [n, n]}) for n in range(4)]
    ended, _ = run(view(2, Aggregate.MEAN), snapshots)
    assert [one.readings["list"] for one in ended] == [[1, 1], [3, 3]]


def test_a_window_has_the_tick_the_number_and_the_time_of_its_last_snapshot() -> None:
    snapshots = [Snapshot(n, n - 3, n + 0.25, {"gauge": 1.0}) for n in (7, 8, 9, 10, 12, 15)]
    ended, rest = run(view(5), snapshots)
    assert [(one.tick, one.number, one.time) for one in ended] == [(9, 6, 9.25), (12, 9, 12.25)]
    assert rest is not None
    assert (rest.tick, rest.number, rest.time) == (15, 12, 15.25)


def test_a_clock_that_is_set_ends_a_window_and_begins_another() -> None:
    snapshots = [Snapshot(n, n, float(n), {"gauge": float(n)}) for n in (7, 8, 2, 3, 4, 100)]
    ended, _ = run(view(5), snapshots)
    assert [one.readings["gauge"] for one in ended] == [7.5, 3.0]


# Against the reference

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    NUMBERS | st.booleans() | st.text(max_size=3),
    lambda inner: (
        st.lists(st.none() | inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), st.none() | inner, max_size=3)
    ),
    max_leaves=6,
)
FAILURES = st.builds(Failure, st.text(max_size=3))
GAINS = st.builds(
    CounterDelta, st.floats(0.001, 1e6), st.tuples(st.integers(0, 2**63), st.integers(0, 2**63))
)
GROWTHS = st.builds(
    DeviceDeltas,
    st.just(NAMES),
    st.just("interfaces"),
    GAINS,
    st.dictionaries(st.sampled_from(["eth0", "eth1", "usb0"]), GAINS, max_size=3),
)
STEPS = st.sampled_from([1, 1, 1, 1, 2, 3, 9])
TICKS = st.integers(1, 6)
RULE = st.sampled_from(list(Aggregate))


def series(values: st.SearchStrategy[Any], name: str) -> st.SearchStrategy[list[Snapshot]]:
    """Make snapshots of one metric, with missed ticks, failures, and none where nobody asked."""

    def build(parts: list[tuple[int, Reading | None]], first: int) -> list[Snapshot]:
        snapshots, tick = [], first
        for step, reading in parts:
            tick += step
            readings = {} if reading is None else {name: reading}
            snapshots.append(Snapshot(tick, tick, tick + 0.5, readings))
        return snapshots

    part = st.tuples(STEPS, st.none() | FAILURES | values | values)
    return st.builds(build, st.lists(part, max_size=30), st.integers(0, 100))


def windows(snapshots: Sequence[Snapshot], ticks: int) -> list[list[Snapshot]]:
    """Group snapshots by window; the last may not have ended yet."""
    return [list(group) for _, group in groupby(snapshots, lambda one: one.tick // ticks)]


def assert_windows_are(
    snapshots: list[Snapshot],
    one: View,
    name: str,
    is_right: Callable[[list[Any], Any], bool],
) -> None:
    ended, rest = run(one, snapshots)
    groups = windows(snapshots, one.ticks)
    found = [*ended, *([rest] if rest else ())]
    assert len(found) == len(groups)
    assert (rest is not None) == bool(groups and (groups[-1][-1].tick + 1) % one.ticks)
    for window, group in zip(found, groups, strict=True):
        assert (window.tick, window.time) == (group[-1].tick, group[-1].time)
        readings = [s.readings[name] for s in group if name in s.readings]
        values = [reading for reading in readings if not isinstance(reading, Failure)]
        reading = window.readings.get(name)
        if values:
            assert is_right(values, reading), (values, reading)
        else:
            assert reading == (readings[-1] if readings else None)


@given(series(NUMBERS, "gauge"), TICKS, RULE)
def test_numbers_are_reduced_as_the_reference_has_it(
    snapshots: list[Snapshot], ticks: int, rule: Aggregate
) -> None:
    def is_right(values: list[float], found: float) -> bool:
        scale = max(abs(value) for value in values)
        if rule is not Aggregate.MEAN:
            return found == RULES[rule](values)
        exact = sum(value / len(values) for value in values)
        return abs(found - exact) <= 1e-9 * scale and math.isfinite(found)

    assert_windows_are(snapshots, view(ticks, rule), "gauge", is_right)


def leaves(value: Any, path: tuple[object, ...] = ()) -> dict[tuple[object, ...], Any]:  # noqa: ANN401
    """Flatten a value to what stands at each place in it."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    return {k: v for key, item in items for k, v in leaves(item, (*path, key)).items()}


@given(series(VALUES, "gauge"), TICKS, RULE)
def test_whatever_a_gauge_is_it_stays_strict_json_within_its_bounds(
    snapshots: list[Snapshot], ticks: int, rule: Aggregate
) -> None:
    def is_right(values: list[Any], found: object) -> bool:
        assert json.loads(orjson.dumps(found)) == found or isinstance(found, float)
        seen: dict[tuple[object, ...], list[Any]] = {}
        for value in values:
            for path, leaf in leaves(value).items():
                seen.setdefault(path, []).append(leaf)
        for path, leaf in leaves(found).items():
            if isinstance(leaf, int | float) and not isinstance(leaf, bool):
                numbers = [n for n in seen[path] if type(n) in {int, float}]
                slack = 1e-9 * max(abs(number) for number in numbers)
                assert min(numbers) - slack <= leaf <= max(numbers) + slack
            elif leaf is not None:
                assert leaf in seen[path]
        return True

    assert_windows_are(snapshots, view(ticks, rule), "gauge", is_right)


def added(gains: Sequence[CounterDelta]) -> CounterDelta:
    counts = zip(*(gain.counts for gain in gains), strict=True)
    return CounterDelta(sum(gain.seconds for gain in gains), tuple(map(sum, counts)))


def rates(gain: CounterDelta) -> Mapping[str, float]:
    return {name: n / gain.seconds for name, n in zip(NAMES, gain.counts, strict=True)}


@given(series(GROWTHS, "rate"), TICKS)
def test_the_mean_of_rates_is_that_of_the_whole_window(
    snapshots: list[Snapshot], ticks: int
) -> None:
    def is_right(growths: list[DeviceDeltas], found: DeviceDeltas) -> bool:
        value: Any = found.rates()
        devices = {name for growth in growths for name in growth.devices}
        assert {n: value[n] for n in NAMES} == pytest.approx(
            rates(added([g.total for g in growths]))
        )
        assert set(value["interfaces"]) == devices
        for name in devices:
            gains = [growth.devices[name] for growth in growths if name in growth.devices]
            assert value["interfaces"][name] == pytest.approx(rates(added(gains)))
        return True

    assert_windows_are(snapshots, view(ticks), "rate", is_right)


@given(
    series(GROWTHS, "rate"), TICKS, st.sampled_from([Aggregate.MIN, Aggregate.MAX, Aggregate.LAST])
)
def test_other_rules_take_the_rates_of_single_ticks(
    snapshots: list[Snapshot], ticks: int, rule: Aggregate
) -> None:
    if ticks == 1:
        rule = Aggregate.MEAN  # they all come to the same

    def chosen(deltas: list[CounterDelta]) -> dict[str, float]:
        columns = zip(*(delta.rates() for delta in deltas), strict=True)
        return dict(zip(NAMES, map(RULES[rule], columns), strict=True))

    def is_right(growths: list[DeviceDeltas], found: DeviceDeltas) -> bool:
        value: Any = found.rates()
        assert {n: value[n] for n in NAMES} == chosen([growth.total for growth in growths])
        last = growths[-1:] if rule is Aggregate.LAST else growths
        devices = {name for growth in last for name in growth.devices}
        assert set(value["interfaces"]) == devices
        for name in devices:
            gains = [growth.devices[name] for growth in last if name in growth.devices]
            assert value["interfaces"][name] == chosen(gains)
        return True

    assert_windows_are(snapshots, view(ticks, rule), "rate", is_right)


# Members


def members(**values: float) -> dict[str, Value | None]:
    return dict(values)


def test_a_member_s_failure_stands_for_the_window_only_if_it_had_no_value() -> None:
    late, gone = Failure("late"), Failure("gone")
    readings = (
        Incomplete(members(a=1.0), {"b": late, "c": gone}),
        members(a=3.0, b=5.0),
        Incomplete(members(a=5.0), {"b": late}),
    )
    assert gauges(3, *readings) == [Incomplete({"a": 3.0, "b": 5.0}, {"c": gone})]
    last = Incomplete(members(a=5.0), {"b": late, "c": gone})
    assert gauges(3, *readings, rule=Aggregate.LAST) == [last]
    assert gauges(1, readings[0], readings[1]) == [readings[0], readings[1]]


def test_the_next_window_knows_nothing_of_the_failures_before() -> None:
    failed = Incomplete(members(a=1.0), {"b": Failure("late")})
    assert gauges(2, failed, failed, members(a=1.0), members(a=1.0))[1] == {"a": 1.0}


def test_of_devices_that_were_left_out_the_rest_has_its_rates() -> None:
    delta = CounterDelta(1.0, (1,))
    deltas = DeviceDeltas(("in_per_second",), "interfaces", delta, {"eth0": delta})
    failed = Incomplete(deltas, {"eth1": Failure("nonsense")})
    readings: tuple[Reading, ...] = (failed, deltas)
    snapshots = [Snapshot(n, n, float(n), {"rate": one}) for n, one in enumerate(readings)]
    ended, _ = run(view(2), snapshots)
    assert ended[0].readings["rate"] == Incomplete(deltas + deltas, failed.failures)


def test_what_only_counts_up_is_the_last_whatever_the_rule() -> None:
    metric = Metric("container", int, counts=frozenset({"oom_kills"}))
    for rule in (Aggregate.MEAN, Aggregate.MIN):
        window = Window(View(("container",), 2, rule), {"container": metric})
        for tick, kills in enumerate((4, 6)):
            values = members(oom_kills=kills, memory_used_bytes=8)
            ended = window.add(Snapshot(tick, tick, float(tick), {"container": values}))
        assert ended[0].readings["container"] == {"oom_kills": 6, "memory_used_bytes": 8}


def test_a_window_has_no_more_members_than_a_tick_and_their_rates_add_up() -> None:
    """Though each tick has others, as the most active ones are."""
    one = CounterDelta(1.0, (10, 0))
    ticks: list[Reading] = []
    for tick in range(10):
        devices = {f"veth{10 * tick + number}": one for number in range(10)}
        devices["other"] = CounterDelta(1.0, (5, 0))
        total = CounterDelta(1.0, (105, 0))
        ticks.append(DeviceDeltas(NAMES, "interfaces", total, devices, frozenset({"veth99"})))
    snapshots = [Snapshot(n, n, float(n), {"rate": reading}) for n, reading in enumerate(ticks)]
    for rule in (Aggregate.MEAN, Aggregate.MAX):
        (ended,), _ = run(view(10, rule), snapshots)
        found = ended.readings["rate"]
        assert isinstance(found, DeviceDeltas)
        assert len(found.devices) == 64
        assert {"veth99", "other"} <= found.devices.keys()
        if rule is Aggregate.MEAN:
            rates = [delta.rates()[0] for delta in found.devices.values()]
            assert sum(rates) == pytest.approx(found.total.rates()[0])


def test_a_window_of_gauges_has_no_more_members_than_a_tick() -> None:
    member = {"type": "object", "additionalProperties": {"type": "number"}}
    metric = Metric("fans", int, schema=member)
    window = Window(View(("fans",), 10), {"fans": metric})
    for tick in range(10):
        values = members(**{f"fan{10 * tick + number}": 1.0 for number in range(10)})
        ended = window.add(Snapshot(tick, tick, float(tick), {"fans": values}))
    reading = ended[0].readings["fans"]
    assert isinstance(reading, dict)
    assert len(reading) == 64
