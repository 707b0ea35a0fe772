"""The metric families that every hub offers, and how psutil is asked for each."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import CounterDelta, DeviceDeltas
from hub.settings import Settings

__all__ = ["CounterMeter", "ProcessTable", "standard_metrics"]

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
_TOP: Final = 10


def standard_metrics(settings: Settings) -> tuple[Metric, ...]:
    """Return the families, in the order of their keys in a message.

    What psutil measures since its previous call it keeps for each thread, and so is primed.
    """
    return (*_percentages(settings), *_details(), *_rates(), _temperatures(), _processes())


def _percentages(settings: Settings) -> tuple[Metric, ...]:
    cpu = partial(psutil.cpu_percent, interval=None)
    kinds: tuple[tuple[str, Callable[[], object], str], ...] = (
        ("cpu", cpu, "Use of all processors, in percent: the mean since the sample before."),
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
            prime=cpu if name == "cpu" else None,
            always=True,
            description=description,
            schema=_PERCENT,
        )
        for name, collect, description in kinds
    )


def _details() -> tuple[Metric, ...]:
    cores = partial(psutil.cpu_percent, interval=None, percpu=True)
    memory = {name: {"type": "number", "minimum": 0} for name in _MEMORY_FIELDS}
    return (
        Metric(
            "cores",
            cores,
            prime=cores,
            description="Use of each logical processor, in percent.",
            schema={"type": "array", "items": _PERCENT},
        ),
        Metric(
            "load",
            psutil.getloadavg,
            description="Mean number of processes that run or wait, over 1, 5 and 15 minutes.",
            schema={"type": "array", "items": _RATE, "minItems": 3, "maxItems": 3},
        ),
        Metric(
            "memory_bytes",
            _memory_bytes,
            description="Memory in bytes.",
            schema=_object(memory),
        ),
        Metric(
            "disks",
            _disks,
            description="Used space of each mounted file system, in percent, by mount point.",
            schema={"type": "object", "additionalProperties": _PERCENT},
        ),
    )


def _rates() -> tuple[Metric, ...]:
    disks = CounterMeter(_read_disks, _DISK_COUNTERS, "devices", counts=_is_whole_disk)
    network = CounterMeter(_read_network, _NETWORK_COUNTERS, "interfaces")
    return (
        _rate("disk_io", disks, "What disks read and write, per second; in all, whole disks only."),
        _rate("network", network, "What the network carries, per second; in all, all interfaces."),
    )


def _rate(name: str, meter: CounterMeter, description: str) -> Metric:
    rates = dict.fromkeys(meter.names, _RATE)
    by_device = {"type": "object", "additionalProperties": _object(rates)}
    return Metric(
        name,
        meter.collect,
        prime=meter.prime,
        kind=Kind.RATE,
        description=description,
        schema=_object({**rates, meter.group: by_device}),
    )


def _temperatures() -> Metric:
    return Metric(
        "temperatures",
        _read_temperatures,
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
        description=f"The {_TOP} processes that use most of one processor, in percent of it, "
        "with their share of memory in percent.",
        schema={"type": "array", "items": _object(process), "maxItems": _TOP},
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


def _disks() -> dict[str, float]:
    """Return the use of what psutil lists, and of the root, which it leaves out in containers."""
    roots = [os.sep] if os.name == "posix" else []
    listed = [partition.mountpoint for partition in psutil.disk_partitions(all=False)]
    usage = {}
    for mount in dict.fromkeys([*roots, *listed]):
        try:
            if Path(mount).is_dir():  # containers have single files mounted
                usage[mount] = psutil.disk_usage(mount).percent
        except OSError:  # gone since, or not for us: one of many
            continue
    return usage


def _read_disks() -> Mapping[str, Any]:
    return psutil.disk_io_counters(perdisk=True, nowrap=False) or {}


def _read_network() -> Mapping[str, Any]:
    return psutil.net_io_counters(pernic=True, nowrap=False) or {}


def _is_whole_disk(name: str) -> bool:
    """Say whether a disk's counters are no part of another's; only Linux lists partitions, too."""
    partition = Path("/sys/class/block", name.replace("/", "!"), "partition")
    return not partition.exists()


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


class CounterMeter:
    """Turns the running totals of many devices into what they have gained since the last reading.

    A device that was not there before, or any of whose counters went back because it wrapped or
    was reset, is left out this once. A reading that fails changes nothing: the next gain then
    spans both ticks, and is exact.

    Args:
        read: returns an object with the counters for each device.
        counters: name of each counter's rate, by its attribute.
        group: the key of the rates by device.
        counts: whether a device counts for the total, by its name; all do unless told.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, Any]],
        counters: Mapping[str, str],
        group: str,
        *,
        counts: Callable[[str], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = tuple(counters.values())
        self.group = group
        self._read = read
        self._fields = tuple(counters)
        self._counts = counts
        self._clock = clock
        self._time = 0.0
        self._totals: dict[str, tuple[int, ...]] = {}

    def prime(self) -> None:
        """Take a first reading, and forget what was before."""
        self._time, self._totals = self._reading()

    def collect(self) -> DeviceDeltas:
        """Return what was gained since the last reading.

        Raises:
            RuntimeError: no time has passed.
        """
        time, totals = self._reading()
        seconds = time - self._time
        if seconds <= 0:
            raise RuntimeError("no time has passed since the last reading")
        gains = {
            name: CounterDelta(seconds, gained)
            for name, counts in totals.items()
            if (gained := self._gained(name, counts)) is not None
        }
        self._time, self._totals = time, totals
        return DeviceDeltas(self.names, self.group, self._sum(seconds, gains), gains)

    def _reading(self) -> tuple[float, dict[str, tuple[int, ...]]]:
        devices = self._read()
        totals = {
            name: tuple(getattr(device, field) for field in self._fields)
            for name, device in devices.items()
        }
        return self._clock(), totals

    def _gained(self, name: str, counts: tuple[int, ...]) -> tuple[int, ...] | None:
        before = self._totals.get(name)
        if before is None:
            return None
        gained = tuple(b - a for a, b in zip(before, counts, strict=True))
        return gained if min(gained) >= 0 else None

    def _sum(self, seconds: float, gains: Mapping[str, CounterDelta]) -> CounterDelta:
        counted = [gain.counts for name, gain in gains.items() if self._counts(name)]
        return CounterDelta(
            seconds, tuple(map(sum, zip(*counted, strict=True))) or (0,) * len(self.names)
        )


@dataclass(frozen=True, slots=True)
class _Usage:
    """A process, and the processor time in seconds that it had used at a walk."""

    process: psutil.Process
    seconds: float


class ProcessTable:
    """Which processes use the most processor time, from walk to walk.

    It keeps psutil's process objects to itself: those that psutil shares would also share their
    baselines, with other hubs and with the host. Of each process only the times are read; what
    else is shown is read for the few that are shown.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._time = 0.0
        self._usages: dict[int, _Usage] = {}

    def prime(self) -> None:
        """Take a first walk, and forget what was before."""
        self._usages = {}
        self._time, self._usages = self._clock(), dict(self._walk())

    def collect(self) -> list[dict[str, object]]:
        """Walk through all processes; return the busiest since the last walk, busiest first."""
        now, usages = self._clock(), dict(self._walk())
        elapsed = max(now - self._time, 1e-3)
        shares = [
            (100 * self._since(pid, usage) / elapsed, -pid, usage.process)
            for pid, usage in usages.items()
        ]
        self._time, self._usages = now, usages
        shares.sort(key=lambda share: share[:2], reverse=True)
        return list(_top(shares))

    def _walk(self) -> Iterator[tuple[int, _Usage]]:
        for pid in psutil.pids():
            known = self._usages.get(pid)
            try:
                process = psutil.Process(pid) if known is None else known.process
                times = process.cpu_times()
            except psutil.Error:  # gone meanwhile, or not for us to see
                continue
            yield pid, _Usage(process, times.user + times.system)

    def _since(self, pid: int, usage: _Usage) -> float:
        """Return the seconds used since the last walk; who is new has used all of them since."""
        before = self._usages.get(pid)
        if before is None or usage.seconds < before.seconds:
            return usage.seconds
        return usage.seconds - before.seconds


def _top(shares: Sequence[tuple[float, int, psutil.Process]]) -> Iterator[dict[str, object]]:
    """Describe the first few that are still what they were: process numbers are used again."""
    shown = 0
    for share, _, process in shares:
        if shown == _TOP:
            return
        try:
            if not process.is_running():
                continue
            with process.oneshot():
                name, memory = process.name(), process.memory_percent("rss")
        except psutil.Error:
            continue
        shown += 1
        yield {"pid": process.pid, "name": name, "cpu": round(share, 1), "memory": round(memory, 2)}
