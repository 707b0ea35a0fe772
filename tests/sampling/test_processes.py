from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from hub.sampling.processes import ProcessTable


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
