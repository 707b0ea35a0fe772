"""The metric families that have members, one for each device: disks, interfaces, sensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil

from hub.devices import USUAL, Selection
from hub.sampling.counters import CounterMeter
from hub.sampling.file_systems import FileSystems, MountTable
from hub.sampling.gpu import GPUMeter, is_installed
from hub.sampling.metric import Kind, Metric
from hub.sampling.sensors import Temperatures
from hub.sampling.topology import Topology
from hub.sampling.value import Precision

__all__ = ["AMOUNT", "PERCENT", "device_metrics", "object_of"]

PERCENT: Final = {"type": "number", "minimum": 0, "maximum": 100}
AMOUNT: Final = {"type": "number", "minimum": 0}

_BYTES: Final = ("total", "used", "free")
_DISK_COUNTERS: Final = {
    "read_bytes": "read_bytes_per_second",
    "write_bytes": "write_bytes_per_second",
    "read_count": "read_count_per_second",
    "write_count": "write_count_per_second",
}
_NETWORK_COUNTERS: Final = {
    "bytes_recv": "received_bytes_per_second",
    "bytes_sent": "sent_bytes_per_second",
    "packets_recv": "received_packets_per_second",
    "packets_sent": "sent_packets_per_second",
}
_ABSOLUTE_ZERO: Final = -273.15
_MELTING: Final = 1000
"""Degrees Celsius that no sensor of a machine that still runs can measure."""


def object_of(properties: Mapping[str, object], *, optional: bool = False) -> dict[str, object]:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [] if optional else list(properties),
        "additionalProperties": False,
    }


def device_metrics(devices: Mapping[str, Selection]) -> Iterator[Metric]:
    """Iterate over the families; ``devices`` is which members an operator wants to be shown."""
    yield from _file_systems(devices)
    yield from _rates()
    yield _temperatures()
    if is_installed():
        yield _gpu()


def _file_systems(devices: Mapping[str, Selection]) -> Iterator[Metric]:
    table, selection = MountTable(), devices.get("disks", USUAL)
    shares = FileSystems(lambda usage: usage.percent, table, selection)
    yield Metric(
        "disks",
        shares.collect,
        always=True,
        unasked=shares.collect_near,
        precision=Precision.TENTH,
        description="Used space of each local file system, in percent, by mount point.",
        schema=_by_device(PERCENT),
        unit="percent",
        convention="system.filesystem.utilization",
    )
    sizes = FileSystems(_bytes, table, devices.get("disks_bytes", USUAL).over(selection))
    yield Metric(
        "disks_bytes",
        sizes.collect,
        always=True,
        unasked=sizes.collect_near,
        precision=Precision.WHOLE,
        description="Size of each local file system, what is used of it and what is free for "
        "unprivileged users, in bytes, by mount point.",
        schema=_by_device(object_of(dict.fromkeys(_BYTES, AMOUNT))),
        unit="bytes",
        convention="system.filesystem.usage",
    )


def _bytes(usage: Any) -> dict[str, int]:  # noqa: ANN401 # psutil's own type has no name
    return {name: getattr(usage, name) for name in _BYTES}


def _rates() -> Iterator[Metric]:
    topology = Topology()
    yield _rate(
        "disk_io",
        CounterMeter(
            _read_disks,
            _DISK_COUNTERS,
            "devices",
            counted=topology.bottom_disks,
            usual=topology.whole_disks,
        ),
        "What disks read and write, per second; in all, only disks that lie on no others.",
        "system.disk.io",
    )
    yield _rate(
        "network",
        CounterMeter(
            _read_network,
            _NETWORK_COUNTERS,
            "interfaces",
            counted=topology.border_interfaces,
            usual=topology.border_interfaces,
        ),
        "What the network carries, per second; in all, what crosses the machine's border.",
        "system.network.io",
    )


def _rate(name: str, meter: CounterMeter, description: str, convention: str) -> Metric:
    rates = dict.fromkeys(meter.names, AMOUNT)
    return Metric(
        name,
        meter.collect,
        prime=meter.prime,
        kind=Kind.RATE,
        always=True,
        precision=Precision.RATE,
        description=description,
        schema=object_of({**rates, meter.group: _by_device(object_of(rates))}),
        convention=convention,
        totals=meter.totals,
    )


def _temperatures() -> Metric:
    return Metric(
        "temperatures",
        Temperatures().collect,
        precision=Precision.TENTH,
        description="Degrees Celsius by sensor; empty where there is none.",
        schema=_by_device({
            "type": "number",
            "exclusiveMinimum": _ABSOLUTE_ZERO,
            "maximum": _MELTING,
        }),
        unit="degrees Celsius",
        convention="hw.temperature",
    )  # fmt: skip


def _gpu() -> Metric:
    figures = {
        "utilization": PERCENT,
        "memory": PERCENT,
        "temperature": {"type": "number"},
        "power_watts": AMOUNT,
    }
    return Metric(
        "gpu",
        GPUMeter().collect,
        precision=Precision.TENTH,
        description="NVIDIA's graphics processors: use and memory in percent, degrees Celsius and "
        "watts, by device.",
        schema=_by_device(object_of(figures, optional=True)),
        convention="hw.gpu.utilization",
    )


def _by_device(member: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "additionalProperties": dict(member)}


def _read_disks() -> Mapping[str, Any]:
    return psutil.disk_io_counters(perdisk=True, nowrap=False) or {}


def _read_network() -> Mapping[str, Any]:
    return psutil.net_io_counters(pernic=True, nowrap=False) or {}
