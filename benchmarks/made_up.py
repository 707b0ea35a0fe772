"""Made-up machines and what a hub would sample of them."""

from __future__ import annotations

import itertools
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hub import Settings
from hub.feed.view import DEFAULT_METRICS
from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Reading, Snapshot
from hub.sampling.system import standard_metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hub.sampling.metric import Metric
    from hub.sampling.value import Value

_BEGIN: Final = 1_762_776_000
_COUNTERS: Final = ("read_bytes", "write_bytes", "read_count", "write_count")
_MODES: Final = ("user", "system", "nice", "iowait", "irq", "steal", "idle")


@dataclass(frozen=True, slots=True)
class Machine:
    """A made-up machine.

    Attributes:
        cores: logical processors.
        devices: how many file systems, disks and interfaces each.
        sensors: of temperatures.
        gpus: graphics processors.
        is_busy: whether all of it changes from tick to tick; else every other device is still.
    """

    cores: int = 16
    devices: int = 4
    sensors: int = 8
    gpus: int = 1
    is_busy: bool = False

    def readings(self) -> dict[str, Reading]:
        """Return what all families are worth at some time."""
        return {
            **{name: _percent() for name in DEFAULT_METRICS},
            "swap": _percent() if self.is_busy else 0.0,
            "cpu_times": _percents(_MODES),
            "cores": [_percent() for _ in range(self.cores)],
            "load": [_percent() for _ in range(3)],
            "memory_bytes": _amounts("total", "available", "used", "free"),
            "pressure": {name: _percents(("some", "full")) for name in ("cpu", "memory", "io")},
            "container": {
                **_amounts("memory_limit_bytes", "memory_used_bytes", "oom_kills"),
                **_percents(("cpu_limit_cores", "throttled")),
            },
            "process": {
                **_amounts("rss_bytes", "threads", "descriptors"),
                **_percents(("cpu", "loop_lag_seconds")),
            },
            "uptime": _percent(),
            **self._file_systems(),
            "disk_io": self._deltas("devices", "disk"),
            "network": self._deltas("interfaces", "eth"),
            "temperatures": _percents(_names("sensor", self.sensors)),
            "gpu": {
                name: _percents(("utilization", "memory", "temperature", "power_watts"))
                for name in _names("gpu", self.gpus)
            },
            "processes": [
                {**_amounts("pid"), "name": f"process {n}", **_percents(("cpu", "memory"))}
                for n in range(10)
            ],
        }

    def _file_systems(self) -> dict[str, Reading]:
        mounts = _names("/mnt/", self.devices)
        if self.is_busy:
            sizes = {name: _amounts("total", "used", "free") for name in mounts}
            return {"disks": _percents(mounts), "disks_bytes": {**sizes}}
        still: dict[str, Value | None] = {"total": 2**40, "used": 2**39, "free": 2**39}
        return {
            "disks": dict.fromkeys(mounts, 50.0),
            "disks_bytes": {name: {**still} for name in mounts},
        }

    def _deltas(self, group: str, kind: str) -> DeviceDeltas:
        seconds = random.uniform(0.99, 1.01)
        idle = CounterDelta(seconds, (0,) * len(_COUNTERS))

        def delta() -> CounterDelta:
            return CounterDelta(seconds, tuple(random.randrange(300, 10**6) for _ in _COUNTERS))

        devices = {
            name: delta() if self.is_busy or number % 2 else idle
            for number, name in enumerate(_names(kind, self.devices))
        }
        return DeviceDeltas(_COUNTERS, group, delta(), devices)


USUAL: Final = Machine()
LARGEST: Final = Machine(cores=64, devices=64, is_busy=True)


def _percent() -> float:
    return random.uniform(0, 100)


def _percents(names: Collection[str]) -> dict[str, Value | None]:
    return {name: _percent() for name in names}


def _amounts(*names: str) -> dict[str, Value | None]:
    return {name: random.randrange(10**9, 10**12) for name in names}


def _names(kind: str, count: int) -> list[str]:
    # Snapshots share the names, as they do in life.
    return [sys.intern(f"{kind}{number}") for number in range(count)]


def families() -> dict[str, Metric]:
    """Return all families that this hub has, by name."""
    return {metric.name: metric for metric in standard_metrics(Settings())}


def at_rest(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Return the names of those that are always sampled."""
    return tuple(name for name, metric in metrics.items() if metric.resting is not None)


def snapshots(of: Machine, names: Collection[str]) -> Iterator[Snapshot]:
    """Iterate without end over snapshots of a machine, one a second."""
    metrics = families().values()
    precisions = {one.name: one.precision for one in metrics if one.precision is not None}
    for tick in itertools.count(_BEGIN):
        made_up = of.readings()
        readings = {name: made_up[name] for name in names}
        yield Snapshot(tick, tick, tick + random.random(), readings, precisions)
