from __future__ import annotations

import asyncio

import pytest

from hub.feed.history import History
from hub.sampling.link import Letter, Link, LinkLost
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.sampling.wire import SnapshotReader, write_demand
from hub.workers.distributor import Distributor
from tests.support.fakes import settle


class FakeLink(Link):
    """Takes letters for as long as it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[Letter, bytes]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.is_lost = False

    def send(self, letter: Letter, body: bytes = b"") -> None:
        self.sent.append((letter, body))

    async def flush(self) -> None:
        await self.open.wait()
        if self.is_lost:
            raise LinkLost

    @property
    def told(self) -> list[int | str]:
        """The numbers of the snapshots that were sent, and the names of other letters."""
        reader = SnapshotReader(dict)
        return [
            reader.read(body).snapshot.number if letter is Letter.SNAPSHOT else letter.name
            for letter, body in self.sent
        ]


def snapshot(number: int) -> Snapshot:
    return Snapshot(number, number, float(number), {"cpu": 1.0})


def distributor(*numbers: int, capacity: int = 100) -> Distributor:
    metrics = [Metric("cpu", lambda: 1.0, always=True), Metric("load", lambda: 1.0)]
    made = Distributor("epoch", metrics, History(capacity))
    for number in numbers:
        made.publish(snapshot(number))
    return made


async def test_a_link_gets_the_past_and_then_all_that_comes() -> None:
    made, link = distributor(1, 2), FakeLink()
    task = asyncio.create_task(made.serve(link))
    await settle()
    made.publish(snapshot(3))
    made.publish(snapshot(4))
    await settle()
    assert link.told == [1, 2, "PRESENT", 3, 4]
    task.cancel()


async def test_a_slow_link_waits_in_the_past_and_holds_no_other_up() -> None:
    made, slow, quick = distributor(1, 2, capacity=3), FakeLink(), FakeLink()
    slow.open.clear()
    tasks = [asyncio.create_task(made.serve(one)) for one in (slow, quick)]
    await settle()
    for number in range(3, 8):
        made.publish(snapshot(number))
        await settle()
    assert quick.told == [1, 2, "PRESENT", 3, 4, 5, 6, 7]
    slow.open.set()
    await settle()
    assert slow.told == [1, 5, 6, 7, "PRESENT"]
    assert made.lost == {slow: 3, quick: 0}
    for task in tasks:
        task.cancel()


async def test_a_snapshot_is_written_once_for_all() -> None:
    made, links = distributor(), [FakeLink() for _ in range(3)]
    tasks = [asyncio.create_task(made.serve(one)) for one in links]
    await settle()
    made.publish(snapshot(1))
    await settle()
    assert len({id(body) for link in links for _, body in link.sent[1:]}) == 1
    for task in tasks:
        task.cancel()


async def test_what_any_link_wants_is_sampled_until_it_is_gone() -> None:
    made, link, other = distributor(), FakeLink(), FakeLink()
    tasks = [asyncio.create_task(made.serve(one)) for one in (link, other)]
    await settle()
    assert [metric.name for metric in made.demand()] == ["cpu"]
    made.want(link, write_demand(["load"]))
    made.want(other, write_demand([]))
    assert [metric.name for metric in made.demand()] == ["cpu", "load"]
    link.is_lost = True
    made.publish(snapshot(1))
    with pytest.raises(LinkLost):
        await tasks[0]
    assert [metric.name for metric in made.demand()] == ["cpu"]
    assert made.lost == {other: 0}
    tasks[1].cancel()
