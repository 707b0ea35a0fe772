"""The machine's figures as Prometheus users know them: base units, states and running totals.

What the newest snapshot does not have has no figure: there is no zero in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Value
from hub.web.openmetrics import counters, gauges

__all__ = ["counter_figures", "host_figures"]

_PERCENTAGES: Final = {
    "cpu": "Processor time used, of all processors.",
    "memory": "Memory used.",
    "disk": "Space used on the file system of --disk-path.",
    "swap": "Swap space used.",
}

_MEMORY: Final = {
    "total": "Memory that the machine has.",
    "available": "Memory that is available without swapping.",
    "used": "Memory in use.",
    "free": "Memory that is not used at all, not even as a cache.",
}

_SPACE: Final = {
    "total": ("size", "Space that a file system has."),
    "used": ("used", "Space in use on a file system."),
    "free": ("free", "Space that is free for unprivileged users on a file system."),
}

_LOAD: Final = {
    "hub_load1": "Mean number of processes that ran or waited, over 1 minute.",
    "hub_load5": "Mean number of processes that ran or waited, over 5 minutes.",
    "hub_load15": "Mean number of processes that ran or waited, over 15 minutes.",
}

_CONTAINER: Final = {
    "cpu_limit_cores": ("cpu_limit", "cores", "Processors that the container may use."),
    "throttled": ("throttled", "ratio", "Share of periods in which it used up its processor time."),
    "memory_limit_bytes": ("memory_limit", "bytes", "Memory that the container may use."),
    "memory_used_bytes": ("memory_used", "bytes", "Memory that the container uses."),
}

_COUNTERS: Final = {
    "network": {
        "bytes_recv": ("hub_network_receive", "bytes", "Bytes that an interface has received."),
        "bytes_sent": ("hub_network_transmit", "bytes", "Bytes that an interface has sent."),
        "packets_recv": ("hub_network_receive_packets", "", "Packets received."),
        "packets_sent": ("hub_network_transmit_packets", "", "Packets sent."),
    },
    "disk_io": {
        "read_bytes": ("hub_disk_read", "bytes", "Bytes that have been read from a disk."),
        "write_bytes": ("hub_disk_written", "bytes", "Bytes that have been written to a disk."),
        "read_count": ("hub_disk_reads_completed", "", "Reads that a disk has completed."),
        "write_count": ("hub_disk_writes_completed", "", "Writes that a disk has completed."),
    },
}
"""By family and the name that psutil has for it: what a device's counter is called."""


def host_figures(snapshot: Snapshot, names: Iterable[str]) -> Iterator[Metric]:
    """Iterate over the states that a snapshot has.

    Args:
        snapshot: the newest one.
        names: of all metrics on offer. Those that are numbers, and of which nothing is known
            here, are told as they are, by their names.
    """
    yield from _scalars(snapshot, names)
    yield from _boot_time(snapshot)
    yield from _load(snapshot)
    for name, value in _numbers(snapshot.value("memory_bytes")).items():
        if name in _MEMORY:
            yield GaugeMetricFamily(f"hub_memory_{name}", _MEMORY[name], value, unit="bytes")
    yield from _file_systems(snapshot)
    if temperatures := _numbers(snapshot.value("temperatures")):
        text = "Temperature that a sensor measures."
        yield gauges("hub_temperature", text, "sensor", temperatures, "celsius")
    yield from _pressure(snapshot)
    yield from _container(snapshot)


def counter_figures(totals: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Metric]:
    """Iterate over running totals, of which Prometheus makes the rates itself.

    Args:
        totals: by the family's name, the device's and the counter's, as psutil has it, at the
            last reading. Of the processors' times, a device without a name has the modes.
    """
    if times := totals.get("cpu_times", {}).get("", {}):
        text = "Time that processors have spent in each mode."
        yield counters("hub_cpu", text, "mode", times, "seconds")
    for family, known in _COUNTERS.items():
        devices = {_encodable(name): found for name, found in totals.get(family, {}).items()}
        for counter, (name, unit, text) in known.items():
            if values := _column(devices, counter):
                yield counters(name, text, "device", values, unit)


def _scalars(snapshot: Snapshot, names: Iterable[str]) -> Iterator[Metric]:
    own: dict[str, float] = {}
    for name, value in _numbers({name: snapshot.value(name) for name in names}).items():
        if name in _PERCENTAGES:
            yield GaugeMetricFamily(
                f"hub_{name}_usage", _PERCENTAGES[name], value / 100, unit="ratio"
            )
        elif name != "uptime":
            own[name] = value
    if own:
        yield gauges("hub_metric_value", "Newest values of other metrics.", "metric", own)


def _boot_time(snapshot: Snapshot) -> Iterator[Metric]:
    """Make a time of the uptime that was read: rounded twice, it would not stay the same."""
    uptime = snapshot.readings.get("uptime")
    if isinstance(uptime, int | float):
        text = "When the machine was started, as seconds since the Unix epoch."
        yield GaugeMetricFamily(
            "hub_boot_time", text, round(snapshot.time - uptime), unit="seconds"
        )


def _load(snapshot: Snapshot) -> Iterator[Metric]:
    value = snapshot.value("load")
    averages = value if isinstance(value, list) else []
    for (name, text), average in zip(_LOAD.items(), averages, strict=False):
        if isinstance(average, int | float):
            yield GaugeMetricFamily(name, text, average)


def _file_systems(snapshot: Snapshot) -> Iterator[Metric]:
    mounts = _objects(snapshot.value("disks_bytes"))
    for member, (name, text) in _SPACE.items():
        if values := _column(mounts, member):
            yield gauges(f"hub_filesystem_{name}", text, "mountpoint", values, "bytes")


def _pressure(snapshot: Snapshot) -> Iterator[Metric]:
    text = "Share of the last 10 s in which some tasks (some) or all tasks (full) had to wait."
    family = GaugeMetricFamily("hub_pressure", text, labels=["resource", "kind"], unit="ratio")
    for resource, stalls in _objects(snapshot.value("pressure")).items():
        for kind, percent in stalls.items():
            family.add_metric([resource, kind], percent / 100)
    if family.samples:
        yield family


def _container(snapshot: Snapshot) -> Iterator[Metric]:
    found = _numbers(snapshot.value("container"))
    for member, (name, unit, text) in _CONTAINER.items():
        if member in found:
            value = found[member] / 100 if unit == "ratio" else found[member]
            yield GaugeMetricFamily(f"hub_container_{name}", text, value, unit=unit)
    if "oom_kills" in found:
        text = "Processes that were killed because the container had no memory left."
        yield CounterMetricFamily("hub_container_oom_kills", text, found["oom_kills"])


def _numbers(value: Value | None) -> dict[str, float]:
    """Return those members of an object that are numbers."""
    members = value.items() if isinstance(value, dict) else ()
    return {
        name: member
        for name, member in members
        if isinstance(member, int | float) and not isinstance(member, bool)
    }


def _objects(value: Value | None) -> dict[str, dict[str, float]]:
    """Return the numbers of those members of an object that are objects."""
    members = value.items() if isinstance(value, dict) else ()
    return {name: numbers for name, member in members if (numbers := _numbers(member))}


def _column(rows: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    return {key: row[name] for key, row in rows.items() if name in row}


def _encodable(name: str) -> str:
    """Return a device's name as readings have it: a kernel lets it be any bytes."""
    return name.encode("utf-8", "replace").decode()
