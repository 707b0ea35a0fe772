"""What a trial of the protocol classes consists of: a few connections, one after another.

Each point that ``hub.server.uvicorn_compat`` declares is used by one of them in such a way that it
shows if it is not as declared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

from uvicorn import Config
from uvicorn.server import ServerState
from websockets.frames import Close, Opcode

from hub.clock import SystemClock
from hub.errors import RefusalReason
from hub.feed.deflate import THRESHOLD
from hub.feed.liveness import EpisodeLog
from hub.feed.reader import HostTicket
from hub.feed.subscriber import Subscriber
from hub.feed.view import Frame, View
from hub.server.http_limits import HandshakeProtocol
from hub.server.protocol import TakeoverProtocol
from hub.server.trial_client import (
    CLIENT_ADDRESS,
    SERVER_ADDRESS,
    Mismatch,
    TrialClient,
    Witness,
    compare,
    frame_of_client,
    socket_pair,
    until,
)
from hub.server.waiting import Idle, Pending, Turns
from hub.settings import Settings
from hub.web.extensions import ABORT_EXTENSION, TAKEOVER_EXTENSION, Takeover

__all__ = ["Scenario"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_Application: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]
_OnRefused: TypeAlias = Callable[[RefusalReason, Sequence[object] | None], None]

_REQUEST: Final = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
_UPGRADE: Final = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_OFFER: Final = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
_HELLO: Final = b"\xf2\x48\xcd\xc9\xc9\x07\x00"  # Hello (RFC 7692, section 7.2.3.1)
_LONG_LINE: Final = b"Cookie: " + b"a" * 9000 + b"\r\n"  # only for a handshake's own parser
_LONG_HEAD: Final = b"GET / HTTP/1.1\r\nCookie: " + b"a" * HandshakeProtocol.HEAD_BYTES
_MANY_HEADERS: Final = b"A: b\r\n" * (HandshakeProtocol.HEADERS + 1)

_REFUSED: Final = (
    (b"nonsense\r\n\r\n", RefusalReason.MALFORMED),
    (_REQUEST % (b"/answer", _MANY_HEADERS), RefusalReason.TOO_LARGE),
    (_REQUEST % (b"/feed", _UPGRADE + _LONG_LINE), RefusalReason.TOO_LARGE),
)


class Scenario:
    """The connections, and the server and the application that they are made to.

    Args:
        witness: is told of every step, and of errors that the server would swallow.
    """

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._state = ServerState()
        self._pending = Pending(SystemClock())
        self._refused: list[tuple[RefusalReason, object]] = []
        self._transports: list[asyncio.Transport] = []
        self._scope: _Message = {}  # of the latest request
        self._subscriber: Subscriber | None = None
        self._left: list[Subscriber] = []
        self._go_on = asyncio.Event()  # for an application that is to answer late
        self._heard: list[str] = []  # what an application that waits has received

    async def play(self) -> None:
        """Go through all steps, and leave nothing open.

        Raises:
            Exception: whatever its kind, the first thing that is not as it has to be.
        """
        config = _configure(self._application, self._pending, self._on_refused)
        steps = {
            "handshake": self._follow,
            "early frame": self._follow_early,
            "early close": self._leave_early,
            "denial": self._be_denied,
            "request": self._request,
            "refusal": self._be_refused,
            "pipeline": self._pipeline,
            "stop": self._stop,
        }
        try:
            for self._witness.step, step in steps.items():
                await step(config)
        finally:
            for transport in self._transports:
                transport.abort()
            await asyncio.sleep(0)

    # The steps

    async def _follow(self, config: Config) -> None:
        """Join the feed, receive frames, plain and compressed, say something, ping, and leave."""
        async with self._connect(config) as client:
            client.send(_REQUEST % (b"/feed", _UPGRADE + _OFFER))
            await client.expect_head(101, b": permessage-deflate; server_no_context_takeover")
            self._witness.step = "takeover"
            await self._until(lambda: not self._state.tasks, "end of the application's task")
            subscriber = self._taken_over()
            self._witness.step = "frame"
            small, large = Frame(b'"trial"'), Frame(b"[%b0]" % (b"0," * THRESHOLD))
            subscriber.go_live()
            subscriber.offer(small)
            await client.expect(small.wire)
            self._witness.step = "compression"
            subscriber.offer(large)
            await client.expect(large.compressed)
            client.send(frame_of_client(Opcode.TEXT, _HELLO, compressed=True))
            self._witness.step = "ping"
            client.send(frame_of_client(Opcode.PING, b"?"))
            await client.expect_frame(Opcode.PONG, b"?")
            self._witness.step = "close"
            farewell = Close(1000, "").serialize()
            client.send(frame_of_client(Opcode.CLOSE, farewell))
            await client.expect_frame(Opcode.CLOSE, farewell)
            await client.expect_end()
        compare("what has left", self._left, [subscriber])

    def _taken_over(self) -> Subscriber:
        """Check the state after the takeover; return the subscriber."""
        subscriber, scope = self._subscriber, self._scope
        if subscriber is None:
            raise Mismatch("the connection was refused")
        compare("the server's connections", self._state.connections, {subscriber})
        compare("the offer afterwards", scope["extensions"].get(TAKEOVER_EXTENSION), None)
        found = (scope["scheme"], scope["server"], scope["client"])
        compare("the scope's origin", found, ("ws", SERVER_ADDRESS, CLIENT_ADDRESS))
        return subscriber

    async def _follow_early(self, config: Config) -> None:
        """Ping, and do not wait with the first bytes of it until the handshake is answered."""
        ping = frame_of_client(Opcode.PING, b"!")
        async with self._connect(config) as client:
            client.send(_REQUEST % (b"/feed/later", _UPGRADE))
            await self._until(lambda: self._scope.get("path") == "/feed/later", "request")
            client.send(ping[:3])
            for _ in range(3):  # in one of which it is received
                await asyncio.sleep(0)
            self._go_on.set()
            await client.expect_head(101)
            client.send(ping[3:])
            await client.expect_frame(Opcode.PONG, b"!")

    async def _leave_early(self, config: Config) -> None:
        """Close before the handshake is answered."""
        async with self._connect(config) as client:
            await self._ask_late(client)
            client.send(frame_of_client(Opcode.CLOSE, b""))
            await self._expect_refusal(client, RefusalReason.MALFORMED)
            self._go_on.set()

    async def _ask_late(self, client: TrialClient) -> None:
        """Begin a handshake that the application answers when it is told to go on."""
        self._go_on.clear()
        self._scope = {}
        client.send(_REQUEST % (b"/late", _UPGRADE))
        await self._until(lambda: self._scope, "request")

    async def _be_denied(self, config: Config) -> None:
        """Have a handshake answered with a page."""
        async with self._connect(config) as client:
            client.send(_REQUEST % (b"/denial", _UPGRADE))
            await client.expect_head(418)
            await client.expect_end()

    async def _request(self, config: Config) -> None:
        """Make two requests that together are too large, and then one that is so by itself."""
        async with self._connect(config) as client:
            for _ in range(2):
                client.send(_REQUEST % (b"/answer", _LONG_LINE))
                await client.expect_head(204)
            await self._until(lambda: len(self._pending) == 1, "time limit for the next request")
            client.send(_LONG_HEAD)
            await self._expect_refusal(client, RefusalReason.TOO_LARGE)

    async def _be_refused(self, config: Config) -> None:
        """Make requests that are none."""
        for request, reason in _REFUSED:
            async with self._connect(config) as client:
                client.send(request)
                await self._expect_refusal(client, reason)

    async def _pipeline(self, config: Config) -> None:
        """Make too many requests while the first is being answered."""
        async with self._connect(config) as client:
            client.send(_REQUEST % (b"/wait", b"Expect: 100-continue\r\n"))  # there is no body
            await self._until(lambda: self._heard, "request")
            client.send(_REQUEST % (b"/answer", b"") * (HandshakeProtocol.PIPELINE + 1))
            await self._expect_refusal(client, RefusalReason.RATE)
            await self._until(lambda: len(self._heard) == 2, "word of the disconnect")
        compare("what was received", self._heard, ["http.request", "http.disconnect"])

    async def _stop(self, config: Config) -> None:
        """Be connected when the server stops: idle, and with a handshake under way."""
        async with self._connect(config) as client:
            self._shut_down()
            await client.expect_end()
        async with self._connect(config) as client:
            await self._ask_late(client)
            self._shut_down()
            await client.expect_head(500)
            await client.expect_end()
            self._go_on.set()

    def _shut_down(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()

    async def _expect_refusal(self, client: TrialClient, reason: RefusalReason) -> None:
        await client.expect_head(reason.status)
        await client.expect_end()
        compare("the refusals that were told", self._refused, [(reason, CLIENT_ADDRESS)])
        self._refused.clear()

    # The server

    @asynccontextmanager
    async def _connect(self, config: Config) -> AsyncIterator[TrialClient]:
        """Make a connection; when it ends, see that the server forgets it."""
        ours, theirs = socket_pair()
        with ours:
            try:
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: config.http_protocol_class(  # type: ignore[call-arg] # uvicorn's
                        config=config, server_state=self._state, app_state={}
                    ),
                    theirs,
                )
            except BaseException:
                theirs.close()
                raise
            self._transports.append(transport)
            yield TrialClient(ours, self._witness)
        state = self._state
        await self._until(lambda: not state.connections and not state.tasks, "end of it")

    def _on_refused(self, reason: RefusalReason, peer: Sequence[object] | None) -> None:
        self._refused.append((reason, peer))

    async def _until(self, condition: Callable[[], object], what: str) -> None:
        await until(self._witness, condition, what)

    # The application

    async def _application(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        endpoints = {
            "/feed": self._take_over,
            "/feed/later": self._take_over_later,
            "/late": self._accept_late,
            "/denial": self._deny,
            "/answer": self._answer,
            "/wait": self._wait,
        }
        self._scope = scope
        try:
            await endpoints[scope["path"]](receive, send)
        except Exception as error:
            self._witness.note(error)
            raise

    async def _take_over(self, receive: _Receive, send: _Send) -> None:
        await receive()
        takeover: Takeover = self._scope["extensions"][TAKEOVER_EXTENSION]
        takeover.prepare(compression=True)
        await send({"type": "websocket.accept"})
        self._subscriber = takeover.take_over(
            View(()), Settings(), EpisodeLog(), self._left.append, HostTicket("trial")
        )

    async def _take_over_later(self, receive: _Receive, send: _Send) -> None:
        await self._go_on.wait()
        await self._take_over(receive, send)

    async def _accept_late(self, _receive: _Receive, send: _Send) -> None:
        await self._go_on.wait()
        with suppress(OSError):  # as there is for a client that is gone
            await send({"type": "websocket.accept"})
            raise Mismatch("a client that is gone was accepted")

    async def _deny(self, receive: _Receive, send: _Send) -> None:
        await receive()
        headers = [(b"content-length", b"0")]
        await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})

    async def _answer(self, _receive: _Receive, send: _Send) -> None:
        if not callable(self._scope["extensions"][ABORT_EXTENSION]):
            raise Mismatch("there is no way to cut a connection off")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def _wait(self, receive: _Receive, _send: _Send) -> None:
        for _ in range(2):
            self._heard.append((await receive())["type"])


def _configure(application: _Application, pending: Pending, refused: _OnRefused) -> Config:
    class HTTPProtocol(HandshakeProtocol):
        waiting = pending
        turns = Turns()
        idle = Idle()
        on_refused = staticmethod(refused)
        capacity = 64  # more than there are ever; without a number they are not counted

    class WebSocketProtocol(TakeoverProtocol):
        inherits_options = True
        on_refused = staticmethod(refused)

    config = Config(
        application,
        interface="asgi3",
        http=HTTPProtocol,
        ws=WebSocketProtocol,
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        ws_ping_interval=1e-6,  # at once, should the takeover not have declined it
    )
    config.load()
    return config
