from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.counters import CounterMeter
from hub.sampling.snapshot import DeviceDeltas, Incomplete
from hub.sampling.value import Value


class Counters:
    """Devices whose counters a test sets, and a clock that it moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.devices: dict[str, tuple[int, int]] = {}
        self.broken = False
        self.meter = CounterMeter(
            self._read,
            {"received": "received_per_second", "sent": "sent_per_second"},
            "interfaces",
            counted=lambda names: [name for name in names if not name.startswith("part")],
            clock=lambda: self.now,
        )

    def _read(self) -> Mapping[str, Any]:
        if self.broken:
            raise OSError(5, "Input/output error")
        return {
            name: SimpleNamespace(received=received, sent=sent)
            for name, (received, sent) in self.devices.items()
        }

    def tick(self, seconds: float = 1.0, **devices: tuple[int, int]) -> Value:
        self.now += seconds
        self.devices = devices
        return self.collect().rates()

    def collect(self) -> DeviceDeltas:
        deltas = self.meter.collect()
        assert isinstance(deltas, DeviceDeltas)
        return deltas


def rates(received: float, sent: float) -> dict[str, float]:
    return {"received_per_second": received, "sent_per_second": sent}


@pytest.fixture
def counters() -> Counters:
    counters = Counters()
    counters.devices = {"eth0": (1000, 100)}
    counters.meter.prime()
    return counters


def test_a_rate_is_the_difference_of_the_counters_over_the_time_between(
    counters: Counters,
) -> None:
    assert counters.tick(2.0, eth0=(1500, 110)) == {
        **rates(250, 5),
        "interfaces": {"eth0": rates(250, 5)},
    }


def test_a_device_that_appears_counts_from_then_on(counters: Counters) -> None:
    alone = {**rates(1, 1), "interfaces": {"eth0": rates(1, 1)}}
    assert counters.tick(eth0=(1001, 101), usb0=(10**9, 10**9)) == alone
    assert counters.tick(eth0=(1002, 102), usb0=(10**9 + 5, 10**9)) == {
        **rates(6, 1),
        "interfaces": {"eth0": rates(1, 1), "usb0": rates(5, 0)},
    }


def test_a_device_that_vanishes_or_goes_back_is_left_out_and_no_rate_is_negative(
    counters: Counters,
) -> None:
    nothing = {**rates(0, 0), "interfaces": {}}
    assert counters.tick() == nothing
    assert counters.tick(eth0=(2000, 200)) == nothing
    assert counters.tick(eth0=(5, 201)) == nothing
    assert counters.tick(eth0=(6, 202)) == {**rates(1, 1), "interfaces": {"eth0": rates(1, 1)}}


def test_a_part_of_another_device_does_not_count_twice(counters: Counters) -> None:
    counters.tick(eth0=(1000, 100), part1=(0, 0))
    assert counters.tick(eth0=(1004, 100), part1=(4, 0)) == {
        **rates(4, 0),
        "interfaces": {"eth0": rates(4, 0), "part1": rates(4, 0)},
    }


def test_after_a_reading_that_failed_the_next_one_spans_both(counters: Counters) -> None:
    counters.broken = True
    with pytest.raises(OSError, match="Input/output"):
        counters.tick()
    counters.broken = False
    assert counters.tick(eth0=(1010, 100)) == {**rates(5, 0), "interfaces": {"eth0": rates(5, 0)}}


def test_after_a_pause_the_first_rate_is_that_since_the_priming(counters: Counters) -> None:
    counters.now += 3600
    counters.devices = {"eth0": (10**12, 0)}
    counters.meter.prime()
    assert counters.tick(eth0=(10**12 + 7, 0)) == {
        **rates(7, 0),
        "interfaces": {"eth0": rates(7, 0)},
    }


def test_without_time_between_there_is_no_rate(counters: Counters) -> None:
    with pytest.raises(RuntimeError, match="no time"):
        counters.tick(0.0, eth0=(1001, 101))


def test_the_time_of_a_rate_is_that_at_which_its_counters_were_read() -> None:
    """However long it takes to make something of them."""
    now, count = 1.0, 0

    class Laborious:
        @property
        def received(self) -> int:
            nonlocal now
            now += 0.5
            return count

    meter = CounterMeter(
        lambda: {"eth0": Laborious()},
        {"received": "received_per_second"},
        "interfaces",
        clock=lambda: now,
    )
    meter.prime()
    now, count = 3.0, 10
    deltas = meter.collect()
    assert isinstance(deltas, DeviceDeltas)
    assert deltas.total.rates() == [5.0]


STEADY = st.lists(st.tuples(st.floats(0.01, 60), st.integers(0, 2**40)), min_size=1, max_size=20)


@given(STEADY, st.sets(st.integers(0, 19)))
def test_deltas_add_up_to_the_counters_difference_whatever_fails_in_between(
    ticks: list[tuple[float, int]], failing: set[int]
) -> None:
    counters = Counters()
    counters.devices = {"eth0": (0, 0)}
    counters.meter.prime()
    total, whole, deltas = 0, 0.0, []
    for number, (seconds, gained) in enumerate([*ticks, (1.0, 0)]):
        total += gained
        whole += seconds
        counters.now += seconds
        counters.devices = {"eth0": (total, 2 * total)}
        counters.broken = number in failing and number < len(ticks)
        try:
            deltas.append(counters.collect())
        except OSError:
            continue
    added = deltas[0]
    for later in deltas[1:]:
        added += later
    assert added.devices["eth0"] == added.total
    assert added.total.counts == (total, 2 * total)
    assert added.total.seconds == pytest.approx(whole)


SERIES = st.lists(
    st.dictionaries(
        st.sampled_from(["eth0", "eth1", "part1"]),
        st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    ),
    max_size=20,
)


@given(SERIES)
def test_whatever_counters_do_no_rate_is_negative(
    series: list[dict[str, tuple[int, int]]],
) -> None:
    counters = Counters()
    counters.meter.prime()
    before: dict[str, tuple[int, int]] = {}
    for devices in series:
        value = counters.tick(1.0, **devices)
        assert isinstance(value, dict)
        shown = value["interfaces"]
        assert isinstance(shown, dict)
        for name, gained in shown.items():
            assert isinstance(gained, dict)
            pairs = zip(before[name], devices[name], strict=True)
            assert list(gained.values()) == [float(b - a) for a, b in pairs]
            assert min(b - a for a, b in zip(before[name], devices[name], strict=True)) >= 0
        before = devices


# Devices that cannot be read, and very many


class Odd:
    """A device whose counters are what a test says, or that has none."""

    def __init__(self, **counters: object) -> None:
        self.__dict__.update(counters)


@pytest.mark.parametrize(
    ("device", "cause"),
    [
        (Odd(received=None, sent=1), "received None must be a whole number of at most 64 bits"),
        (Odd(received=1, sent=-1), "sent -1 must be a whole number of at most 64 bits"),
        (Odd(received=1, sent=2**64), "sent 18446744073709551616 must be a whole number"),
        (Odd(received=float("nan"), sent=1), "received nan must be a whole number"),
        (Odd(received=1), "'Odd' object has no attribute 'sent'"),
    ],
)
def test_a_device_that_makes_no_sense_is_left_out_and_named(device: Odd, cause: str) -> None:
    devices: dict[str, object] = {"eth0": Odd(received=0, sent=0), "eth1": device}
    now = iter((1.0, 2.0))
    meter = CounterMeter(
        lambda: devices,
        {"received": "received_per_second", "sent": "sent_per_second"},
        "interfaces",
        clock=lambda: next(now),
    )
    meter.prime()
    devices["eth0"] = Odd(received=5, sent=7)
    found = meter.collect()
    assert isinstance(found, Incomplete)
    assert isinstance(found.value, DeviceDeltas)
    assert found.value.total.counts == (5, 7)
    assert found.value.devices.keys() == {"eth0"}
    assert found.failures["eth1"].cause.startswith(cause)


def test_where_no_device_makes_sense_the_family_has_failed(counters: Counters) -> None:
    counters.now += 1.0
    counters.devices = {"eth0": (-1, 0)}
    with pytest.raises(RuntimeError, match="eth0: received -1 must be"):
        counters.meter.collect()


def test_of_very_many_devices_the_most_active_are_shown_and_the_rest_is_one(
    counters: Counters,
) -> None:
    names = [f"veth{number:03}" for number in range(200)]
    counters.devices = dict.fromkeys(names, (0, 0))
    counters.meter.prime()
    counters.now += 1.0
    counters.devices = {name: (number, 0) for number, name in enumerate(names)}
    deltas = counters.collect()
    assert len(deltas.devices) == 64
    assert {"veth199", "veth137", "other"} <= deltas.devices.keys()
    assert deltas.devices["other"].counts == (sum(range(137)), 0)
    assert deltas.total.counts == (sum(range(200)), 0)
    assert counters.meter.totals()["veth199"] == {"received": 199, "sent": 0}
    assert len(counters.meter.totals()) == 63


def test_a_device_that_is_called_as_the_rest_is_part_of_it(counters: Counters) -> None:
    names = [*(f"veth{number:03}" for number in range(70)), "other"]
    counters.devices = dict.fromkeys(names, (0, 0))
    counters.meter.prime()
    counters.now += 1.0
    counters.devices = {**dict.fromkeys(names, (1, 0)), "other": (1000, 0)}
    deltas = counters.collect()
    assert sum(delta.counts[0] for delta in deltas.devices.values()) == 1070
    assert "other" not in counters.meter.totals()


def test_which_devices_count_is_asked_once_where_the_same_are_shown() -> None:
    asked: list[frozenset[str]] = []

    def physical(names: Collection[str]) -> frozenset[str]:
        asked.append(frozenset(names))
        return frozenset(name for name in names if name.startswith("eth"))

    now = count(1.0)
    received = count(0, 100)
    meter = CounterMeter(
        lambda: {name: SimpleNamespace(received=next(received)) for name in ("eth0", "veth0")},
        {"received": "received_per_second"},
        "interfaces",
        counted=physical,
        usual=physical,
        clock=lambda: next(now),
    )
    meter.prime()
    for number in (1, 2):
        deltas = meter.collect()
        assert isinstance(deltas, DeviceDeltas)
        assert (deltas.total.counts, deltas.usual) == ((200,), frozenset({"eth0"}))
        assert asked == [{"eth0", "veth0"}] * number
