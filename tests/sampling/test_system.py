from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import orjson
import psutil
import pytest

from hub import Metric, Settings
from hub.clock import SystemClock
from hub.sampling.cgroup import ControlGroup
from hub.sampling.collector import ThreadCollector
from hub.sampling.metric import Kind, OneByOne
from hub.sampling.reading import member_reading, members_reading, reading_of
from hub.sampling.recent import Recent
from hub.sampling.snapshot import DeviceDeltas, Failure, Reading, Snapshot
from hub.sampling.system import standard_metrics
from hub.sampling.value import Value
from tests.support.control_groups import TOTAL, GroupTree, Layout
from tests.support.servers import DEADLINE

FAMILIES = [
    "cpu", "memory", "disk", "swap", "cpu_times", "cores", "load", "memory_bytes", "pressure",
    "container", "process", "uptime", "disks", "disks_bytes", "disk_io", "network", "temperatures",
    "processes",
]  # fmt: skip


def metrics(path: str = "/") -> dict[str, Metric]:
    return {metric.name: metric for metric in standard_metrics(Settings(disk_path=path))}


def value_of(metric: Metric) -> Value:
    reading = Snapshot(0, 0, 0.0, {metric.name: read(metric)}, {}).value(metric.name)
    assert reading is not None
    return reading


def pass_time() -> None:
    """Wait until a processor has counted some time, which takes a hundredth of a second."""
    before, begin = psutil.cpu_times(percpu=True), time.monotonic()
    while psutil.cpu_times(percpu=True) == before or time.monotonic() < begin + Recent.SECONDS:
        continue


def read(metric: Metric) -> Reading:
    raw = metric.collect()
    if not isinstance(raw, OneByOne):
        return reading_of(metric, raw)
    found = {name: member_reading(metric, ask()) for name, ask in raw.members.items()}
    return members_reading({name: one for name, one in found.items() if one is not None})


def test_all_families_are_there_in_the_order_of_the_contract() -> None:
    assert [name for name in metrics() if name != "gpu"] == FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_what_this_machine_says_is_strict_json_and_follows_the_schema(name: str) -> None:
    metric = metrics()[name]
    if metric.prime is not None:
        metric.prime()
        pass_time()
    value = json.loads(orjson.dumps(value_of(metric)))
    jsonschema.Draft202012Validator.check_schema(metric.schema)
    jsonschema.validate(value, metric.schema)
    assert metric.description.endswith(".")


def test_all_but_slow_sensors_and_processes_are_sampled_unasked() -> None:
    rest = {"temperatures", "gpu", "processes"}
    assert {m.name for m in metrics().values() if not m.always} <= rest
    assert [m.name for m in metrics().values() if m.restricted] == ["processes"]
    assert [m.name for m in metrics().values() if m.background] == ["processes"]


def test_what_measures_since_the_last_time_is_primed() -> None:
    primed = [m.name for m in metrics().values() if m.prime is not None]
    assert primed == [
        "cpu", "cpu_times", "cores", "container", "process", "disk_io", "network", "processes",
    ]  # fmt: skip


def test_disk_is_what_df_prints(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    assert value_of(metrics(str(tmp_path))["disk"]) == pytest.approx(
        100 * usage.used / (usage.used + usage.free), abs=0.1
    )


def test_memory_is_in_bytes() -> None:
    value = value_of(metrics()["memory_bytes"])
    assert isinstance(value, dict)
    assert list(value) == ["total", "available", "used", "free"]
    assert value["total"] == psutil.virtual_memory().total


# Temperatures


@dataclass
class Sensor:
    label: str
    current: float | None


def test_sensors_are_named_by_chip_and_label_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {
        "coretemp": [Sensor("Package id 0", 51.0), Sensor("Core 0", 49.5)],
        "acpitz": [Sensor("", 27.8), Sensor("", 29.8), Sensor("", None), Sensor("x", math.nan)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: found, raising=False)
    assert value_of(metrics()["temperatures"]) == {
        "coretemp Package id 0": 51.0,
        "coretemp Core 0": 49.5,
        "acpitz": 27.8,
        "acpitz 2": 29.8,
    }


def test_a_platform_without_sensors_has_no_temperatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    assert value_of(metrics()["temperatures"]) == {}


# Rates


@pytest.mark.parametrize(("name", "group"), [("disk_io", "devices"), ("network", "interfaces")])
def test_a_machine_without_devices_has_rates_of_nothing(
    name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: None)
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: {})
    metric = metrics()[name]
    assert metric.kind is Kind.RATE
    assert metric.prime is not None
    metric.prime()
    value = value_of(metric)
    assert isinstance(value, dict)
    assert value.pop(group) == {}
    assert set(value.values()) == {0.0}
    assert len(value) == 4


@pytest.mark.parametrize(
    ("name", "call", "devices", "field"),
    [
        ("network", "net_io_counters", ("eth999", "lo"), "bytes_sent"),
        ("disk_io", "disk_io_counters", ("disk999", "loop999"), "read_bytes"),
    ],
)
def test_in_all_nothing_is_counted_twice(
    name: str, call: str, devices: tuple[str, ...], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The devices are none of this machine's: their names tell."""
    fields = (
        "bytes_recv", "bytes_sent", "packets_recv", "packets_sent",
        "read_bytes", "write_bytes", "read_count", "write_count",
    )  # fmt: skip
    now = 0

    def counters(**_: bool) -> dict[str, SimpleNamespace]:
        counts = {**dict.fromkeys(fields, 0), field: now}
        return {one: SimpleNamespace(**counts) for one in devices}

    monkeypatch.setattr(psutil, call, counters)
    metric = metrics()[name]
    assert metric.prime is not None
    metric.prime()
    now = 1_000_000
    value = metric.collect()
    assert isinstance(value, DeviceDeltas)
    assert set(value.devices) == set(devices)
    assert max(value.total.counts) == 1_000_000


# Processes


def test_a_name_that_is_no_utf_8_is_valid_json_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = SimpleNamespace(
        pid=1,
        cpu_times=lambda: SimpleNamespace(user=0.0, system=0.0),
        is_running=lambda: True,
        oneshot=nullcontext,
        name=lambda: "caf\udce9",
        memory_percent=lambda _: 1.234,
    )
    monkeypatch.setattr(psutil, "pids", lambda: [1])
    monkeypatch.setattr(psutil, "Process", lambda _: process)
    value = value_of(metrics()["processes"])
    assert json.loads(orjson.dumps(value))[0]["name"] == "caf?"


# psutil that fails, in every way

CALLS = [
    "cpu_times", "virtual_memory", "swap_memory", "disk_usage", "getloadavg", "disk_partitions",
    "disk_io_counters", "net_io_counters", "sensors_temperatures", "pids", "Process",
]  # fmt: skip
ERRORS = [
    OSError(5, "Input/output error"), OSError("no number"), OSError(), PermissionError(13, "no"),
    FileNotFoundError(2, "No such file or directory"), psutil.AccessDenied(1),
    psutil.NoSuchProcess(1),
    psutil.Error(), RuntimeError("lone \udcff"), NotImplementedError(), ValueError("two\nlines"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), MemoryError(), ZeroDivisionError(),
    RecursionError(), KeyboardInterrupt(), SystemExit(1), GeneratorExit(), None,
]  # fmt: skip


def failing(error: BaseException | None) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        if error is not None:
            raise error

    return call


@pytest.mark.parametrize("error", [psutil.Error(), KeyError("MemTotal"), OSError(5, "error")])
def test_what_fails_while_limits_are_looked_up_is_left_to_the_families(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cpu_limit", "memory_limit"):
        monkeypatch.setattr(ControlGroup, name, failing(error))
    assert [name for name in metrics() if name != "gpu"] == FAMILIES


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_whatever_psutil_raises_fails_its_families_for_as_long_as_it_does(
    call: str, error: BaseException | None
) -> None:
    everything = [replace(metric, background=False) for metric in standard_metrics(Settings())]
    collector = ThreadCollector(timeout=DEADLINE, clock=SystemClock())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, call, failing(error), raising=False)
        for _ in range(3):
            found = await collector.collect(everything)
    failures = {name: one for name, one in found.items() if isinstance(one, Failure)}
    assert len(failures) <= 4
    for failure in failures.values():
        assert failure.cause.isprintable()
        assert 0 < len(failure.cause) <= 200
        failure.cause.encode()
    for _ in range(2):
        pass_time()
        found = await collector.collect(everything)
    collector.close()
    assert [name for name in found if name != "gpu"] == FAMILIES
    assert not [name for name, one in found.items() if isinstance(one, Failure)]


def test_units_are_told_where_all_numbers_of_a_family_have_the_same() -> None:
    told = {name: metric.unit for name, metric in metrics().items() if metric.unit}
    assert told["cpu"] == told["disks"] == told["pressure"] == "percent"
    assert told["memory_bytes"] == told["disks_bytes"] == "bytes"
    assert "network" not in told


# What processors and memory are relative to


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize(
    ("relative_to", "is_limited", "contained"),
    [
        ("auto", True, True), ("auto", False, False), ("host", True, False),
        ("container", True, True), ("container", False, True),
    ],
)  # fmt: skip
def test_processors_and_memory_are_relative_to_what_was_chosen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    layout: Layout,
    relative_to: str,
    is_limited: bool,
    contained: bool,
) -> None:
    tree = GroupTree(tmp_path, layout)
    tree.cpu(limit=(50_000, 100_000) if is_limited else None)
    tree.memory(limit=1 << 30 if is_limited else None, usage=1 << 29)
    monkeypatch.setattr("hub.sampling.system.ControlGroup", lambda _: tree.control)
    families = standard_metrics(Settings(relative_to=relative_to))
    chosen = {one.name: one for one in families if one.name in {"cpu", "memory"}}
    said = {one.schema.get("x-relative-to") for one in chosen.values()}
    assert said == ({"container"} if contained else {None})
    assert all(("container" in one.description) is contained for one in chosen.values())
    if contained:
        whole = 1 << 30 if is_limited else TOTAL
        assert chosen["memory"].collect() == 100 * (1 << 29) / whole


def test_the_families_that_read_the_same_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def noting(call: str, real: Callable[..., object]) -> Callable[..., object]:
        def read(**how: bool) -> object:
            reads.append(call)
            return real(**how)

        return read

    for call in ("cpu_times", "virtual_memory"):
        monkeypatch.setattr(psutil, call, noting(call, getattr(psutil, call)))
    monkeypatch.setattr(Recent, "SECONDS", DEADLINE)
    families = metrics()
    for name in ("cpu", "cpu_times", "cores"):
        prime = families[name].prime
        assert prime is not None
        prime()
    for name in ("memory", "memory_bytes"):
        families[name].collect()
    assert sorted(reads) == ["cpu_times", "virtual_memory"]


def test_a_disk_that_cannot_be_read_says_why_and_not_where(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = metrics("/secret")["disk"]
    for error, cause in (
        (FileNotFoundError(2, "No such file or directory", "/secret"), "No such file or directory"),
        (OSError("no number"), "no number"),
    ):
        monkeypatch.setattr(psutil, "disk_usage", failing(error))
        with pytest.raises(OSError, match=cause) as raised:
            disk.collect()
        assert Failure.of(raised.value).cause == cause
