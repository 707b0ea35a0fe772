"""The machine's figures, from made-up snapshots to what Prometheus reads of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics
from prometheus_client.registry import Collector

from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Failure, Reading, Snapshot
from hub.sampling.value import Precision
from hub.web.host_figures import counter_figures, host_figures
from tests.support.exposition import needs_promtool, promtool, samples
from tests.support.fakes import START, snapshot

READINGS: Final[Mapping[str, Reading]] = {
    "cpu": 25.5,
    "memory": 60.0,
    "disk": 45.0,
    "swap": 0.0,
    "cores": [20.0, 31.0],
    "load": [0.5, 1.25, 2.0],
    "uptime": 3600.25,
    "memory_bytes": {"total": 8000, "available": 5000, "used": 3000, "free": 1000},
    "disks": {"/": 30.0},
    "disks_bytes": {
        "/": {"total": 900, "used": 300, "free": 500},
        "/srv/my disk": {"total": 50, "used": 10, "free": 40},
    },
    "temperatures": {"coretemp Core 0": 47.5, "nvme Composite": 31.0},
    "pressure": {"cpu": {"some": 1.5}, "io": {"some": 20.0, "full": 10.0}},
    "container": {
        "cpu_limit_cores": 1.5,
        "throttled": 12.5,
        "memory_limit_bytes": 4096,
        "memory_used_bytes": 1024,
        "oom_kills": 2,
    },
    "network": DeviceDeltas(("sent_bytes_per_second",), "interfaces", CounterDelta(1.0, (7,)), {}),
    "queue_depth": 7,
}

TOTALS: Final[Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "cpu_times": {"": {"user": 1234.5, "idle": 99.25}},
    "network": {
        "eth0": {"bytes_recv": 10, "bytes_sent": 20, "packets_recv": 1, "packets_sent": 2},
        "lo": {"bytes_recv": 5, "bytes_sent": 5, "packets_recv": 3, "packets_sent": 3},
    },
    "disk_io": {"sda": {"read_bytes": 512, "write_bytes": 1024, "read_count": 8, "write_count": 9}},
}


class Fixed(Collector):
    """Has the same figures whenever it is asked."""

    def __init__(self, figures: Iterable[Metric]) -> None:
        self._figures = list(figures)

    def collect(self) -> Iterator[Metric]:
        return iter(self._figures)


def states(**readings: Reading) -> dict[str, float]:
    return read(host_figures(snapshot(1, **readings), readings))


def totals(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    return read(counter_figures(found))


def read(figures: Iterable[Metric]) -> dict[str, float]:
    return samples(as_openmetrics(Fixed(figures)).decode())  # type: ignore[no-untyped-call]


# States


def test_percentages_are_ratios_and_numbers_of_others_are_as_they_are() -> None:
    found = states(**READINGS)
    assert found["hub_cpu_usage_ratio"] == 0.255
    assert found["hub_memory_usage_ratio"] == 0.6
    assert found["hub_disk_usage_ratio"] == 0.45
    assert found["hub_swap_usage_ratio"] == 0
    own = {name for name in found if name.startswith("hub_metric_value")}
    assert own == {"hub_metric_value{metric=queue_depth}"}


def test_memory_is_in_bytes() -> None:
    found = states(**READINGS)
    for name, value in (("total", 8000), ("available", 5000), ("used", 3000), ("free", 1000)):
        assert found[f"hub_memory_{name}_bytes"] == value


def test_space_is_in_bytes_by_mount_point() -> None:
    found = states(**READINGS)
    assert found["hub_filesystem_size_bytes{mountpoint=/}"] == 900
    assert found["hub_filesystem_used_bytes{mountpoint=/}"] == 300
    assert found["hub_filesystem_free_bytes{mountpoint=/}"] == 500
    assert found["hub_filesystem_free_bytes{mountpoint=/srv/my disk}"] == 40


def test_load_has_a_name_for_each_mean() -> None:
    found = states(**READINGS)
    assert [found[f"hub_load{minutes}"] for minutes in (1, 5, 15)] == [0.5, 1.25, 2.0]


def test_temperatures_are_by_sensor() -> None:
    found = states(**READINGS)
    assert found["hub_temperature_celsius{sensor=coretemp Core 0}"] == 47.5
    assert found["hub_temperature_celsius{sensor=nvme Composite}"] == 31.0


def test_pressure_is_a_ratio_by_resource_and_kind() -> None:
    found = {name: value for name, value in states(**READINGS).items() if "pressure" in name}
    assert found == {
        "hub_pressure_ratio{kind=some,resource=cpu}": 0.015,
        "hub_pressure_ratio{kind=some,resource=io}": 0.2,
        "hub_pressure_ratio{kind=full,resource=io}": 0.1,
    }


def test_a_container_has_its_limits_and_what_it_uses() -> None:
    found = {name: value for name, value in states(**READINGS).items() if "container" in name}
    assert found == {
        "hub_container_cpu_limit_cores": 1.5,
        "hub_container_throttled_ratio": 0.125,
        "hub_container_memory_limit_bytes": 4096,
        "hub_container_memory_used_bytes": 1024,
        "hub_container_oom_kills_total": 2,
    }


def test_a_limit_that_there_is_not_is_absent() -> None:
    found = states(container={"memory_used_bytes": 1024, "oom_kills": 0})
    assert found == {"hub_container_memory_used_bytes": 1024, "hub_container_oom_kills_total": 0}


@pytest.mark.parametrize("second", range(5))
@pytest.mark.parametrize("precision", [None, Precision.WHOLE])
def test_the_time_of_the_start_stays_the_same_while_the_machine_is_up(
    second: int, precision: Precision | None
) -> None:
    booted, delay = 1_762_000_000, 0.02 * second  # which the reading comes after the tick
    taken = START + second
    precisions = {} if precision is None else {"uptime": precision}
    readings: dict[str, Reading] = {"uptime": taken + delay - booted}
    made = Snapshot(second, second, taken, readings, precisions)
    assert read(host_figures(made, ("uptime",))) == {"hub_boot_time_seconds": booted}


def test_what_a_snapshot_does_not_have_has_no_figure() -> None:
    assert read(host_figures(snapshot(1, cpu=1.0), ("cpu", "load", "uptime"))) == {
        "hub_cpu_usage_ratio": 0.01
    }


def test_what_failed_has_no_figure() -> None:
    assert states(**dict.fromkeys(READINGS, Failure("Input/output error"))) == {}


def test_what_is_empty_has_no_figure() -> None:
    assert states(temperatures={}, pressure={}, container={}, disks_bytes={}, load=[]) == {}


@given(
    st.dictionaries(
        st.sampled_from([*READINGS, "other"]),
        st.recursive(
            st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text(max_size=3)),
            lambda inner: st.one_of(
                st.lists(st.one_of(st.none(), inner), max_size=4),
                st.dictionaries(
                    st.sampled_from(["total", "free", "oom_kills", "cpu", "some", "/", "x"]),
                    st.one_of(st.none(), inner),
                    max_size=4,
                ),
            ),
            max_leaves=8,
        ),
        max_size=6,
    )
)
def test_metrics_of_a_host_s_own_may_have_the_names_of_ours_and_be_worth_anything(
    readings: dict[str, Reading],
) -> None:
    assert all(isinstance(value, float) for value in states(**readings).values())


# Running totals


def test_processors_have_seconds_by_mode() -> None:
    assert totals({"cpu_times": TOTALS["cpu_times"]}) == {
        "hub_cpu_seconds_total{mode=user}": 1234.5,
        "hub_cpu_seconds_total{mode=idle}": 99.25,
    }


def test_interfaces_have_what_they_carried() -> None:
    found = totals(TOTALS)
    assert found["hub_network_receive_bytes_total{device=eth0}"] == 10
    assert found["hub_network_transmit_bytes_total{device=eth0}"] == 20
    assert found["hub_network_receive_packets_total{device=eth0}"] == 1
    assert found["hub_network_transmit_packets_total{device=eth0}"] == 2
    assert found["hub_network_receive_bytes_total{device=lo}"] == 5


def test_disks_have_what_was_read_and_written() -> None:
    assert totals({"disk_io": TOTALS["disk_io"]}) == {
        "hub_disk_read_bytes_total{device=sda}": 512,
        "hub_disk_written_bytes_total{device=sda}": 1024,
        "hub_disk_reads_completed_total{device=sda}": 8,
        "hub_disk_writes_completed_total{device=sda}": 9,
    }


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"network": {}, "disk_io": {}, "cpu_times": {}},
        {"network": {"eth0": {}}, "cpu_times": {"": {}}},
        {"network": {"eth0": {"errors": 1}}, "a_host_s_own": {"x": {"bytes_recv": 1}}},
    ],
)
def test_what_was_not_counted_has_no_total(
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> None:
    assert totals(found) == {}


@given(st.text(st.characters(codec=None), max_size=8))
def test_a_device_may_be_called_anything(name: str) -> None:
    (value,) = totals({"network": {name: {"bytes_recv": 7}}}).values()
    assert value == 7


# As promtool has it


@needs_promtool
def test_prometheus_own_tool_has_nothing_to_say() -> None:
    figures = [*host_figures(snapshot(1, **READINGS), READINGS), *counter_figures(TOTALS)]
    assert promtool(as_text(Fixed(figures))) == ""


@needs_promtool
def test_prometheus_own_tool_has_something_to_say_of_what_is_not_as_it_should_be() -> None:
    assert "no help text" in promtool(b"# TYPE hub_memory_total_bytes gauge\nhub_x 1\n")
    assert "error" in promtool(b"hub_x{\n")
