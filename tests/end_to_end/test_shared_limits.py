"""Limits that hold for processes which admit at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from hub.access.shared_limits import SharedLimits

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no workers")

WORKERS: Final = 3


class WorkerProcess:
    """See `tests.support.limited_process`."""

    def __init__(self, fd: int, index: int, *limits: int) -> None:
        arguments = [sys.executable, "-m", "tests.support.limited_process"]
        self._process = subprocess.Popen(  # noqa: S603 # our own arguments
            [*arguments, *map(str, (fd, index, *limits))],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(fd,),
        )
        assert self.answer() == "ready"

    def tell(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:  # noqa: ANN401 # what is in JSON
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, text: str) -> Any:  # noqa: ANN401
        self.tell(text)
        return self.answer()

    def kill(self) -> None:
        with self._process:
            self._process.kill()


@contextmanager
def processes(shared: SharedLimits, *limits: int) -> Iterator[list[WorkerProcess]]:
    with ExitStack() as stack:
        made = []
        for index in range(WORKERS):
            made.append(WorkerProcess(shared.fd, index, *limits))
            stack.callback(made[-1].kill)
        yield made


def at_once(made: list[WorkerProcess], text: str) -> list[dict[str, int]]:
    for process in made:
        process.tell(text)
    return [process.answer() for process in made]


def total(found: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(one.get(key, 0) for one in found) for key in found[0]}


def test_processes_that_admit_at_the_same_time_exceed_no_limit_by_more_than_the_others() -> None:
    clients, per_address, addresses = 600, 40, 20
    shared = SharedLimits.create(WORKERS, views=8, max_clients=clients)
    try:
        with processes(shared, clients, per_address, addresses) as made:
            for _ in range(2):
                at_once(made, "enter 400")
                at_once(made, "change 300")
                at_once(made, "enter 400")
                found = total(at_once(made, "count"))
                assert clients <= found.pop("all") <= clients + WORKERS - 1
                assert max(found.values()) <= per_address + WORKERS - 1
                assert len(found) == addresses
                at_once(made, "leave")
                assert total(at_once(made, "count"))["all"] == 0
            at_once(made, "enter 400")
            made[0].tell("change 1000000")
            rest = made[1:]
            at_once(rest, "change 300")
            made[0].kill()
            at_once(rest, "enter 400")
            assert total(at_once(rest, "count"))["all"] < clients
            shared.clear(0)
            assert rest[0].ask("enter 1200") == "done"
            assert total(at_once(rest, "count"))["all"] == clients
    finally:
        shared.close()
