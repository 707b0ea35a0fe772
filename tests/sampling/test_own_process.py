from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hub.sampling.own_process import OwnProcess, count_descriptors, process_totals


class FakeProcess:
    """A process whose figures a test decides."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seconds = 0.0
        self.listed = 7

    def oneshot(self) -> ExitStack:
        return ExitStack()

    def cpu_times(self) -> SimpleNamespace:
        return SimpleNamespace(
            user=self.seconds * 0.75, system=self.seconds * 0.25, children_user=99.0
        )

    def memory_info(self) -> SimpleNamespace:
        return SimpleNamespace(rss=50_000_000, vms=90_000_000)

    def num_threads(self) -> int:
        return 5

    def num_fds(self) -> int:
        return self.listed

    num_handles = num_fds


class Machine:
    """Has one process at a time: this one, until a test forks it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.lag = 0.25
        self.process = FakeProcess(-1)
        self.own = OwnProcess(lambda: self.lag, clock=lambda: self.now)
        monkeypatch.setattr(os, "getpid", lambda: self.process.pid)
        monkeypatch.setattr(psutil, "Process", lambda: self.process)

    def use(self, seconds: float, during: float) -> None:
        self.process.seconds += seconds
        self.now += during


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_it_tells_what_the_process_takes_now(machine: Machine) -> None:
    machine.own.prime()
    machine.use(0.5, during=2.0)
    assert machine.own.collect() == {
        "rss_bytes": 50_000_000,
        "cpu": 25.0,
        "threads": 5,
        "descriptors": 7,
        "loop_lag_seconds": 0.25,
    }


def test_processor_time_counts_from_the_last_reading(machine: Machine) -> None:
    machine.process.seconds = 1000.0
    machine.own.prime()
    machine.use(2.0, during=1.0)
    assert machine.own.collect()["cpu"] == 200.0
    machine.use(0.0, during=1.0)
    assert machine.own.collect()["cpu"] == 0.0
    machine.use(-0.01, during=1.0)
    assert machine.own.collect()["cpu"] == 0.0


def test_a_pause_ends_with_a_new_first_reading(machine: Machine) -> None:
    machine.own.prime()
    machine.use(90.0, during=100.0)
    machine.own.prime()
    machine.use(0.1, during=1.0)
    assert machine.own.collect()["cpu"] == pytest.approx(10.0)


def test_without_time_between_there_is_no_share_and_the_next_one_is_of_both(
    machine: Machine,
) -> None:
    machine.own.prime()
    machine.use(0.5, during=0.0)
    with pytest.raises(RuntimeError, match="no time has passed"):
        machine.own.collect()
    machine.use(0.5, during=2.0)
    assert machine.own.collect()["cpu"] == 50.0


def test_a_reading_that_fails_changes_nothing(machine: Machine) -> None:
    machine.own.prime()
    machine.use(0.5, during=1.0)
    machine.process.num_threads = lambda: 1 // 0  # type: ignore[method-assign] # as a system may
    with pytest.raises(ZeroDivisionError):
        machine.own.collect()
    machine.process.num_threads = lambda: 5  # type: ignore[method-assign]
    machine.use(0.5, during=1.0)
    assert machine.own.collect()["cpu"] == 50.0


def test_after_a_fork_it_is_the_new_process_that_counts_from_nothing(machine: Machine) -> None:
    machine.process.seconds = 1000.0
    machine.own.prime()
    machine.process = FakeProcess(-2)
    machine.process.listed = 3
    machine.use(0.25, during=1.0)
    found = machine.own.collect()
    assert (found["cpu"], found["descriptors"]) == (25.0, 3)
    machine.use(0.5, during=1.0)
    assert machine.own.collect()["cpu"] == 50.0


# Descriptors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has handles")
@pytest.mark.parametrize("size", [0, None])
def test_descriptors_are_listed_where_their_directory_does_not_tell_their_number(
    tmp_path: Path, size: int | None
) -> None:
    process = FakeProcess(42)
    if size is not None:  # as before Linux 6.2; what a file's size is a test can say
        (tmp_path / "proc/42").mkdir(parents=True)
        (tmp_path / "proc/42/fd").write_bytes(b" " * size)
    assert count_descriptors(process, tmp_path) == 7  # type: ignore[arg-type] # a fake


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has handles")
def test_descriptors_are_not_listed_where_their_directory_tells_their_number(
    tmp_path: Path,
) -> None:
    (tmp_path / "proc/42").mkdir(parents=True)
    (tmp_path / "proc/42/fd").write_bytes(b" " * 20_000)
    assert count_descriptors(FakeProcess(42), tmp_path) == 20_000  # type: ignore[arg-type] # a fake


# This process


@pytest.fixture
def sockets() -> Iterator[int]:
    """Some that are open, and how many."""
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(socket.socket())
        yield 10


def test_this_process_has_what_every_process_has(sockets: int) -> None:
    own = OwnProcess(lambda: 0.0)
    own.prime()
    begun = process_totals()
    while process_totals().cpu_seconds <= begun.cpu_seconds:
        pass
    found = own.collect()
    assert found["cpu"] > 0
    assert found["rss_bytes"] > 5_000_000
    assert found["threads"] >= 1
    assert found["descriptors"] > sockets


def test_every_open_descriptor_is_counted(sockets: int) -> None:
    process = psutil.Process()
    few = count_descriptors(process)
    with ExitStack() as stack:
        for _ in range(sockets):
            stack.enter_context(socket.socket())
        assert count_descriptors(process) == few + sockets


def test_totals_are_those_of_this_process() -> None:
    found = process_totals()
    assert found.start_time == pytest.approx(psutil.Process().create_time(), abs=2)
    assert min(found.rss_bytes, found.virtual_bytes) > 0
    assert found.cpu_seconds > 0
    assert found.max_descriptors is None or found.descriptors <= found.max_descriptors


def test_where_the_system_does_not_tell_totals_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> psutil.Process:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil, "Process", refuse)
    with pytest.raises(OSError, match="the process cannot be read: "):
        process_totals()


def test_the_processes_of_a_service_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, others = [100.0], [51]
    alive = {50: FakeProcess(50), 51: FakeProcess(51), 52: FakeProcess(52)}

    def find(pid: int = 50) -> FakeProcess:
        if pid not in alive:
            raise psutil.NoSuchProcess(pid)
        return alive[pid]

    def use(seconds: float) -> None:
        now[0] += 1.0
        for process in alive.values():
            process.seconds += seconds

    monkeypatch.setattr(os, "getpid", lambda: 50)
    monkeypatch.setattr(psutil, "Process", find)
    own = OwnProcess(lambda: 0.5, lambda: others, clock=lambda: now[0])
    alive[51].seconds = 70.0
    own.prime()
    use(0.25)
    found = own.collect()
    assert found["cpu"] == 50.0
    assert found["rss_bytes"] == 100_000_000
    assert (found["threads"], found["descriptors"]) == (10, 14)
    others.append(52)  # it was started since, and all that it has used is new
    del alive[51]  # and one has ended before anybody has noticed
    use(0.25)
    assert own.collect()["cpu"] == 75.0
