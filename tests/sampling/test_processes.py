from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.processes import ProcessTable


@dataclass(eq=False)
class Program:
    """A running program of whose processor time a test decides."""

    seconds: float
    name: str = "worker"
    memory: float = 1.234
    is_readable: bool = True
    reads: int = 0  # of its times


class FakeProcess:
    """A process as psutil has it: it reads by number, and knows which program it was made for."""

    def __init__(self, pid: int, programs: dict[int, Program]) -> None:
        if pid not in programs:
            raise psutil.NoSuchProcess(pid)
        self.pid = pid
        self._programs = programs
        self._program = programs[pid]

    def cpu_times(self) -> SimpleNamespace:
        program = self._running()
        program.reads += 1
        if not program.is_readable:
            raise psutil.AccessDenied(self.pid)
        return SimpleNamespace(user=program.seconds / 2, system=program.seconds / 2)

    def is_running(self) -> bool:
        return self._programs.get(self.pid) is self._program

    def oneshot(self) -> threading.Lock:
        return threading.Lock()

    def name(self) -> str:
        return self._running().name

    def memory_percent(self, kind: str) -> float:
        assert kind == "rss"
        return self._running().memory

    def _running(self) -> Program:
        if self.pid not in self._programs:
            raise psutil.NoSuchProcess(self.pid)
        return self._programs[self.pid]


class Machine:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.programs: dict[int, Program] = {}
        self.table = ProcessTable(clock=lambda: self.now)
        monkeypatch.setattr(psutil, "pids", lambda: sorted(self.programs))
        monkeypatch.setattr(psutil, "Process", lambda pid: FakeProcess(pid, self.programs))

    def run(self, pid: int, seconds: float, name: str = "worker") -> Program:
        """Have a program run under a number, in the place of the one that has it."""
        self.programs[pid] = Program(seconds, name)
        return self.programs[pid]

    def crowd(self, seconds: float) -> None:
        """Have all of a table's places wanted by programs that have used so much more."""
        for pid in range(101, 111):
            self.programs.setdefault(pid, Program(0.0)).seconds += seconds

    def walk(self, seconds: float = 1.0) -> list[tuple[object, object]]:
        self.now += seconds
        return [(one["pid"], one["cpu"]) for one in self.table.collect()]

    def names(self, seconds: float = 1.0) -> dict[object, object]:
        self.now += seconds
        return {one["name"]: one["cpu"] for one in self.table.collect()}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_processes_are_ordered_by_what_they_used_since_the_last_walk(machine: Machine) -> None:
    busy, idle, busier = machine.run(1, 1000.0), machine.run(2, 5.0), machine.run(3, 0.0)
    machine.table.prime()
    busy.seconds += 0.5
    busier.seconds += 1.5
    assert machine.walk(2.0) == [(3, 75.0), (1, 25.0), (2, 0.0)]
    assert idle.reads == 2
    assert machine.table.collect()[0] == {"pid": 1, "name": "worker", "cpu": 0.0, "memory": 1.23}


def test_only_the_first_ten_are_shown_and_equal_ones_by_number(machine: Machine) -> None:
    for pid in range(1, 21):
        machine.run(pid, 0.0)
    machine.table.prime()
    for pid, program in machine.programs.items():
        program.seconds = max(pid, 12) / 100
    assert machine.walk() == [
        *((pid, float(pid)) for pid in range(20, 12, -1)), (1, 12.0), (2, 12.0)
    ]  # fmt: skip


def test_a_new_process_has_used_all_its_time_since_the_last_walk(machine: Machine) -> None:
    machine.table.prime()
    machine.run(7, 0.3)
    assert machine.walk() == [(7, 30.0)]


def test_what_ends_or_cannot_be_read_is_left_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.run(1, 0.0).is_readable = False
    machine.run(2, 0.0)
    machine.table.prime()
    monkeypatch.setattr(psutil, "pids", lambda: [1, 2, 3])
    assert machine.walk() == [(2, 0.0)]


def test_what_ends_once_its_times_are_read_is_left_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.table.prime()
    machine.run(1, 0.9)
    machine.run(2, 0.1)
    monkeypatch.setattr(FakeProcess, "is_running", lambda process: process.pid == 2)
    assert machine.walk() == [(2, 10.0)]
    assert machine.walk() == [(2, 0.0)]


def test_one_that_could_not_be_read_before_has_no_share_at_first(machine: Machine) -> None:
    """What it has used for ever is not what it has used since the last walk."""
    program = machine.run(1, 1e6)
    program.is_readable = False
    machine.table.prime()
    program.is_readable = True
    assert machine.walk() == []
    program.seconds += 0.5
    assert machine.walk() == [(1, 50.0)]


@pytest.mark.parametrize(("percent", "shown"), [(1.236, 1.24), (100.7, 100.0), (-0.1, 0.0)])
def test_memory_is_a_percentage(machine: Machine, percent: float, shown: float) -> None:
    machine.table.prime()
    machine.run(1, 0.0).memory = percent
    assert machine.table.collect()[0]["memory"] == shown


# Numbers that are used again


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.5], ids=["less", "as much", "more"])
def test_what_takes_a_number_is_shown_at_once_with_its_own_time_alone(
    machine: Machine, seconds: float
) -> None:
    machine.run(1, 0.2, "old")
    machine.table.prime()
    new = machine.run(1, seconds, "new")
    assert machine.names() == {"new": 100 * seconds}
    new.seconds += 0.4
    assert machine.names() == {"new": 40.0}


def test_it_is_shown_where_it_belongs_though_it_has_used_little_more_than_the_old_one(
    machine: Machine,
) -> None:
    machine.run(1, 0.4, "old")
    machine.crowd(0.0)
    machine.table.prime()
    machine.run(1, 0.5, "new")
    machine.crowd(0.3)
    assert machine.walk()[0] == (1, 50.0)


def test_one_that_is_not_new_stays_where_it_belongs(machine: Machine) -> None:
    young = machine.run(1, 0.4)
    machine.crowd(0.0)
    machine.table.prime()
    young.seconds += 0.1
    machine.crowd(0.3)
    assert (1, 10.0) not in machine.walk()
    young.seconds += 0.4
    machine.crowd(0.3)
    assert machine.walk()[0] == (1, 40.0)


def test_one_that_was_not_noticed_has_no_more_than_it_used_since_the_last_walk(
    machine: Machine,
) -> None:
    machine.run(1, 0.2, "old")
    machine.crowd(0.0)
    machine.table.prime()
    new = machine.run(1, 0.2, "new")
    machine.crowd(0.5)
    assert "new" not in machine.names()
    new.seconds += 2000.0
    machine.crowd(5000.0)
    assert "new" not in machine.names(10_000.0)
    new.seconds += 0.9
    machine.crowd(0.5)
    assert machine.names()["new"] == 90.0


@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=3, max_size=3), max_size=8
    )
)
def test_whoever_takes_a_number_at_any_time_is_never_taken_for_another(
    walks: list[list[tuple[bool, int]]],
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        machine = Machine(monkeypatch)
        for pid in range(3):
            machine.run(pid, 0.25, f"{pid}")
        machine.table.prime()
        for number, steps in enumerate(walks):
            for pid, (is_new, percent) in enumerate(steps):
                if is_new:
                    machine.run(pid, percent / 100, f"{pid} {number}")
                else:
                    machine.programs[pid].seconds += percent / 100
            used = {machine.programs[pid].name: percent for pid, (_, percent) in enumerate(steps)}
            assert machine.names() == pytest.approx(used)


# This machine


@pytest.fixture(scope="module")
def spinning() -> Iterator[int]:
    """A process that uses one processor as far as it gets it."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


def test_a_real_process_that_is_busy_is_shown(
    spinning: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [os.getpid(), spinning]  # others of this machine may be busier
    monkeypatch.setattr(psutil, "pids", lambda: few)
    table = ProcessTable()
    table.prime()
    usage = psutil.Process(spinning)
    begin = usage.cpu_times().user
    while usage.cpu_times().user < begin + 0.05:
        pass
    shown = {one["pid"]: one for one in table.collect()}
    assert shown[spinning]["cpu"] > 0  # type: ignore[operator]
    assert str(shown[spinning]["name"]).startswith("python")
