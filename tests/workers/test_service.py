from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hub import Settings
from hub.sampling.link import Letter, Link
from hub.workers.letters import Service, unpack
from hub.workers.process import WorkerProcess
from hub.workers.service import SharedService
from tests.support.fakes import FakeClock


class FakeLink(Link):
    """Takes letters, or nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[Letter, bytes]] = []
        self.takes_nothing = False

    @property
    def is_full(self) -> bool:
        return self.takes_nothing

    def send(self, letter: Letter, body: bytes = b"") -> None:
        self.sent.append((letter, body))


def worker(number: int) -> tuple[WorkerProcess, FakeLink]:
    link = FakeLink()
    process = cast("Any", SimpleNamespace(pid=number))
    return WorkerProcess(number, process, link, part=number), link


def test_a_worker_that_takes_nothing_is_not_told_more_and_more() -> None:
    service = SharedService(Settings(), FakeClock())
    (stuck, full), (other, link) = worker(1), worker(2)
    full.takes_nothing = True
    for _ in range(3):
        service.tell([stuck, other], {1: 1, 2: 1})
    assert full.sent == []
    assert [letter for letter, _ in link.sent] == [Letter.SERVICE] * 3
    full.takes_nothing = False
    service.tell([stuck, other], {1: 1, 2: 1})
    (letter, body), *_ = full.sent
    assert letter is Letter.SERVICE
    assert unpack(body, Service).failure == ""
