from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import itertools
import json
import logging
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Opcode
from websockets.frames import Frame as WebSocketFrame
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import Subprotocol

from hub import Hub, Metric, Settings, create_app
from hub.clock import SystemClock, Timer
from hub.sampling.metric import Metric as AnyMetric
from hub.sampling.snapshot import Reading, Snapshot
from hub.server import BroadcastProtocol, trial
from hub.server.connection import Connection
from hub.server.http_limits import HandshakeProtocol
from hub.server.listener import listen
from hub.server.opening import read_opening
from hub.server.waiting import Idle, Pending, Turns
from hub.web.extensions import InboundBudget
from tests.support.clients import handshake
from tests.support.stage import client_frame, inflated

PATH = "/api/system/metrics"
DEADLINE = 10.0  # seconds; nothing takes nearly as long unless it is broken
BIG = "x" * 20_000

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=[BroadcastProtocol, WebSocketsSansIOProtocol], ids=["hub", "uvicorn"])
def ws(request: pytest.FixtureRequest) -> type[asyncio.Protocol]:
    """Both protocol classes, which are to be the same to a client."""
    chosen: type[asyncio.Protocol] = request.param
    return chosen


# A hub that samples nothing by itself


class IdleCollector:
    """Never finishes its first reading: what is published, a test publishes."""

    async def collect(self, metrics: Sequence[AnyMetric]) -> dict[str, Reading]:  # noqa: ARG002
        await asyncio.Event().wait()
        raise AssertionError

    def close(self) -> None:
        pass


class HandClock(SystemClock):
    """Timers come due when a test says that time has passed."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _HandTimer]] = []

    def monotonic(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = _HandTimer(callback)
        heapq.heappush(self._timers, (self._now + delay, next(self._order), timer))
        return timer

    def pass_by(self, seconds: float) -> None:
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self._now = end


class _HandTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Feed:
    """A hub whose clock and samples are the test's."""

    def __init__(self, *, queue: int = 8, compression: bool = True) -> None:
        self.clock = HandClock()
        self.hub = Hub(
            Settings(queue=queue, stall_timeout=15, compression=compression),
            metrics=[Metric(name, lambda: 0) for name in ("cpu", "memory", "disk")],
            clock=self.clock,
            collector=IdleCollector(),
        )
        self.published = 0

    def publish(self, disk: float | str = 45.3) -> str:
        """Publish one sample; return the message that it makes."""
        self.published += 1
        readings: dict[str, Reading] = {"cpu": 25.5, "memory": 60.2, "disk": disk}
        number = self.published
        snapshot = Snapshot(number, number, 1_700_000_000.0 + number, readings)
        self.hub.publish(snapshot)
        return json.dumps({**readings, "timestamp": snapshot.timestamp}, separators=(",", ":"))

    @property
    def subscribers(self) -> int:
        return self.hub.statistics().subscribers


# A client that is nothing but its socket


class Client:
    """Speaks WebSocket by hand, so that it can be late, rude or silent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._got = bytearray()
        self._loop = asyncio.get_running_loop()

    async def request(self, path: str = PATH, more: str = "") -> None:
        await self.send(REQUEST.format(path=path, more=more).encode("latin-1"))

    async def join(self, path: str = PATH, more: str = "") -> str:
        """Open the WebSocket; return the head of the answer."""
        await self.request(path, more)
        head = await self.head()
        assert head.startswith("HTTP/1.1 101 "), head
        return head

    async def head(self) -> str:
        while b"\r\n\r\n" not in self._got:
            assert await self._more(), bytes(self._got)
        end = self._got.index(b"\r\n\r\n") + 4
        return self._pop(end).decode("latin-1")

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE):
            await self._loop.sock_sendall(self.sock, data)

    async def say(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        await self.send(client_frame(opcode, data, fin=fin))

    async def frame(self) -> WebSocketFrame:
        await self._need(2)
        size = self._got[1]
        start = 2
        if size >= 126:
            start = 4 if size == 126 else 10
            await self._need(start)
            size = int.from_bytes(self._got[2:start])
        await self._need(start + size)
        data = self._pop(start + size)
        assert data[0] & 0x80
        return WebSocketFrame(Opcode(data[0] & 0x0F), data[start:])

    async def first_byte(self) -> bytes:
        """Return the first byte of the next frame, which stays there."""
        await self._need(1)
        return bytes(self._got[:1])

    async def text(self) -> str:
        frame = await self.frame()
        assert frame.opcode is Opcode.TEXT, frame
        return bytes(frame.data).decode()

    async def farewell(self) -> Close:
        """Read up to a close frame and to the end of the stream; return what it says."""
        while (frame := await self.frame()).opcode is not Opcode.CLOSE:
            continue
        with contextlib.suppress(ConnectionError):
            await self.say(Opcode.CLOSE, bytes(frame.data))
        assert await self.rest() == b""
        self.sock.close()
        return Close.parse(frame.data)

    async def leftovers(self) -> int:
        """Read to the end of the stream, cut off or polite; return the size of the messages."""
        size = 0
        with contextlib.suppress(EOFError, ConnectionError):
            while (frame := await self.frame()).opcode is not Opcode.CLOSE:
                size += len(frame.data)
            await self.say(Opcode.CLOSE, bytes(frame.data))
        self.sock.close()
        return size

    async def pong(self, word: bytes) -> None:
        """Ping, and let everything pass that comes before the answer."""
        await self.say(Opcode.PING, word)
        while await self.frame() != WebSocketFrame(Opcode.PONG, word):
            continue

    async def rest(self) -> bytes:
        """Read to the end of the stream, be it orderly or not."""
        with contextlib.suppress(ConnectionError):
            while await self._more():
                continue
        return self._pop(len(self._got))

    def break_off(self) -> None:
        """Reset the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def _need(self, size: int) -> None:
        while len(self._got) < size:
            if not await self._more():
                raise EOFError

    async def _more(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            data = await self._loop.sock_recv(self.sock, 1 << 16)
        self._got += data
        return bool(data)

    def _pop(self, size: int) -> bytes:
        data = bytes(self._got[:size])
        del self._got[:size]
        return data


# A real server in the test's own event loop


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until ``condition`` holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 # there is no event for what a server forgets
            await asyncio.sleep(0)


@dataclass
class Running:
    """A server, and the clients that a test has made of it."""

    server: uvicorn.Server
    address: tuple[str, int]
    clients: list[Client] = field(default_factory=list)

    @property
    def connections(self) -> set[Any]:
        return set(self.server.server_state.connections)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        return self.server.server_state.tasks

    @property
    def url(self) -> str:
        return f"ws://{self.address[0]}:{self.address[1]}"

    async def client(self, *, deaf: bool = False) -> Client:
        """Connect; a deaf client's kernel takes next to nothing that it does not read."""
        sock = socket.socket()
        if deaf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        self.clients.append(Client(sock))
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        return self.clients[-1]

    async def member(self, *, deaf: bool = False) -> Client:
        client = await self.client(deaf=deaf)
        await client.join()
        return client

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()

    async def wind_up(self) -> None:
        """Stop without the pauses of uvicorn's own shutdown, which other tests go through."""
        self.close()
        for server in self.server.servers:
            server.close()
        await until(lambda: not self.connections and not self.tasks)
        await self.server.lifespan.shutdown()


def make_server(app: ASGIApp, ws: type[asyncio.Protocol], **options: Any) -> uvicorn.Server:  # noqa: ANN401
    chosen: dict[str, Any] = {"log_config": None, "ws": ws, "timeout_graceful_shutdown": 5}
    return uvicorn.Server(uvicorn.Config(app, **{**chosen, **options}))


@asynccontextmanager
async def running(
    app: ASGIApp,
    ws: type[asyncio.Protocol],
    **options: Any,  # noqa: ANN401
) -> AsyncIterator[Running]:
    server = make_server(app, ws, **options)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    (listener,) = listen("127.0.0.1", 0, stall_timeout=20)
    with listener:
        await server.startup([listener])
        run = Running(server, listener.getsockname())
        try:
            yield run
        finally:
            await run.wind_up()


class Gate:
    """An application in front of another that lets a handshake through when told to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self.reached.set()
            await self.open.wait()
        await self._app(scope, receive, send)


@dataclass
class Gated:
    """A client whose handshake waits before the hub's endpoint."""

    run: Running
    gate: Gate
    feed: Feed
    client: Client

    async def heard(self, data: bytes) -> None:
        """Send bytes and wait until the server has parsed them."""
        (protocol,) = self.run.connections
        told: asyncio.Event = asyncio.Event()
        parse = protocol.data_received

        def data_received(data: bytes) -> None:
            parse(data)
            told.set()

        protocol.data_received = data_received
        protocol.transport.set_protocol(protocol)  # uvloop looks a method up but once
        await self.client.send(data)
        async with asyncio.timeout(DEADLINE):
            await told.wait()
        del protocol.data_received
        protocol.transport.set_protocol(protocol)


@asynccontextmanager
async def gated(ws: type[asyncio.Protocol], *, deaf: bool = False) -> AsyncIterator[Gated]:
    feed = Feed()
    gate = Gate(create_app(hub=feed.hub))
    async with running(gate, ws) as run:
        client = await run.client(deaf=deaf)
        await client.request()
        async with asyncio.timeout(DEADLINE):
            await gate.reached.wait()
        try:
            yield Gated(run, gate, feed, client)
        finally:
            gate.open.set()


@asynccontextmanager
async def serving(
    ws: type[asyncio.Protocol],
    *,
    queue: int = 8,
    compression: bool = True,
    **options: Any,  # noqa: ANN401
) -> AsyncIterator[tuple[Running, Feed]]:
    feed = Feed(queue=queue, compression=compression)
    async with running(create_app(hub=feed.hub), ws, **options) as run:
        yield run, feed


def doorway() -> type[HandshakeProtocol]:
    class Doorway(HandshakeProtocol):
        waiting = Pending(SystemClock())
        turns = Turns()
        idle = Idle()
        on_refused = staticmethod(lambda _reason, _peer: None)

    return Doorway


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Let what refers to itself stay, and only new objects be among those that are listed."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


HANDSHAKES: Mapping[str, tuple[bytes, bytes]] = {
    "accepted": (handshake(PATH), b"101"),
    "accepted, not plain": (handshake(PATH, "Cookie: " + 5000 * "a"), b"101"),
    "of an unknown path": (handshake("/nothing"), b"403"),
    "with a bad query": (handshake(f"{PATH}?metrics=gpu", "Cookie: " + 5000 * "a"), b"400"),
    "without a key": (handshake(PATH).replace(b"Sec-WebSocket-Key", b"X-Key"), b"400"),
    "with a line too long": (handshake(PATH, "Cookie: " + 9000 * "a"), b"431"),
    "with a body": (handshake(PATH, "Content-Length: 5") + b"hello", b"413"),
    "with bad subprotocols": (handshake(PATH, "Sec-WebSocket-Protocol: bearer.a/b=="), b"400"),
}


@pytest.mark.parametrize("kind", HANDSHAKES)
async def test_a_handshake_is_gone_as_soon_as_its_client_is(kind: str) -> None:
    request, status = HANDSHAKES[kind]
    assert trial.is_supported()  # which is found out by a few handshakes, but once
    async with serving(BroadcastProtocol, http=doorway()) as (run, _):
        loop = asyncio.get_running_loop()
        with uncollected():
            for _ in range(3):
                client = await run.client()
                await loop.sock_sendall(client.sock, request)
                answer = await loop.sock_recv(client.sock, 4096)
                assert answer.split()[1] == status
                assert b"a/b" not in answer, "a token"
                client.sock.close()
            await until(lambda: not run.connections and not run.tasks)
            await asyncio.sleep(0)
            kinds = (HandshakeProtocol, BroadcastProtocol, Connection, ServerProtocol)
            assert [one for one in gc.get_objects() if isinstance(one, kinds)] == []


class TestHandover:
    async def test_no_task_remains_for_a_client_that_waits(self) -> None:
        async with serving(BroadcastProtocol) as (run, feed):
            await (await run.member()).pong(b"?")
            await until(lambda: not run.tasks)
            before = asyncio.all_tasks()  # the hub runs now
            clients = [await run.member() for _ in range(5)]
            await until(lambda: not run.tasks)
            assert asyncio.all_tasks() == before
            assert {type(one) for one in run.connections} == {Connection}
            assert (len(run.connections), feed.subscribers) == (6, 6)
            sent = feed.publish()
            assert [await client.text() for client in clients] == [sent] * 5

    @pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the platform lacks it")
    async def test_the_kernel_is_told_of_the_hub_s_own_stall_timeout(self) -> None:
        async with serving(BroadcastProtocol) as (run, _):
            await run.member()
            (connection,) = run.connections
            sock = connection._transport.get_extra_info("socket")
            # Its listener, another one's business, says 20 s.
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000

    @pytest.mark.parametrize("http", ["httptools", "h11"])
    async def test_it_happens_behind_both_of_the_http_protocols(self, http: str) -> None:
        async with serving(BroadcastProtocol, http=http) as (run, feed):
            client = await run.member()
            sent = feed.publish()
            assert await client.text() == sent
            assert {type(one) for one in run.connections} == {Connection}

    async def test_uvicorn_s_keepalive_is_the_hub_s_from_then_on(self) -> None:
        async with serving(BroadcastProtocol, ws_ping_interval=0.01, ws_ping_timeout=0.01) as (
            run,
            feed,
        ):
            client = await run.member()
            feed.publish()
            await client.text()
            feed.clock.pass_by(20)
            feed.clock.pass_by(20)
            assert await client.frame() == WebSocketFrame(Opcode.PING, b"")
            feed.clock.pass_by(20)
            assert await client.farewell() == Close(1011, "keepalive lost")

    async def test_a_failed_trial_means_the_slower_way_and_one_warning(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(trial, "run", lambda: "takeover: no answer")
        monkeypatch.setattr(uvicorn, "__version__", "9.9")
        trial.is_supported.cache_clear()
        try:
            async with serving(BroadcastProtocol) as (run, feed):
                clients = [await run.member() for _ in range(3)]
                await until(lambda: feed.subscribers == 3)
                sent = feed.publish()
                assert [await client.text() for client in clients] == [sent] * 3
                assert len(run.tasks) == 3
        finally:
            trial.is_supported.cache_clear()
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert warnings == [
            "Unexpected uvicorn (version 9.9, takeover: no answer): serving more slowly"
        ]

    async def test_a_client_that_is_gone_before_it_is_never_counted(self) -> None:
        async with gated(BroadcastProtocol) as at:
            at.client.break_off()
            await until(lambda: not at.run.connections)
            at.gate.open.set()
            await until(lambda: not at.run.tasks)
            assert at.feed.subscribers == 0

    async def test_a_transport_that_is_paused_already_is_known_to_be(self) -> None:
        async with gated(BroadcastProtocol, deaf=True) as at:
            at.feed.publish(BIG)
            (protocol,) = at.run.connections
            transport = protocol.transport
            # What a server may have left in the buffer: less than uvicorn would stop at.
            transport.write(client_frame(Opcode.PONG, mask=False) * 25_000)
            assert transport.get_write_buffer_size() > 0
            at.gate.open.set()
            await until(lambda: not at.run.tasks)
            (connection,) = at.run.connections
            for _ in range(20):
                at.feed.publish(BIG)
            assert connection.statistics().pending == 8
            assert transport.get_write_buffer_size() < 100_000


class TestEarlyBirds:
    """What a client says before its handshake is answered."""

    async def test_a_message_in_two_parts(self, ws: type[asyncio.Protocol]) -> None:
        async with gated(ws) as at:
            said = client_frame(Opcode.TEXT, b"hello") + client_frame(Opcode.PING, b"after")
            await at.heard(said[:5])
            at.gate.open.set()
            await at.client.head()
            await at.client.send(said[5:])
            assert await at.client.frame() == WebSocketFrame(Opcode.PONG, b"after")

    async def test_a_fragmented_message(self, ws: type[asyncio.Protocol]) -> None:
        async with gated(ws) as at:
            await at.heard(client_frame(Opcode.TEXT, b"hel", fin=False))
            at.gate.open.set()
            await at.client.head()
            await at.client.say(Opcode.CONT, b"lo")
            await at.client.pong(b"after")

    async def test_a_message_does_not_stop_the_reading(self, ws: type[asyncio.Protocol]) -> None:
        async with gated(ws) as at:
            await at.heard(client_frame(Opcode.TEXT, b"hello"))
            at.gate.open.set()
            await at.client.head()
            await at.client.pong(b"after")
            sent = at.feed.publish()
            assert await at.client.text() == sent

    async def test_a_ping_is_answered_after_the_handshake(self) -> None:
        async with gated(BroadcastProtocol) as at:
            await at.heard(client_frame(Opcode.PING, b"early"))
            at.gate.open.set()
            assert " 101 " in await at.client.head()
            assert await at.client.frame() == WebSocketFrame(Opcode.PONG, b"early")

    async def test_what_is_said_early_comes_before_what_is_said_later(self) -> None:
        said = b"".join(client_frame(Opcode.PING, b"%d" % n) for n in range(40))
        async with gated(BroadcastProtocol) as at:
            await at.heard(said[:100])
            at.gate.open.set()
            await at.client.send(said[100:])
            await at.client.head()
            for number in range(40):
                pong = WebSocketFrame(Opcode.PONG, b"%d" % number)
                assert await at.client.frame() == pong

    @pytest.mark.parametrize(
        "wrong",
        [b"\x81\x01x", b"\xff\xff" * 20, client_frame(Opcode.TEXT, b"x" * 5000)],
        ids=["unmasked", "nonsense", "too big"],
    )
    async def test_what_is_wrong_ends_the_connection(self, wrong: bytes) -> None:
        async with gated(BroadcastProtocol) as at:
            await at.heard(wrong)
            at.gate.open.set()
            await at.client.rest()
            at.client.break_off()
            await until(lambda: not at.run.connections and not at.run.tasks)
            assert at.feed.subscribers == 0

    @pytest.mark.parametrize(
        "wrong",
        [b"\x81\xfe\x00\x01abcdx", client_frame(Opcode.PING, b"x") * 3000],
        ids=["a length that is not minimal", "too much"],
    )
    async def test_what_goes_too_far_is_refused_before_the_answer(self, wrong: bytes) -> None:
        async with gated(BroadcastProtocol) as at:
            await at.client.send(wrong)
            assert " 400 " in await at.client.head()
            await until(lambda: not at.run.connections)
            at.gate.open.set()
            await until(lambda: not at.run.tasks)
            assert at.feed.subscribers == 0

    async def test_a_close_means_that_nothing_is_opened(self, ws: type[asyncio.Protocol]) -> None:
        async with gated(ws) as at:
            await at.heard(client_frame(Opcode.CLOSE))
            at.gate.open.set()
            assert b"101 Switching" not in await at.client.rest()
            await until(lambda: not at.run.connections and not at.run.tasks)
            assert at.feed.subscribers == 0

    async def test_a_close_right_after_the_answer_is_echoed(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with serving(ws) as (run, _):
            client = await run.member()
            await client.say(Opcode.CLOSE, Close(1000, "").serialize())
            assert await client.farewell() == Close(1000, "")


class TestFeed:
    async def test_a_client_gets_the_latest_message_and_then_every_one(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with serving(ws) as (run, feed):
            latest = [feed.publish() for _ in range(2)][-1]
            feed.hub.start()  # which forgets what was before
            latest = feed.publish()
            client = await run.member()
            assert await client.text() == latest
            following = []
            for _ in range(3):
                following.append(feed.publish())
                assert await client.text() == following[-1]

    async def test_a_bad_request_is_refused_before_it_is_accepted(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with serving(ws) as (run, _):
            client = await run.client()
            await client.request(PATH + "?metrics=nonsense")
            assert (await client.head()).startswith("HTTP/1.1 400 ")
            body = json.loads(await client.rest())
            assert body["parameter"] == "metrics"

    async def test_a_client_that_does_not_read_loses_its_oldest_frames_and_catches_up(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with serving(ws) as (run, feed):
            deaf, other = await run.member(deaf=True), await run.member()
            await until(lambda: feed.subscribers == 2)
            for _ in range(60):
                sent = feed.publish(BIG)
                assert await other.text() == sent
            got = [json.loads(await deaf.text())["timestamp"]]
            last = json.loads(sent)["timestamp"]
            while got[-1] != last:
                got.append(json.loads(await deaf.text())["timestamp"])
            assert got == sorted(set(got))
            assert len(got) < 30
            sent = feed.publish()
            assert await deaf.text() == sent

    async def test_a_client_that_takes_nothing_is_cut_off_and_the_others_miss_nothing(
        self, ws: type[asyncio.Protocol], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "hub")
        async with serving(ws) as (run, feed):
            deaf, other = await run.member(deaf=True), await run.member()
            await until(lambda: feed.subscribers == 2)
            for _ in range(40):
                sent = feed.publish(BIG)
                assert await other.text() == sent
            assert feed.subscribers == 2
            feed.clock.pass_by(16)
            await until(lambda: feed.subscribers == 1)
            sent = feed.publish()
            assert await other.text() == sent
            assert await deaf.leftovers() < 40 * len(BIG) // 2
            await until(lambda: len(run.connections) == 1)
        slow = [r.getMessage() for r in caplog.records if "Slow" in r.getMessage()]
        assert len(slow) == 2
        assert "cut off" in slow[1]

    async def test_a_client_that_takes_nothing_and_has_ended_its_side_is_cut_off(self) -> None:
        async with serving(BroadcastProtocol) as (run, feed):
            deaf = await run.member(deaf=True)
            await until(lambda: feed.subscribers == 1)
            (connection,) = run.connections
            while connection.statistics().dropped < 1:
                feed.publish(BIG)
            deaf.sock.shutdown(socket.SHUT_WR)
            await until(connection._transport.is_closing)
            feed.clock.pass_by(16)
            await until(lambda: not run.connections)
            assert feed.subscribers == 0

    async def test_what_a_client_says_is_ignored(self, ws: type[asyncio.Protocol]) -> None:
        async with serving(ws) as (run, feed):
            client = await run.member()
            for opcode in (Opcode.TEXT, Opcode.BINARY):
                await client.say(opcode, b"hello")
                await client.say(opcode, b"x" * InboundBudget.MESSAGE_BYTES)
            await client.pong(b"still there?")
            sent = feed.publish()
            assert await client.text() == sent

    async def test_what_a_client_says_may_be_compressed_where_that_was_agreed(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with (
            serving(ws) as (run, feed),
            connect(run.url + PATH, extensions=[ClientPerMessageDeflateFactory()]) as client,
        ):
            await until(lambda: feed.subscribers == 1)
            await client.send("hello " * 50)
            await (await client.ping())
            sent = feed.publish()
            async with asyncio.timeout(DEADLINE):
                assert await client.recv() == sent

    async def test_a_talkative_client_is_told_so(self, ws: type[asyncio.Protocol]) -> None:
        async with serving(ws) as (run, feed):
            client = await run.member()
            await client.send(client_frame(Opcode.TEXT, b"x") * (InboundBudget.MESSAGES + 1))
            assert await client.farewell() == Close(1008, "too many messages")
            await until(lambda: not feed.subscribers)

    async def test_a_message_too_big_ends_the_connection(self, ws: type[asyncio.Protocol]) -> None:
        async with serving(ws) as (run, feed):
            client = await run.member()
            await client.say(Opcode.BINARY, b"x" * (InboundBudget.MESSAGE_BYTES + 1))
            assert (await client.farewell()).code == 1009
            await until(lambda: not feed.subscribers)

    async def test_an_unmasked_frame_ends_the_connection(self, ws: type[asyncio.Protocol]) -> None:
        async with serving(ws) as (run, feed):
            client = await run.member()
            await client.send(client_frame(Opcode.TEXT, b"x", mask=False))
            assert (await client.farewell()).code == 1002
            await until(lambda: not feed.subscribers)

    async def test_a_client_that_says_goodbye_is_let_go(
        self, ws: type[asyncio.Protocol], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "hub")
        async with serving(ws) as (run, feed):
            client = await run.member()
            await until(lambda: feed.subscribers)
            await client.say(Opcode.CLOSE, Close(1001, "tab closed").serialize())
            assert await client.farewell() == Close(1001, "tab closed")
            client.sock.close()
            await until(lambda: not feed.subscribers and not run.connections)
        assert [r.getMessage() for r in caplog.records if r.name == "hub"] == [
            "Public WS client connected. Total: 1",
            "Public WS client disconnected. Total: 0",
        ]

    async def test_a_client_that_vanishes_is_forgotten(self, ws: type[asyncio.Protocol]) -> None:
        async with serving(ws) as (run, feed):
            client, other = await run.member(), await run.member()
            await until(lambda: feed.subscribers == 2)
            client.break_off()
            await until(lambda: feed.subscribers == 1 and len(run.connections) == 1)
            sent = feed.publish()
            assert await other.text() == sent

    async def test_a_hub_that_stops_says_so(self, ws: type[asyncio.Protocol]) -> None:
        async with serving(ws) as (run, feed):
            client = await run.member()
            await until(lambda: feed.subscribers)
            await feed.hub.stop()
            assert await client.farewell() == Close(1001, "hub stops serving")


class TestServerStop:
    async def test_every_client_is_told_to_come_back(self, ws: type[asyncio.Protocol]) -> None:
        async with stopping(ws) as (run, feed, stop):
            clients = [await run.member() for _ in range(50)]
            await until(lambda: feed.subscribers == 50)
            stop.begin()
            codes = [(await client.farewell()).code for client in clients]
            assert codes == [1012] * 50
            run.close()
            await stop.end()
            assert feed.subscribers == 0

    async def test_a_client_that_does_not_hang_up_holds_it_up_for_a_moment_only(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with stopping(ws) as (run, feed, stop):
            client = await run.member()
            await until(lambda: feed.subscribers)
            began = time.monotonic()
            stop.begin()
            await stop.end()
            assert time.monotonic() - began < 4
            assert (await client.farewell()).code == 1012

    async def test_a_client_that_is_just_leaving_does_not_disturb_it(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with stopping(ws) as (run, feed, stop):
            leaver, other = await run.member(), await run.member()
            await until(lambda: feed.subscribers == 2)
            await leaver.say(Opcode.CLOSE)
            assert (await leaver.frame()).opcode is Opcode.CLOSE
            stop.begin()
            assert (await other.farewell()).code == 1012
            run.close()
            await stop.end()

    async def test_a_handshake_that_was_never_answered_does_not_disturb_it(self) -> None:
        async with stopping(BroadcastProtocol) as (run, feed, stop):
            odd, other = await run.client(), await run.member()
            await until(lambda: feed.subscribers)
            await odd.request(more="Content-Length: 3\r\n")
            for word in (b"1", b"2", b"3"):  # by then the odd request has been read
                await other.pong(word)
            stop.begin()
            assert (await other.farewell()).code == 1012
            run.close()
            await stop.end()


class Stop:
    """A server that is about to be stopped."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task

    def begin(self) -> None:
        self._server.should_exit = True

    async def end(self) -> None:
        """Wait until the server has stopped; raise what it has raised."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait((self._task,))
        self._task.result()


@asynccontextmanager
async def stopping(ws: type[asyncio.Protocol]) -> AsyncIterator[tuple[Running, Feed, Stop]]:
    feed = Feed()
    server = make_server(create_app(hub=feed.hub), ws)
    (listener,) = listen("127.0.0.1", 0, stall_timeout=20)
    run = Running(server, listener.getsockname())
    async with AsyncExitStack() as stack:
        stack.enter_context(listener)
        stack.callback(run.close)
        task = asyncio.create_task(server.serve([listener]))
        stack.push_async_callback(asyncio.wait, [task])

        await until(lambda: server.started)
        try:
            yield run, feed, Stop(server, task)
        finally:
            server.should_exit = True


# The other endpoints of a host application


async def echo(websocket: WebSocket) -> None:
    await websocket.accept(
        subprotocol=next(iter(websocket.scope["subprotocols"]), None),
        headers=[(b"x-greeting", b"hello"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
    )
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def goodbye(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(int(websocket.query_params["code"]), "so long")


async def denied(websocket: WebSocket) -> None:
    from starlette.responses import PlainTextResponse  # noqa: PLC0415

    response = PlainTextResponse("not today", 418, {"x-reason": "tea"})
    await websocket.send_denial_response(response)


async def refused(websocket: WebSocket) -> None:
    await websocket.close()


async def broken(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("oh dear")


class Listener:
    """An endpoint that notes how its client has left."""

    def __init__(self) -> None:
        self.code: asyncio.Future[tuple[int, str | None]] = asyncio.Future()

    async def serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as left:
            self.code.set_result((left.code, left.reason))


def host(feed: Feed, *more: WebSocketRoute) -> Starlette:
    return Starlette(
        routes=[
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/goodbye", goodbye),
            WebSocketRoute("/denied", denied),
            WebSocketRoute("/refused", refused),
            WebSocketRoute("/broken", broken),
            *more,
            Mount("/monitor", create_app(hub=feed.hub)),
        ]
    )


def offering(offer: str) -> str:
    return f"Sec-WebSocket-Extensions: {offer}\r\n"


def answered(head: str) -> list[str]:
    """Return the answers in the head of a response to what a client has offered."""
    lines = (line.partition(": ") for line in head.split("\r\n"))
    return [value for name, _, value in lines if name.lower() == "sec-websocket-extensions"]


AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class TestCompression:
    """What the hub's class does for clients that offer it, whatever uvicorn is told to do."""

    @pytest.mark.parametrize("deflate", [True, False])
    async def test_a_large_message_comes_compressed_and_a_small_one_as_it_is(
        self, *, deflate: bool
    ) -> None:
        async with serving(BroadcastProtocol, ws_per_message_deflate=deflate) as (run, feed):
            client, plain = await run.client(), await run.member()
            head = await client.join(more=offering("permessage-deflate; client_max_window_bits"))
            assert answered(head) == [AGREED]
            await until(lambda: feed.subscribers == 2)
            for disk, first in ((45.3, b"\x81"), (BIG, b"\xc1")):
                sent = feed.publish(disk)
                assert await client.first_byte() == first
                received = await client.frame()
                data = bytes(received.data)
                assert (inflated(data) if disk is BIG else data).decode() == sent
                assert await plain.text() == sent
                assert len(data) < 1000

    async def test_a_client_of_a_library_reads_what_others_read(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with (
            serving(ws) as (run, feed),
            connect(run.url + PATH) as offering_it,
            connect(run.url + PATH, compression=None) as other,
        ):
            await until(lambda: feed.subscribers == 2)
            for disk in (45.3, BIG, 45.4, BIG[:600]):
                sent = feed.publish(disk)
                async with asyncio.timeout(DEADLINE):
                    assert await offering_it.recv() == await other.recv() == sent
            await offering_it.send("hello " * 50)
            await (await offering_it.ping())
            assert feed.subscribers == 2

    async def test_an_operator_may_turn_it_off(self) -> None:
        async with serving(BroadcastProtocol, compression=False) as (run, feed):
            client = await run.client()
            assert answered(await client.join(more=offering("permessage-deflate"))) == []
            await until(lambda: feed.subscribers == 1)
            sent = feed.publish(BIG)
            assert await client.text() == sent

    @pytest.mark.parametrize(
        "offer",
        ["", "nonsense", "permessage-deflate; server_max_window_bits=9", "a;=;", '"', "\xff"],
    )
    async def test_a_client_that_offers_what_cannot_be_is_served_without(self, offer: str) -> None:
        async with serving(BroadcastProtocol, ws_per_message_deflate=False) as (run, feed):
            client = await run.client()
            assert answered(await client.join(more=offering(offer))) == []
            await until(lambda: feed.subscribers == 1)
            sent = feed.publish(BIG)
            assert await client.text() == sent

    async def test_several_headers_are_one_list(self) -> None:
        async with serving(BroadcastProtocol) as (run, _):
            client = await run.client()
            head = await client.join(more=offering("another") + offering("permessage-deflate"))
            assert answered(head) == [AGREED]

    async def test_what_is_replayed_comes_as_it_is(self) -> None:
        async with serving(BroadcastProtocol) as (run, feed):
            past = [feed.publish(BIG) for _ in range(3)]
            client = await run.client()
            head = await client.join(PATH + "?history=60", offering("permessage-deflate"))
            assert answered(head) == [AGREED]
            for sent in past:
                assert await client.first_byte() == b"\x81"
                assert await client.text() == sent
            sent = feed.publish(BIG)
            assert await client.first_byte() == b"\xc1"
            assert inflated(bytes((await client.frame()).data)).decode() == sent

    async def test_a_bomb_ends_the_connection_and_harms_no_other(self) -> None:
        async with serving(BroadcastProtocol) as (run, feed):
            client, other = await run.client(), await run.member()
            await client.join(more=offering("permessage-deflate"))
            compressor = zlib.compressobj(wbits=-15)
            bomb = compressor.compress(bytes(3_000_000)) + compressor.flush(zlib.Z_SYNC_FLUSH)
            await client.send(client_frame(Opcode.TEXT, bomb[:-4], rsv1=True))
            assert await client.farewell() == Close(1009, "message too big")
            await until(lambda: feed.subscribers == 1)
            sent = feed.publish()
            assert await other.text() == sent


class TestHostEndpoints:
    """A host's own endpoints find the same server over both classes."""

    @pytest.mark.parametrize("deflate", [True, False])
    async def test_text_and_binary_come_back(
        self, ws: type[asyncio.Protocol], *, deflate: bool
    ) -> None:
        app = host(Feed())
        async with (
            running(app, ws, ws_per_message_deflate=deflate) as run,
            connect(run.url + "/echo", max_size=None) as client,
        ):
            for said in ("", "grüße", b"", b"\x00\xff", "x" * 65536, b"y" * (1 << 20)):
                await client.send(said)
                assert await client.recv() == said

    async def test_fragments_come_back_as_one_message(self, ws: type[asyncio.Protocol]) -> None:
        async with running(host(Feed()), ws) as run, connect(run.url + "/echo") as client:
            await client.send(["one ", "two ", "three"])
            assert await client.recv() == "one two three"

    async def test_a_subprotocol_and_headers_are_answered(self, ws: type[asyncio.Protocol]) -> None:
        async with running(host(Feed()), ws) as run:
            protocols = [Subprotocol("a.v1"), Subprotocol("b.v1")]
            async with connect(run.url + "/echo", subprotocols=protocols) as client:
                assert client.subprotocol == "a.v1"
                assert client.response is not None
                assert client.response.headers["x-greeting"] == "hello"
                assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]

    async def test_a_handshake_can_be_denied_with_a_page(self, ws: type[asyncio.Protocol]) -> None:
        async with running(host(Feed()), ws) as run:
            with pytest.raises(InvalidStatus) as caught:
                await connect(run.url + "/denied")
            response = caught.value.response
            assert (response.status_code, response.body) == (418, b"not today")
            assert response.headers["x-reason"] == "tea"

    async def test_a_handshake_can_be_refused(self, ws: type[asyncio.Protocol]) -> None:
        async with running(host(Feed()), ws) as run:
            with pytest.raises(InvalidStatus) as caught:
                await connect(run.url + "/refused")
            assert caught.value.response.status_code == 403

    @pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
    async def test_an_endpoint_s_own_close_code_arrives(
        self, ws: type[asyncio.Protocol], code: int
    ) -> None:
        async with (
            running(host(Feed()), ws) as run,
            connect(f"{run.url}/goodbye?code={code}") as client,
        ):
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd == Close(code, "so long")

    async def test_an_endpoint_that_breaks_ends_its_connection(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        async with running(host(Feed()), ws) as run, connect(run.url + "/broken") as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is None

    async def test_an_endpoint_hears_how_its_client_has_left(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        listener = Listener()
        async with running(host(Feed(), WebSocketRoute("/listen", listener.serve)), ws) as run:
            client = await run.client()
            await client.join("/listen")
            await client.say(Opcode.CLOSE, Close(4321, "bye").serialize())
            assert await asyncio.wait_for(listener.code, DEADLINE) == (4321, "bye")

    async def test_an_endpoint_hears_that_its_client_has_vanished(
        self, ws: type[asyncio.Protocol]
    ) -> None:
        listener = Listener()
        async with running(host(Feed(), WebSocketRoute("/listen", listener.serve)), ws) as run:
            client = await run.client()
            await client.join("/listen")
            client.break_off()
            assert await asyncio.wait_for(listener.code, DEADLINE) == (1005, "")

    async def test_the_feed_is_served_beside_them(self, ws: type[asyncio.Protocol]) -> None:
        feed = Feed()
        async with running(host(feed), ws) as run:
            client = await run.client()
            await client.join("/monitor" + PATH)
            await until(lambda: feed.subscribers)
            sent = feed.publish()
            assert await client.text() == sent

    @pytest.mark.parametrize(
        ("more", "status"),
        [
            pytest.param("Content-Length: 0\r\n", 101, id="no-body"),
            pytest.param(f"X-Long: {'x' * 5000}\r\n", 101, id="long"),
            pytest.param("X-Many: 1\r\n" * 100, 101, id="many"),
            pytest.param("X-Obs: caf\xe9\r\n", 101, id="latin-1"),
            pytest.param("Sec-WebSocket-Version: 12\r\n", 400, id="two-versions"),
        ],
    )
    async def test_an_odd_handshake_gets_the_same_answer(
        self, ws: type[asyncio.Protocol], more: str, status: int
    ) -> None:
        async with running(host(Feed()), ws) as run:
            client = await run.client()
            await client.request("/echo", more)
            assert (await client.head()).startswith(f"HTTP/1.1 {status} ")

    @pytest.mark.parametrize("method", ["POST", "HEAD"])
    async def test_another_method_is_not_allowed(
        self, ws: type[asyncio.Protocol], method: str
    ) -> None:
        async with running(host(Feed()), ws) as run:
            client = await run.client()
            request = REQUEST.format(path="/echo", more="").replace("GET", method, 1)
            await client.send(request.encode())
            assert (await client.head()).startswith("HTTP/1.1 405 ")


# Reading a request as the library does


def _library_request(data: bytes) -> Request:
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Request.parse(reader.read_line)
    try:
        next(parsing)
    except StopIteration as done:
        request: Request = done.value
        return request
    raise AssertionError("the request is not complete")


_token = st.text("!#$%&'*+-.^_`|~abcxyzABCXYZ019", min_size=1, max_size=12)
_name = st.one_of(
    _token,
    st.sampled_from(["host", "Upgrade", "Connection", "Sec-WebSocket-Protocol", "cookie"]),
    st.sampled_from(["Content-Length", "content-length", "Transfer-Encoding", "x-content-length"]),
)
_visible = st.integers(0x21, 0xFF).filter(lambda code: code != 0x7F).map(chr)
_value = st.one_of(
    st.just(""),
    st.just("0"),
    st.lists(st.one_of(_visible, st.sampled_from(" \t")), max_size=30).map("".join),
)
_target = st.text([chr(code) for code in range(0x21, 0x7F)], max_size=30).map("/{}".format)


def _rebuilt(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    """Write a request as uvicorn's HTTP protocols do."""
    lines = [f"{method} {target} HTTP/1.1\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    return "".join([*lines, "\r\n"]).encode("latin-1")


@given(
    st.sampled_from(["GET", "GET", "GET", "POST", "get"]),
    _target,
    st.lists(st.tuples(_name, _value), max_size=12),
)
@example("GET", "/", [("a", "\t b \t"), ("a", ":"), ("A", " HTTP/1.1")])
@example("GET", "/", [("cookie", "x\xa0\x85")])
@example("GET", "/", [("x", "y" * 5000)])
def test_a_request_is_read_as_the_library_reads_it_or_left_to_it(
    method: str, target: str, headers: list[tuple[str, str]]
) -> None:
    data = _rebuilt(method, target, headers)
    opening = read_opening(data)
    if opening is not None:
        request = opening.request()
        expected = _library_request(data)
        assert (request.path, request.method, request.protocol) == (
            expected.path,
            expected.method,
            expected.protocol,
        )
        assert list(request.headers.raw_items()) == list(expected.headers.raw_items())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_rebuilt("POST", "/", []), id="post"),
        pytest.param(_rebuilt("GET", "/", [("Content-Length", "3")]), id="body"),
        pytest.param(_rebuilt("GET", "/", [("transfer-encoding", "chunked")]), id="chunked"),
        pytest.param(_rebuilt("GET", "/", [("x", "y" * 5000)]), id="long"),
        pytest.param(_rebuilt("GET", "/caf\xe9", []), id="target-not-ascii"),
        pytest.param(_rebuilt("GET", "/", [])[:-2], id="cut-off"),
        pytest.param(_rebuilt("GET", "/", []) + b"\x88\x80....", id="followed-by-a-frame"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="version"),
        pytest.param(b"GET /\r\n\r\n", id="no-version"),
        pytest.param(_rebuilt("GET", "/a b", []), id="target-with-a-blank"),
        pytest.param(_rebuilt("GET", "", []), id="no-target"),
        pytest.param(_rebuilt("GET", "/", [("a b", "c")]), id="name-is-no-token"),
        pytest.param(_rebuilt("GET", "/", [("", "c")]), id="no-name"),
        pytest.param(b"GET / HTTP/1.1\r\nname\r\n\r\n", id="no-colon"),
        pytest.param(b"GET / HTTP/1.1\r\na\nb: c\r\n\r\n", id="bare-line-feed"),
    ],
)
def test_a_request_that_is_not_plain_is_left_to_the_library(data: bytes) -> None:
    assert read_opening(data) is None


@pytest.mark.parametrize("control", ["\x01", "\x1b", "\x7f"])
def test_a_control_character_that_h11_lets_through_is_left_to_the_library(control: str) -> None:
    assert read_opening(_rebuilt("GET", "/", [("x", f"a{control}b")])) is None


@pytest.fixture(autouse=True)
def _no_unhandled_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An exception in a callback or a protocol is only logged by asyncio."""
    yield
    records = caplog.get_records("call")
    errors = [r for r in records if r.name == "asyncio" and r.levelno >= logging.ERROR]
    assert [r.getMessage() for r in errors] == []
