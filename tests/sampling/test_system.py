from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import orjson
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import Metric, Settings
from hub.clock import SystemClock
from hub.sampling.collector import ThreadCollector
from hub.sampling.metric import Kind, reading_of
from hub.sampling.snapshot import DeviceDeltas, Failure, Value
from hub.sampling.system import CounterMeter, ProcessTable, _is_whole_disk, standard_metrics
from tests.support.servers import DEADLINE

FAMILIES = [
    "cpu", "memory", "disk", "swap", "cores", "load", "memory_bytes", "disks", "disk_io",
    "network", "temperatures", "processes",
]  # fmt: skip


def metrics(path: str = "/") -> dict[str, Metric]:
    return {metric.name: metric for metric in standard_metrics(Settings(disk_path=path))}


def value_of(metric: Metric) -> Value:
    reading = reading_of(metric, metric.collect())
    return reading.rates() if isinstance(reading, DeviceDeltas) else reading


def test_all_families_are_there_in_the_order_of_the_contract() -> None:
    assert list(metrics()) == FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_what_this_machine_says_is_strict_json_and_follows_the_schema(name: str) -> None:
    metric = metrics()[name]
    if metric.prime is not None:
        metric.prime()
    value = json.loads(orjson.dumps(value_of(metric)))
    jsonschema.Draft202012Validator.check_schema(metric.schema)
    jsonschema.validate(value, metric.schema)
    assert metric.description.endswith(".")


def test_only_plain_percentages_are_sampled_unasked_and_only_processes_are_restricted() -> None:
    assert [m.name for m in metrics().values() if m.always] == ["cpu", "memory", "disk", "swap"]
    assert [m.name for m in metrics().values() if m.restricted] == ["processes"]
    assert [m.name for m in metrics().values() if m.background] == ["processes"]


def test_what_measures_since_the_last_time_is_primed() -> None:
    primed = [m.name for m in metrics().values() if m.prime is not None]
    assert primed == ["cpu", "cores", "disk_io", "network", "processes"]


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


# File systems


@dataclass
class Partition:
    mountpoint: str


def test_file_systems_that_cannot_be_asked_and_single_files_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, broken, sound = tmp_path / "file", tmp_path / "broken", tmp_path / "sound"
    file.touch()
    broken.mkdir()
    sound.mkdir()
    mounts = [Partition(str(path)) for path in (file, broken, sound, tmp_path / "gone")]

    def usage(path: str) -> SimpleNamespace:
        if path == str(broken):
            raise PermissionError(13, "Permission denied")
        return SimpleNamespace(percent=5.0)

    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    monkeypatch.setattr(psutil, "disk_usage", usage)
    assert value_of(metrics()["disks"]) == {"/": 5.0, str(sound): 5.0}


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


# Counters


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
            counts=lambda name: not name.startswith("part"),
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
        return self.meter.collect().rates()


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


STEADY = st.lists(st.tuples(st.floats(0.01, 60), st.integers(0, 2**40)), min_size=1, max_size=20)


@given(STEADY, st.sets(st.integers(0, 19)))
def test_gains_add_up_to_the_counters_difference_whatever_fails_in_between(
    ticks: list[tuple[float, int]], failing: set[int]
) -> None:
    counters = Counters()
    counters.devices = {"eth0": (0, 0)}
    counters.meter.prime()
    total, whole, growths = 0, 0.0, []
    for number, (seconds, gained) in enumerate([*ticks, (1.0, 0)]):
        total += gained
        whole += seconds
        counters.now += seconds
        counters.devices = {"eth0": (total, 2 * total)}
        counters.broken = number in failing and number < len(ticks)
        try:
            growths.append(counters.meter.collect())
        except OSError:
            continue
    growth = growths[0]
    for later in growths[1:]:
        growth += later
    assert growth.devices["eth0"] == growth.total
    assert growth.total.counts == (total, 2 * total)
    assert growth.total.seconds == pytest.approx(whole)


SERIES = st.lists(
    st.dictionaries(
        st.sampled_from(["eth0", "eth1", "part1"]),
        st.tuples(st.integers(0, 2**64), st.integers(0, 2**64)),
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


@pytest.mark.skipif(not Path("/sys/block").is_dir(), reason="only Linux lists partitions, too")
def test_disks_in_all_are_those_that_psutil_adds_up() -> None:
    devices = [path.name for path in Path("/sys/class/block").iterdir()]
    whole = {path.name for path in Path("/sys/block").iterdir()}
    assert {name for name in devices if _is_whole_disk(name)} == whole


# Processes


class FakeProcess:
    """A process of whose processor time a test decides."""

    def __init__(self, pid: int, seconds: float, name: str = "worker") -> None:
        self.pid = pid
        self.seconds = seconds
        self.alive = True
        self.reads = 0
        self._name = name

    def cpu_times(self) -> SimpleNamespace:
        self.reads += 1
        if not self.alive:
            raise psutil.NoSuchProcess(self.pid)
        return SimpleNamespace(user=self.seconds / 2, system=self.seconds / 2)

    def is_running(self) -> bool:
        return self.alive

    def oneshot(self) -> threading.Lock:
        return threading.Lock()

    def name(self) -> str:
        return self._name

    def memory_percent(self, kind: str) -> float:
        assert kind == "rss"
        return 1.234


class Machine:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.processes: dict[int, FakeProcess] = {}
        self.table = ProcessTable(clock=lambda: self.now)
        monkeypatch.setattr(psutil, "pids", lambda: list(self.processes))
        monkeypatch.setattr(psutil, "Process", lambda pid: self.processes[pid])

    def run(self, pid: int, seconds: float, name: str = "worker") -> FakeProcess:
        self.processes[pid] = FakeProcess(pid, seconds, name)
        return self.processes[pid]

    def walk(self, seconds: float = 1.0) -> list[tuple[object, object]]:
        self.now += seconds
        return [(one["pid"], one["cpu"]) for one in self.table.collect()]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_processes_are_ordered_by_what_they_used_since_the_last_walk(machine: Machine) -> None:
    busy, idle, busier = machine.run(1, 1000.0), machine.run(2, 5.0), machine.run(3, 0.0)
    machine.table.prime()
    busy.seconds += 0.5
    busier.seconds += 3.0
    assert machine.walk(2.0) == [(3, 150.0), (1, 25.0), (2, 0.0)]
    assert idle.reads == 2
    assert machine.table.collect()[0] == {"pid": 1, "name": "worker", "cpu": 0.0, "memory": 1.23}


def test_only_the_first_ten_are_shown(machine: Machine) -> None:
    for pid in range(1, 21):
        machine.run(pid, 0.0)
    machine.table.prime()
    for pid, process in machine.processes.items():
        process.seconds = pid / 100
    assert machine.walk() == [(pid, float(pid)) for pid in range(20, 10, -1)]


def test_a_new_process_has_used_all_its_time_since_the_last_walk(machine: Machine) -> None:
    machine.table.prime()
    machine.run(7, 0.3)
    assert machine.walk() == [(7, 30.0)]


def test_processes_that_end_meanwhile_are_left_out(machine: Machine) -> None:
    machine.run(1, 0.0).alive = False
    machine.run(2, 0.0)
    machine.table.prime()
    assert machine.walk() == [(2, 0.0)]


def test_a_process_whose_time_went_back_is_taken_for_a_new_one(machine: Machine) -> None:
    process = machine.run(1, 50.0)
    machine.table.prime()
    process.seconds = 0.2
    assert machine.walk() == [(1, 20.0)]


def test_a_number_that_is_used_again_is_never_shown_under_the_old_name(machine: Machine) -> None:
    old = machine.run(1, 50.0, "old")
    machine.table.prime()
    machine.run(2, 0.0)
    old.is_running = lambda: False  # type: ignore[method-assign] # its number is another's now
    old.seconds = 0.2
    assert machine.walk() == [(2, 0.0)]


def test_a_name_that_is_no_utf_8_is_valid_json_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = metrics()["processes"]
    monkeypatch.setattr(psutil, "Process", lambda _: FakeProcess(1, 0.0, "caf\udce9"))
    machine.run(1, 0.0)
    value = value_of(metric)
    assert json.loads(orjson.dumps(value))[0]["name"] == "caf?"


@pytest.fixture(scope="module")
def spinning() -> Iterator[int]:
    """A process that uses one processor as far as it gets it."""
    import subprocess  # noqa: PLC0415 # for this fixture alone
    import sys  # noqa: PLC0415

    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


def test_a_real_process_that_is_busy_is_among_the_first(spinning: int) -> None:
    table = ProcessTable()
    table.prime()
    usage = psutil.Process(spinning)
    begin = usage.cpu_times().user
    while usage.cpu_times().user < begin + 0.05:
        pass
    shown = {one["pid"]: one for one in table.collect()}
    assert shown[spinning]["cpu"] > 0  # type: ignore[operator]
    assert str(shown[spinning]["name"]).startswith("python")


# psutil that fails, in every way

CALLS = [
    "cpu_percent", "virtual_memory", "swap_memory", "disk_usage", "getloadavg", "disk_partitions",
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
        found = await collector.collect(everything)
    collector.close()
    assert list(found) == FAMILIES
    assert not [name for name, one in found.items() if isinstance(one, Failure)]
