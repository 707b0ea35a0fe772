"""The metric families that every hub offers, and what each of them asks of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import psutil

from hub.sampling import gpu
from hub.sampling.cgroup import ControlGroup
from hub.sampling.container import ContainerMemoryMeter, ContainerMeter, ContainerProcessorMeter
from hub.sampling.device_metrics import AMOUNT, PERCENT, device_metrics, object_of
from hub.sampling.metric import Kind, Metric
from hub.sampling.own_process import OwnProcess
from hub.sampling.pressure import pressure_stalls
from hub.sampling.processes import SHOWN, ProcessTable
from hub.sampling.processor import MachineMeter, ModeMeter, ProcessorMeter
from hub.sampling.recent import Recent
from hub.sampling.value import Precision, PrecisionByMember
from hub.settings import Settings

__all__ = ["missing_extras", "standard_metrics"]

_MEMORY_FIELDS: Final = ("total", "available", "used", "free")
_OF_CONTAINER: Final = "what this container may have"
_CONTAINED: Final = {**PERCENT, "x-relative-to": "container"}


def standard_metrics(
    settings: Settings,
    lag: Callable[[], float] = lambda: 0.0,
    others: Callable[[], Collection[int]] = tuple,
) -> tuple[Metric, ...]:
    """Return the families, in the order of their keys in a message.

    Args:
        settings: what an operator has chosen.
        lag: returns by how many seconds the event loop was late of late; called in any thread.
        others: returns the numbers of the service's other processes; called in any thread.
    """
    times: Recent[Sequence[Any]] = Recent(lambda: psutil.cpu_times(percpu=True))
    memory = Recent(lambda: psutil.virtual_memory())  # noqa: PLW0108 # looked up at each call
    group = ControlGroup(lambda: int(memory().total))
    gauges = (
        *_of_container_or_host(settings.relative_to, group, times, memory),
        _disk(settings.disk_path),
        *_processors(times),
        *_memory(memory),
        _pressure(),
        _container(group),
        _process(OwnProcess(lag, others)),
        _uptime(),
    )
    order = ("cpu", "memory", "disk", "swap")
    ranked = sorted(gauges, key=lambda one: order.index(one.name) if one.name in order else 9)
    return (*ranked, *device_metrics(settings.selections), _processes())


def missing_extras() -> dict[str, str]:
    """Return the families that are not there for want of an extra of the package, with its name."""
    return {} if gpu.is_installed() else {"gpu": "metrics-hub[gpu]"}


def _of_container_or_host(
    relative_to: str,
    group: ControlGroup,
    times: Recent[Sequence[Any]],
    memory: Recent[Any],
) -> Iterator[Metric]:
    """Iterate over the families that may be relative to the limits of a container."""
    forced, wanted = relative_to == "container", relative_to != "host"
    is_limited = forced or (wanted and _is_limited(group.cpu_limit))
    yield _contained_cpu(group) if is_limited else _cpu(times)
    is_limited = forced or (wanted and _is_limited(group.memory_limit))
    yield _contained_memory(group) if is_limited else _memory_percent(memory)


def _is_limited(limit: Callable[[], float | None]) -> bool:
    try:
        return limit() is not None
    except Exception:  # psutil's too; then the family ``container`` says what is wrong
        return False


def _cpu(times: Recent[Sequence[Any]]) -> Metric:
    meter = MachineMeter(times)
    text = "Use of all processors, in percent: the mean since the sample before."
    return _percentage("cpu", meter.collect, text, "system.cpu.utilization", prime=meter.prime)


def _contained_cpu(group: ControlGroup) -> Metric:
    meter = ContainerProcessorMeter(group, psutil.cpu_count)
    text = f"Use of the processor time of {_OF_CONTAINER}, in percent, since the sample before."
    return _percentage(
        "cpu",
        meter.collect,
        text,
        "container.cpu.usage",
        prime=meter.prime,
        schema=_CONTAINED,
    )


def _memory_percent(memory: Recent[Any]) -> Metric:
    return _percentage(
        "memory",
        lambda: memory().percent,
        "Memory in use, in percent.",
        "system.memory.utilization",
    )


def _contained_memory(group: ControlGroup) -> Metric:
    text = f"Memory in use of {_OF_CONTAINER}, in percent."
    return _percentage(
        "memory",
        ContainerMemoryMeter(group).collect,
        text,
        "container.memory.usage",
        schema=_CONTAINED,
    )


def _percentage(
    name: str,
    collect: Callable[[], object],
    description: str,
    convention: str,
    *,
    prime: Callable[[], object] | None = None,
    schema: Mapping[str, object] = PERCENT,
) -> Metric:
    return Metric(
        name,
        collect,
        prime=prime,
        always=True,
        precision=Precision.TENTH,
        description=description,
        schema=schema,
        unit="percent",
        convention=convention,
    )


def _disk(path: str) -> Metric:
    return _percentage(
        "disk",
        lambda: _used_space(path),
        "Used space as a share of what unprivileged users can have, in percent.",
        "system.filesystem.utilization",
    )


def _used_space(path: str) -> float:
    try:
        return psutil.disk_usage(path).percent
    except OSError as error:
        if not error.strerror:
            raise
        # The operator knows which path it is, and clients need not.
        raise OSError(error.errno, error.strerror) from None


def _processors(times: Recent[Sequence[Any]]) -> Iterator[Metric]:
    modes, cores = ModeMeter(times), ProcessorMeter(times)
    yield Metric(
        "cpu_times",
        modes.collect,
        prime=modes.prime,
        always=True,
        precision=Precision.TENTH,
        description="What all processors spend their time with, in percent, by mode.",
        schema=object_of(dict.fromkeys(ModeMeter.MODES, PERCENT), optional=True),
        unit="percent",
        convention="system.cpu.time",
        totals=lambda: {"": modes.totals()},
    )
    yield Metric(
        "cores",
        cores.collect,
        prime=cores.prime,
        always=True,
        precision=Precision.TENTH,
        description="Use of each logical processor, in percent; 0 while it is offline.",
        schema={"type": "array", "items": PERCENT},
        unit="percent",
        convention="system.cpu.utilization",
    )
    yield Metric(
        "load",
        psutil.getloadavg,
        always=True,
        precision=Precision.HUNDREDTH,
        description="Mean number of processes that run or wait, over 1, 5 and 15 minutes.",
        schema={"type": "array", "items": AMOUNT, "minItems": 3, "maxItems": 3},
        unit="processes",
        convention="system.cpu.load_average.1m",
    )


def _memory(memory: Recent[Any]) -> Iterator[Metric]:
    yield _percentage(
        "swap",
        lambda: psutil.swap_memory().percent,
        "Swap space in use, in percent.",
        "system.paging.utilization",
    )
    yield Metric(
        "memory_bytes",
        lambda: {name: getattr(memory(), name) for name in _MEMORY_FIELDS},
        always=True,
        precision=Precision.WHOLE,
        description="Memory in bytes.",
        schema=object_of(dict.fromkeys(_MEMORY_FIELDS, AMOUNT)),
        unit="bytes",
        convention="system.memory.usage",
    )


def _pressure() -> Metric:
    stalls = object_of({"some": PERCENT, "full": PERCENT}, optional=True)
    return Metric(
        "pressure",
        pressure_stalls,
        always=True,
        precision=Precision.TENTH,
        description="Share of the last 10 seconds in which some tasks, or all, had to wait for "
        "processors, memory or disks, in percent; empty where the kernel does not tell.",
        schema=object_of(dict.fromkeys(("cpu", "memory", "io"), stalls), optional=True),
        unit="percent",
        convention="system.linux.psi.pressure",
    )


def _container(group: ControlGroup) -> Metric:
    meter = ContainerMeter(group)
    count = {"type": "integer", "minimum": 0}
    figures = {
        "cpu_limit_cores": AMOUNT,
        "throttled": PERCENT,
        "memory_limit_bytes": AMOUNT,
        "memory_used_bytes": AMOUNT,
        "oom_kills": count,
    }
    return Metric(
        "container",
        meter.collect,
        prime=meter.prime,
        always=True,
        precision=PrecisionByMember(
            {
                "cpu_limit_cores": Precision.HUNDREDTH,
                "throttled": Precision.TENTH,
                "memory_limit_bytes": Precision.WHOLE,
                "memory_used_bytes": Precision.WHOLE,
            }
        ),
        description="Limits and use of the control group in which the hub runs: processors, "
        "percent of the periods in which they were throttled, bytes of memory, and how many "
        "processes were killed for want of it.",
        schema=object_of(figures, optional=True),
        convention="container.memory.usage",
        counts=frozenset({"oom_kills"}),
    )


def _process(process: OwnProcess) -> Metric:
    precisions = {
        "rss_bytes": Precision.WHOLE,
        "cpu": Precision.TENTH,
        "threads": Precision.WHOLE,
        "descriptors": Precision.WHOLE,
        "loop_lag_seconds": Precision.MICRO,
    }
    return Metric(
        "process",
        process.collect,
        prime=process.prime,
        always=True,
        precision=PrecisionByMember(precisions),
        description="What the service itself takes: memory in bytes, percent of one processor, "
        "threads, descriptors; and by how many seconds its event loop is late.",
        schema=object_of(dict.fromkeys(precisions, AMOUNT)),
        convention="process.memory.usage",
    )


def _uptime() -> Metric:
    return Metric(
        "uptime",
        lambda: max(time.time() - psutil.boot_time(), 0.0),
        always=True,
        precision=Precision.TENTH,
        description="Seconds since the machine was started.",
        schema=AMOUNT,
        unit="seconds",
        convention="system.uptime",
    )


def _processes() -> Metric:
    table = ProcessTable()
    process: Mapping[str, object] = {
        "pid": {"type": "integer"},
        "name": {"type": "string"},
        "cpu": AMOUNT,
        "memory": PERCENT,
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
        schema={"type": "array", "items": object_of(process), "maxItems": SHOWN},
        convention="process.cpu.utilization",
    )
