"""The way through ASGI, with a server that takes what is sent when the test says so."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message

from hub import CloseReason
from hub.feed.liveness import StallWatch
from hub.feed.reader import HostTicket
from hub.feed.subscriber import Subscriber
from hub.feed.view import View
from hub.web.pump import EventPump, Pump, WebSocketPump
from tests.support.fakes import FakeClock, RecordingObserver, Replay, frame, settle

VIEW = View(("cpu",))
PUMPS = pytest.mark.parametrize("kind", [WebSocketPump, EventPump])


class Server:
    """What an ASGI server does for one connection."""

    def __init__(self, kind: type[Pump], observer: object = None, capacity: int = 3) -> None:
        self.sent: list[Message] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = asyncio.Event()
        self.disconnect = "websocket.disconnect" if kind is WebSocketPump else "http.disconnect"
        self.pump = kind(
            VIEW,
            capacity,
            observer or RecordingObserver(),  # type: ignore[arg-type] # a watch or a fake
            ticket=HostTicket("client"),
            send=self._send,
        )

    async def _send(self, message: Message) -> None:
        await self.open.wait()
        if self.gone.is_set():
            raise OSError("the client is gone")
        self.sent.append(message)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": self.disconnect}

    def hold(self) -> None:
        """Take nothing more until it is let."""
        self.open.clear()

    def let(self) -> None:
        self.open.set()

    @property
    def numbers(self) -> list[int]:
        """The frames that were sent, each of which tells its number."""
        texts = [one.get("text") or one.get("body", b"").decode() for one in self.sent]
        return [int(text.split("data: ")[-1]) for text in texts if text[:1] not in ("", ":")]


@asynccontextmanager
async def running(server: Server, *, live: bool = True) -> AsyncIterator[Server]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.pump.run(server.receive))
        await settle()
        if live:
            server.pump.go_live()
        yield server
        server.let()
        server.gone.set()
        await task


@PUMPS
async def test_a_backlog_is_asked_for_one_frame_at_a_time_as_the_server_takes_them(
    kind: type[Pump],
) -> None:
    async with running(Server(kind), live=False) as server:
        server.hold()
        replay = Replay(server.pump, 100)
        replay.start()
        await settle()
        assert replay.read == [0]
        server.let()
        for _ in range(20):
            await settle()
        assert server.numbers == list(range(100))
        server.pump.offer(frame(100))
        await settle()
        assert server.numbers[-1] == 100
        assert server.pump.statistics().delivered == 101


@PUMPS
async def test_others_run_while_a_backlog_is_sent_to_who_takes_all_at_once(
    kind: type[Pump],
) -> None:
    async with running(Server(kind), live=False) as server:
        replay = Replay(server.pump, 200)
        replay.start()
        steps = [0]
        while steps[-1] < 200:
            await asyncio.sleep(0)
            steps.append(len(replay.read))
        assert max(b - a for a, b in itertools.pairwise(steps)) <= 32


@PUMPS
async def test_who_takes_nothing_of_a_backlog_is_cut_off(kind: type[Pump]) -> None:
    clock = FakeClock()
    server = Server(kind, StallWatch(15, clock))
    server.hold()
    task = asyncio.ensure_future(server.pump.run(server.receive))
    await settle()
    Replay(server.pump, 100).start()
    await clock.advance(16)
    assert server.pump.close_reason is CloseReason.TOO_SLOW
    server.let()
    server.gone.set()
    await task
    assert server.numbers == []


@PUMPS
async def test_who_takes_a_backlog_slowly_is_not(kind: type[Pump]) -> None:
    clock = FakeClock()
    async with running(Server(kind, StallWatch(15, clock)), live=False) as server:
        server.hold()
        replay = Replay(server.pump, 5)
        replay.start()
        for _ in range(5):
            await clock.advance(10)
            server.let()
            await asyncio.sleep(0)
            server.hold()
        assert server.pump.close_reason is None


@PUMPS
async def test_who_leaves_during_a_backlog_leaves_no_task(kind: type[Pump]) -> None:
    before = asyncio.all_tasks()
    async with running(Server(kind), live=False) as server:
        server.hold()
        replay = Replay(server.pump, 100)
        replay.start()
        await settle()
    assert len(replay.read) <= 2
    assert asyncio.all_tasks() == before


@PUMPS
async def test_an_offer_that_comes_while_sending_waits_its_turn(kind: type[Pump]) -> None:
    async with running(Server(kind)) as server:
        server.hold()
        server.pump.offer(frame(0))
        await settle()
        for number in range(1, 5):
            server.pump.offer(frame(number))
        server.let()
        await settle()
        assert server.numbers == [0, 2, 3, 4]
        assert server.pump.statistics().dropped == 1


# Server-sent events


async def test_silence_is_broken_by_a_comment_now_and_then() -> None:
    async with running(Server(EventPump)) as server:
        server.pump.probe()
        await settle()
        assert server.sent == [{"type": "http.response.body", "body": b":\n", "more_body": True}]
        server.pump.offer(frame(1))
        await settle()
        assert server.numbers == [1]


async def test_there_is_no_comment_where_something_is_being_sent() -> None:
    async with running(Server(EventPump)) as server:
        server.hold()
        server.pump.offer(frame(1))
        server.pump.probe()
        server.pump.offer(frame(2))
        server.let()
        await settle()
        assert len(server.sent) == 2


async def test_an_offer_that_comes_while_a_comment_is_sent_is_not_lost() -> None:
    async with running(Server(EventPump)) as server:
        server.hold()
        server.pump.probe()
        await settle()
        server.pump.offer(frame(1))
        server.let()
        await settle()
        assert server.numbers == [1]


async def test_a_stream_that_the_hub_ends_ends_its_body() -> None:
    server = Server(EventPump)
    task = asyncio.ensure_future(server.pump.run(server.receive))
    await settle()
    subscriber: Subscriber = server.pump
    subscriber.close(CloseReason.RESTART)
    subscriber.probe()
    await task
    assert server.sent == [{"type": "http.response.body", "body": b"", "more_body": False}]


async def test_a_stream_that_takes_not_even_its_end_is_cut_off_where_the_server_can() -> None:
    server = Server(EventPump)
    pump = EventPump(
        VIEW,
        3,
        RecordingObserver(),
        ticket=HostTicket("client"),
        send=server._send,
        abort=server.gone.set,
    )
    task = asyncio.ensure_future(pump.run(server.receive))
    await settle()
    pump.go_live()
    server.hold()
    for number in range(3):
        pump.offer(frame(number))
    await settle()
    pump.close(CloseReason.TOO_SLOW)
    await settle()
    assert task.done()
    assert server.sent == []
