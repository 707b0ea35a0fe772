"""A machine of which psutil says what a test has made up, tick by tick."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeAlias
from zlib import crc32

import anyio
import anyio.lowlevel
import psutil
import pytest

from hub.sampling.collector import ThreadCollector
from hub.sampling.metric import Metric
from hub.sampling.sampler import Sampler
from hub.sampling.snapshot import Snapshot
from tests.support.fakes import FakeClock
from tests.support.servers import DEADLINE

__all__ = ["ASKED", "Answers", "MadeUp", "sample"]

ASKED: Final = (
    "boot_time", "cpu_count", "cpu_times", "disk_io_counters", "disk_partitions", "getloadavg",
    "net_io_counters", "pids", "sensors_temperatures", "swap_memory", "virtual_memory",
)  # fmt: skip
"""The functions of psutil's that are asked as they are; beside them disk_usage and Process."""

Answers: TypeAlias = "Mapping[str, Any]"
"""What psutil says, by function: an exception is raised, and what waits for an event is late.
``disk_usage`` has several answers, of which each path has its own; ``Process`` has those of its
methods, by their names."""


class MadeUp:
    """A machine, for as long as a test lasts.

    Args:
        ticks: what it says at each; after the last, the same again.
    """

    def __init__(self, ticks: Sequence[Answers]) -> None:
        self._ticks = ticks
        self._now = 0

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Have psutil say it."""
        for name in ASKED:
            patch.setattr(psutil, name, self._function(name), raising=False)
        patch.setattr(psutil, "disk_usage", self._disk_usage)
        patch.setattr(psutil, "Process", partial(_Process, self))

    def tick(self) -> None:
        self._now += 1

    def answer(self, name: str) -> Any:  # noqa: ANN401 # made up
        return _said(self._ticks[min(self._now, len(self._ticks) - 1)][name])

    def _function(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: self.answer(name)

    def _disk_usage(self, path: object) -> Any:  # noqa: ANN401 # made up
        answers = self.answer("disk_usage")
        return _said(answers[crc32(ascii(path).encode()) % len(answers)])


class _Process:
    """One process, of which all say the same."""

    def __init__(self, machine: MadeUp, pid: object = None) -> None:
        self.pid = os.getpid() if pid is None else pid
        self._machine = machine

    def oneshot(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_: _said(self._machine.answer("Process")[name])


def _said(answer: Any) -> Any:  # noqa: ANN401 # made up
    if isinstance(answer, threading.Event):
        answer.wait(DEADLINE)
    if isinstance(answer, BaseException):
        raise answer.with_traceback(None)
    return answer


class _HurriedClock(FakeClock):
    """A clock on which it is always as late as someone waits for.

    Args:
        patience: how long the time stands still for an event, in real seconds.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience

    async def sleep_until(self, deadline: float) -> None:
        self._now = max(self._now, deadline)
        await anyio.lowlevel.checkpoint()

    async def wait(self, event: anyio.Event, seconds: float) -> bool:  # noqa: ARG002 # of its own
        with anyio.move_on_after(self._patience):
            await event.wait()
        return event.is_set()


async def sample(
    metrics: Sequence[Metric], machine: MadeUp, count: int, patience: float = DEADLINE
) -> list[Snapshot]:
    """Sample so many ticks of a machine as a hub does, but without a pause between them.

    ``patience`` is how long an answer may take, in real seconds.
    """
    snapshots: list[Snapshot] = []
    enough = anyio.Event()

    def publish(snapshot: Snapshot) -> None:
        snapshots.append(snapshot)
        machine.tick()
        if len(snapshots) == count:
            enough.set()

    clock = _HurriedClock(patience)
    collector = ThreadCollector(timeout=1.0, clock=clock)
    sampler = Sampler(
        interval=1.0, demand=lambda: metrics, publish=publish, collector=collector, clock=clock
    )
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(sampler.run)
            await enough.wait()
            group.cancel_scope.cancel()
    finally:
        collector.close()
    return snapshots[:count]
