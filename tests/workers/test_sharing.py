"""Programs that attach to a process that samples, among them some that mean no good."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub import Settings
from hub.sampling.hello import read_hello, read_standing
from hub.sampling.link import Letter, Link, LinkLost
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Reading
from hub.sampling.wire import SnapshotReader, write_demand
from hub.workers import sharing
from hub.workers.sharing import SharedSampler
from hub.workers.socket_file import listening
from tests.support.fakes import FakeClock, FakeCollector, settle
from tests.support.servers import DEADLINE

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no such sockets")


class EvenCollector(FakeCollector):
    """Asks nothing of the machine."""

    def _read(self, metric: Metric) -> Reading:  # noqa: ARG002 # all are alike
        return 1.0


class Service:
    """A process that samples, with a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.collector = EvenCollector()
        self.sampler = SharedSampler(Settings(), self.clock, self.collector)

    async def link(self) -> Link:
        link = await Link.to(str(self.path))
        await settle()
        return link


@asynccontextmanager
async def service(path: Path) -> AsyncIterator[Service]:
    made = Service(path)
    with listening(path, 0o600) as listener:
        task = asyncio.create_task(made.sampler.run(listener))
        await settle()
        yield made
        task.cancel()
        await asyncio.wait((task,))
        await settle()


async def is_closed(link: Link) -> bool:
    """Read until the other end has closed a link; false where it does not."""
    with anyio.move_on_after(DEADLINE):
        try:
            async for _ in link.letters():
                pass
        except LinkLost:
            link.abort()
            return True
    return False


async def test_who_attaches_is_told_all_that_it_needs_to_know(tmp_path: Path) -> None:
    async with service(tmp_path / "s") as made:
        link = await made.link()
        letters = link.letters()
        letter, body = await anext(letters)
        assert letter is Letter.HELLO
        hello = read_hello(body)
        assert hello.interval == 1.0
        assert {"cpu", "network", "processes"} <= hello.families
        letter, body = await anext(letters)
        assert letter is Letter.STANDING
        assert read_standing(body).statistics.ticks == 0
        assert (await anext(letters))[0] is Letter.PRESENT
        link.send(Letter.DEMAND, write_demand(["cpu", "none such"]))
        await settle()
        await made.clock.advance(1.0)
        got = dict([await anext(letters) for _ in range(2)])
        parcel = SnapshotReader(dict).read(got[Letter.SNAPSHOT])
        assert parcel.epoch == hello.epoch
        assert "cpu" in parcel.snapshot.readings
        assert "none such" not in made.collector.collections[-1]
        await letters.aclose()
        link.abort()


async def test_what_a_program_wants_is_sampled_until_it_has_gone(tmp_path: Path) -> None:
    async with service(tmp_path / "s") as made:
        link = await made.link()
        link.send(Letter.DEMAND, write_demand(["processes"]))
        await settle()
        await made.clock.advance(2.0)
        assert "processes" in made.collector.collections[-1]
        link.abort()
        await settle()
        await made.clock.advance(1.0)
        assert "processes" not in made.collector.collections[-1]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x00\x00\x20\x01\x04", "a letter of 8193 bytes"),
        (b"\x00\x00\x00\x02\x01{}", "a letter of the kind SNAPSHOT"),
        (b"\x00\x00\x00\x00\xee", "a letter of the unknown kind 238"),
        (b"\x00\x00\x00\x02\x04{}", "a demand that is no list of names"),
        (b"\x00\x00\x00\x03\x04[1]", "a demand that is no list of names"),
        (b"\x00\x00\x00\x01\x04[", "a demand that is no JSON"),
        (b"\x00\x00\x00\x02\x04[]" * 1001, "it has sent 1001 letters within 10 s"),
    ],
)
async def test_one_that_sends_what_it_may_not_is_closed_with_one_line(
    data: bytes, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(tmp_path / "s") as made:
        bystander = await made.link()
        bystander.send(Letter.DEMAND, write_demand(["processes"]))
        reader, writer = await asyncio.open_unix_connection(str(made.path))
        writer.write(data)
        with anyio.fail_after(DEADLINE), caplog.at_level(logging.INFO):
            with suppress(ConnectionResetError):
                await reader.read()
            await settle()
        (line,) = caplog.messages
        assert line.startswith(f"Closed the link to process {os.getpid()}: {text}")
        writer.transport.abort()
        await settle()
        await made.clock.advance(1.0)
        assert "processes" in made.collector.collections[-1]
        bystander.abort()


async def test_one_that_says_nothing_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(tmp_path / "s") as made:
        link, other = await made.link(), await made.link()
        other.send(Letter.DEMAND, write_demand([]))
        await settle()
        await made.clock.advance(60.0)
        assert await is_closed(link)
        (line,) = caplog.messages
        assert line.endswith("it has said nothing for 10 s")
        other.abort()


async def test_one_that_takes_nothing_is_closed_and_holds_no_other_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(tmp_path / "s") as made:
        idle = socket.socket(socket.AF_UNIX)
        idle.connect(str(made.path))
        idle.sendall(b"\x00\x00\x00\x02\x04[]")
        await settle()
        for _ in range(1000):
            await made.clock.advance(1.0)
            if caplog.messages:
                break
        (line,) = caplog.messages
        assert line.endswith("it has taken nothing for 30 s")
        idle.close()


async def test_there_is_room_for_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sharing, "_MOST_GUESTS", 2)
    async with service(tmp_path / "s") as made:
        links = [await made.link() for _ in range(2)]
        assert await is_closed(await made.link())
        assert caplog.messages[0].endswith("there are 2 already")
        links[0].abort()
        await settle()
        again = await made.link()
        assert (await anext(again.letters()))[0] is Letter.HELLO
        for link in (links[1], again):
            link.abort()


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(min_size=1, max_size=40))
def test_whatever_comes_the_others_are_served(data: bytes, tmp_path: Path) -> None:
    async def attack() -> None:
        async with service(tmp_path / "s") as made:
            _, writer = await asyncio.open_unix_connection(str(made.path))
            writer.write(data)
            await settle()
            link = await made.link()
            assert (await anext(link.letters()))[0] is Letter.HELLO
            writer.transport.abort()
            link.abort()
            await settle()

    asyncio.run(attack())
