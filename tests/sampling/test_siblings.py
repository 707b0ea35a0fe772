from __future__ import annotations

import logging
import queue
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import psutil
import pytest

from hub import Hub, attach
from hub.sampling.siblings import SiblingWatch, SystemFamily, is_first_of_several
from tests.support.fakes import FakeClock, FakeCollector
from tests.support.servers import DEADLINE

SPAWNED = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd={}, pipe_handle={})"
HERE = ("127.0.0.1", 8000)
THERE = ("127.0.0.1", 8001)


def spawned(number: int) -> Sequence[str]:
    return ("/usr/bin/python3", "-c", SPAWNED.format(number, number + 2), "--multiprocessing-fork")


@dataclass
class FakeFamily:
    """Processes as they are told to be, of which ``pid`` is the own."""

    pid: int
    commands: dict[int, Sequence[str]]
    listening: dict[int, set[object]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def siblings(self) -> Iterable[int]:
        return self.commands.keys() - {self.pid}

    def command(self, pid: int) -> Sequence[str]:
        return self.commands[pid]

    def addresses(self, pid: int) -> frozenset[object]:
        self.asked.append(pid)
        if pid not in self.listening:
            raise psutil.NoSuchProcess(pid)
        return frozenset(self.listening[pid])


WORKERS = {11: spawned(5), 12: spawned(7), 13: spawned(9)}
SERVED: dict[int, set[object]] = {pid: {HERE} for pid in WORKERS}


@pytest.mark.parametrize(("pid", "is_first"), [(11, True), (12, False), (13, False)])
def test_of_several_workers_the_first_one_knows(pid: int, *, is_first: bool) -> None:
    assert is_first_of_several(FakeFamily(pid, WORKERS, SERVED)) is is_first


def test_forked_workers_of_one_command_line_are_several() -> None:
    command: Sequence[str] = ("/bin/gunicorn", "-w", "2", "app:app")
    commands = dict.fromkeys((21, 22), command)
    listening: dict[int, set[object]] = {21: {"/run/app.sock"}, 22: {"/run/app.sock"}}
    assert is_first_of_several(FakeFamily(21, commands, listening))


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(FakeFamily(11, {11: spawned(5)}, {11: {HERE}}), id="alone"),
        pytest.param(
            FakeFamily(11, {11: spawned(5), 12: ("python3", "-c", "tracker")}, SERVED),
            id="a reloader's child and its resource tracker",
        ),
        pytest.param(
            FakeFamily(11, WORKERS, {11: {HERE}, 12: {THERE}, 13: set()}),
            id="a pool, or servers at addresses of their own",
        ),
        pytest.param(FakeFamily(11, WORKERS, {11: {HERE}}), id="those that have ended"),
        pytest.param(FakeFamily(11, WORKERS, {11: set(), 12: {HERE}}), id="serving no client"),
    ],
)
def test_what_is_no_server_of_several_workers_is_none(family: FakeFamily) -> None:
    assert not is_first_of_several(family)


def test_connections_are_not_looked_at_where_no_process_is_alike() -> None:
    family = FakeFamily(11, {11: spawned(5), 12: ("sh",)}, {11: {HERE}})
    assert not is_first_of_several(family)
    assert not family.asked


def test_it_is_said_once_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    watch = SiblingWatch(FakeClock(), lambda: FakeFamily(11, WORKERS, SERVED))
    with caplog.at_level(logging.WARNING):
        watch.look()
        watch.look()
    (line,) = caplog.messages
    assert "metrics-hub sample" in line
    assert "metrics-hub --workers" in line


def test_where_the_system_does_not_tell_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def denied() -> FakeFamily:
        raise psutil.AccessDenied

    SiblingWatch(FakeClock(), denied).look()
    assert not caplog.messages


async def test_a_hub_looks_twice_after_its_start_and_never_again() -> None:
    looks = queue.SimpleQueue[float]()

    def look() -> FakeFamily:
        looks.put(clock.monotonic())
        return FakeFamily(11, {11: spawned(5)})

    clock = FakeClock(0.0)
    watch = SiblingWatch(clock, look)
    watch.start()
    await clock.advance(4.9)
    watch.stop()  # and started again
    watch.start()
    await clock.advance(4.9)
    assert looks.empty()
    await clock.advance(0.1)
    assert looks.get(timeout=DEADLINE) == pytest.approx(9.9)
    await clock.advance(25.0)
    assert looks.get(timeout=DEADLINE) == pytest.approx(34.9)
    watch.start()
    assert clock.pending == 0


async def test_only_a_hub_that_samples_by_itself_looks() -> None:
    clock = FakeClock()
    for hub in (
        Hub(clock=clock, source=attach("/nowhere/at/all")),
        Hub(clock=clock, collector=FakeCollector()),
    ):
        assert getattr(hub._source, "_watch", None) is None
    assert getattr(Hub(clock=clock)._source, "_watch", None) is not None


def test_the_system_s_processes_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        family = SystemFamily()
        assert family.command(family.pid)
        assert isinstance(family.addresses(family.pid), frozenset)
        assert child.pid not in family.siblings()
        child.communicate(b"\n")
