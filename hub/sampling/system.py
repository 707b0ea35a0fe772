"""The metric families that every hub offers, and what each of them asks of psutil."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import psutil

from hub.sampling.counters import CounterMeter
from hub.sampling.file_systems import file_system_usage
from hub.sampling.metric import Kind, Metric
from hub.sampling.processes import SHOWN, ProcessTable
from hub.sampling.processor import ProcessorMeter
from hub.sampling.topology import Topology
from hub.sampling.value import Precision
from hub.settings import Settings

__all__ = ["standard_metrics"]

_PERCENT: Final = {"type": "number", "minimum": 0, "maximum": 100}
_RATE: Final = {"type": "number", "minimum": 0}
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
_MEMORY_FIELDS: Final = ("total", "available", "used", "free")


def standard_metrics(settings: Settings) -> tuple[Metric, ...]:
    """Return the families, in the order of their keys in a message."""
    return (*_percentages(settings), *_details(), *_rates(), _temperatures(), _processes())


def _percentages(settings: Settings) -> tuple[Metric, ...]:
    cpu = ProcessorMeter(lambda: [psutil.cpu_times()])
    kinds: tuple[tuple[str, Callable[[], object], str], ...] = (
        (
            "cpu",
            lambda: cpu.collect()[0],
            "Use of all processors, in percent: the mean since the sample before.",
        ),
        ("memory", lambda: psutil.virtual_memory().percent, "Memory in use, in percent."),
        (
            "disk",
            lambda: psutil.disk_usage(settings.disk_path).percent,
            "Used space as a share of what unprivileged users can have, in percent.",
        ),
        ("swap", lambda: psutil.swap_memory().percent, "Swap space in use, in percent."),
    )
    return tuple(
        Metric(
            name,
            collect,
            prime=cpu.prime if name == "cpu" else None,
            always=True,
            precision=Precision.TENTH,
            description=description,
            schema=_PERCENT,
        )
        for name, collect, description in kinds
    )


def _details() -> tuple[Metric, ...]:
    cores = ProcessorMeter(partial(psutil.cpu_times, percpu=True))
    memory = {name: {"type": "number", "minimum": 0} for name in _MEMORY_FIELDS}
    return (
        Metric(
            "cores",
            cores.collect,
            prime=cores.prime,
            precision=Precision.TENTH,
            description="Use of each logical processor, in percent.",
            schema={"type": "array", "items": _PERCENT},
        ),
        Metric(
            "load",
            psutil.getloadavg,
            precision=Precision.HUNDREDTH,
            description="Mean number of processes that run or wait, over 1, 5 and 15 minutes.",
            schema={"type": "array", "items": _RATE, "minItems": 3, "maxItems": 3},
        ),
        Metric(
            "memory_bytes",
            _memory_bytes,
            precision=Precision.WHOLE,
            description="Memory in bytes.",
            schema=_object(memory),
        ),
        Metric(
            "disks",
            file_system_usage,
            precision=Precision.TENTH,
            description="Used space of each mounted file system, in percent, by mount point.",
            schema={"type": "object", "additionalProperties": _PERCENT},
        ),
    )


def _rates() -> tuple[Metric, ...]:
    topology = Topology()
    disks = CounterMeter(_read_disks, _DISK_COUNTERS, "devices", counted=topology.bottom_disks)
    network = CounterMeter(
        _read_network, _NETWORK_COUNTERS, "interfaces", counted=topology.border_interfaces
    )
    return (
        _rate(
            "disk_io",
            disks,
            "What disks read and write, per second; in all, only disks that lie on no others.",
        ),
        _rate(
            "network",
            network,
            "What the network carries, per second; in all, what crosses the machine's border.",
        ),
    )


def _rate(name: str, meter: CounterMeter, description: str) -> Metric:
    rates = dict.fromkeys(meter.names, _RATE)
    by_device = {"type": "object", "additionalProperties": _object(rates)}
    return Metric(
        name,
        meter.collect,
        prime=meter.prime,
        kind=Kind.RATE,
        precision=Precision.RATE,
        description=description,
        schema=_object({**rates, meter.group: by_device}),
    )


def _temperatures() -> Metric:
    return Metric(
        "temperatures",
        _read_temperatures,
        precision=Precision.TENTH,
        description="Degrees Celsius by sensor; empty where there is none.",
        schema={"type": "object", "additionalProperties": {"type": "number"}},
    )


def _processes() -> Metric:
    table = ProcessTable()
    process = {
        "pid": {"type": "integer"},
        "name": {"type": "string"},
        "cpu": _RATE,
        "memory": _RATE,
    }
    return Metric(
        "processes",
        table.collect,
        prime=table.prime,
        kind=Kind.LIST,
        restricted=True,
        background=True,
        precision=Precision.TENTH,
        description=f"The {SHOWN} processes that use most of one processor, in percent of it, "
        "with their share of memory in percent.",
        schema={"type": "array", "items": _object(process), "maxItems": SHOWN},
    )


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _memory_bytes() -> dict[str, int]:
    memory = psutil.virtual_memory()
    return {name: getattr(memory, name) for name in _MEMORY_FIELDS}


def _read_disks() -> Mapping[str, Any]:
    return psutil.disk_io_counters(perdisk=True, nowrap=False) or {}


def _read_network() -> Mapping[str, Any]:
    return psutil.net_io_counters(pernic=True, nowrap=False) or {}


def _read_temperatures() -> dict[str, float]:
    read = getattr(psutil, "sensors_temperatures", dict)  # not everywhere
    found: dict[str, float] = {}
    for chip, sensors in read().items():
        for sensor in sensors:
            if sensor.current is not None and math.isfinite(sensor.current):
                found[_unused(f"{chip} {sensor.label}".strip(), found)] = sensor.current
    return found


def _unused(name: str, names: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in names:
        number += 1
        free = f"{name} {number}"
    return free
