from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from hub import Hub, Metric, Settings
from hub.sampling.link import Letter, Link, LinkLost
from hub.sampling.remote import RemoteSource
from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Precision
from hub.sampling.wire import Parcel, UnreadableSnapshot, read_demand, write_snapshot
from tests.support.fakes import settle, snapshot

METRICS = [
    Metric("cpu", lambda: 1.0, always=True, precision=Precision.TENTH),
    Metric("load", lambda: 1.0),
]


class Other:
    """The process at the other end of a hub's link, and the hub."""

    def __init__(self, link: Link, hub: Hub, source: RemoteSource) -> None:
        self.link = link
        self.hub = hub
        self.source = source
        self.letters: list[tuple[Letter, bytes]] = []
        self._heard = link.letters()

    def send(self, number: int, **readings: float) -> None:
        sent: Snapshot = snapshot(number, **readings)
        self.link.send(Letter.SNAPSHOT, write_snapshot(Parcel("e", sent)))

    async def demand(self) -> set[str]:
        letter, body = await anext(self._heard)
        assert letter is Letter.DEMAND
        return set(read_demand(body))


@asynccontextmanager
async def linked() -> AsyncIterator[Other]:
    here, there = socket.socketpair()
    link, letters = await Link.over(there), list[tuple[Letter, bytes]]()

    async def connect() -> Link:
        return await Link.over(here)

    source = RemoteSource(connect, lambda letter, body: letters.append((letter, body)))
    hub = Hub(Settings(), metrics=METRICS, source=source)
    other = Other(link, hub, source)
    other.letters = letters
    async with hub.lifespan():
        yield other
    link.close()
    await settle()


async def test_the_past_is_kept_and_the_present_is_handed_out() -> None:
    async with linked() as other:
        assert await other.demand() == {"cpu"}
        other.send(1, cpu=1.23)
        other.send(2, cpu=2.34)
        other.link.send(Letter.PRESENT)
        await other.source.present.wait()
        async with other.hub.subscribe(("cpu",), history=60, seq=True) as frames:
            received = [await anext(frames) for _ in range(2)]
            other.send(3, cpu=3.45)
            received.append(await anext(frames))
        messages = [orjson.loads(one.payload) for one in received]
        assert [one["cpu"] for one in messages] == [1.2, 2.3, 3.5]
        assert [one["seq"] - messages[0]["seq"] for one in messages] == [0, 1, 2]
        assert other.hub.unready() is None


async def test_who_comes_before_the_present_gets_the_newest_of_the_past() -> None:
    async with linked() as other:
        other.send(1, cpu=1.0)
        other.link.send(Letter.PRESENT)
        await other.source.present.wait()
        async with other.hub.subscribe(("cpu",)) as frames:
            assert b'"cpu":1.0' in (await anext(frames)).payload


async def test_a_new_demand_is_told_at_once_and_an_old_one_once() -> None:
    async with linked() as other:
        assert await other.demand() == {"cpu"}
        async with other.hub.subscribe(("cpu",)):
            async with other.hub.subscribe(("load",)):
                assert await other.demand() == {"cpu", "load"}
            async with other.hub.subscribe(("load",), interval=5):
                await asyncio.sleep(0)
        other.link.close()


async def test_what_else_comes_is_passed_on() -> None:
    async with linked() as other:
        other.link.send(Letter.SERVICE, b"text")
        other.link.send(Letter.PRESENT)
        await other.source.present.wait()
        assert other.letters == [(Letter.SERVICE, b"text")]
        other.source.note(None, "sampling has failed: no room")
        assert other.hub.unready() == "sampling has failed: no room"


async def run_until_it_ends(body: bytes | None) -> None:
    here, there = socket.socketpair()
    link = await Link.over(there)

    async def connect() -> Link:
        return await Link.over(here)

    if body is None:
        link.close()
    else:
        link.send(Letter.SNAPSHOT, body)
    try:
        await RemoteSource(connect).run(Hub(metrics=METRICS), list)
    finally:
        link.close()
        await settle()


async def test_a_source_ends_with_its_link() -> None:
    with pytest.raises(LinkLost):
        await run_until_it_ends(None)


async def test_a_source_ends_with_what_it_cannot_read() -> None:
    with pytest.raises(UnreadableSnapshot, match="version 9"):
        await run_until_it_ends(b'{"v":9}')


async def test_an_owner_that_wants_to_know_of_a_lost_link_is_told() -> None:
    here, there = socket.socketpair()
    there.close()
    lost = asyncio.Event()

    async def connect() -> Link:
        return await Link.over(here)

    task = asyncio.create_task(
        RemoteSource(connect, on_lost=lost.set).run(Hub(metrics=METRICS), list)
    )
    await lost.wait()
    assert not task.done()
    task.cancel()
    await settle()
