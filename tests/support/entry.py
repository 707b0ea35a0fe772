"""The server's HTTP side without sockets: connections whose bytes, turns and time a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from hub.errors import RefusalReason
from hub.server.http_limits import HandshakeProtocol
from hub.server.waiting import Idle, Pending, Turns
from tests.support.fakes import FakeClock
from tests.support.transport import FakeTransport, SteppedLoop

__all__ = ["Entry"]


class Entry:
    """Protocols at transports without sockets, and an application that answers when it may.

    Attributes:
        served: method and path of every request that has reached the application.
        turns_of_requests: the turn of the event loop in which each of them did.
        switched: opening requests as they were handed to the WebSocket protocol.
        left: how many answers the application has been told nobody waits for.
        refused: why clients were cut off.
        listens: whether the application asks for its client's next word before it answers.
    """

    def __init__(self) -> None:
        self.loop = SteppedLoop()
        self.clock = FakeClock()
        self.refused: list[RefusalReason] = []
        self.served: list[tuple[str, str]] = []
        self.scopes: list[dict[str, Any]] = []
        self.turns_of_requests: list[int] = []
        self.switched: list[bytes] = []
        self.left = 0
        self.listens = False
        self.pending = Pending(self.clock)
        self.turns = Turns()
        self.idle = Idle()
        self.state = ServerState()
        self._turn = 0
        self._open = asyncio.Event()
        self._open.set()
        self._begun = False
        self._config = Config(
            self._app, log_config=None, ws=self._successor(), lifespan="off", interface="asgi3"
        )

    def connect(self, capacity: int | None = None, address: str = "192.0.2.7") -> FakeTransport:
        """Let a client connect; return its transport."""
        transport = FakeTransport(self.loop)
        transport.extra["peername"] = (address, 4711)
        protocol = self.protocol(capacity)
        transport.set_protocol(protocol)
        self.loop.do(lambda: protocol.connection_made(transport))
        return transport

    def protocol(self, capacity: int | None = None) -> HandshakeProtocol:
        entry = self

        class Protocol(HandshakeProtocol):
            waiting = entry.pending
            turns = entry.turns
            idle = entry.idle
            on_refused = staticmethod(lambda reason, _peer: entry.refused.append(reason))

        Protocol.capacity = capacity
        return Protocol(config=self._config, server_state=self.state, app_state={}, _loop=self.loop)

    def hold(self, *, begun: bool = False) -> None:
        """Leave answers open from now on, before or after they have begun."""
        self._open.clear()
        self._begun = begun

    def release(self) -> None:
        """Complete the answers."""
        self.loop.do(self._open.set)

    def turn(self, times: int, begin: Callable[[], None] = lambda: None) -> None:
        """Do what there is to begin with; let the event loop turn, and count its turns."""

        async def count() -> None:
            begin()
            for _ in range(times):
                self._turn += 1
                await asyncio.sleep(0)

        self.loop.run_until_complete(count())

    def wait(self, seconds: float) -> None:
        """Let time pass, and those be cut off that have had theirs."""
        self.clock._now += seconds
        self.loop.do(self.pending.sweep)

    def close(self) -> None:
        for task in list(self.state.tasks):
            task.cancel()
        self.turn(3)
        self.loop.close()

    async def _app(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        self.served.append((scope["method"], scope["path"]))
        self.scopes.append(scope)
        self.turns_of_requests.append(self._turn)
        if self.listens:
            await receive()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self._open.is_set() or self._begun:
            await send(start)
        if not self._open.is_set():
            if self._begun:
                await send({"type": "http.response.body", "body": b"part", "more_body": True})
            if not await self._opened(receive):
                self.left += 1
                return
            if not self._begun:
                await send(start)
        await send({"type": "http.response.body", "body": b"done"})

    async def _opened(self, receive: Callable[..., Any]) -> bool:
        """Wait until answers may be completed, or until the client has left: False."""
        opened = asyncio.ensure_future(self._open.wait())
        gone = asyncio.ensure_future(self._gone(receive))
        try:
            await asyncio.wait((opened, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
            gone.cancel()
        return self._open.is_set()

    async def _gone(self, receive: Callable[..., Any]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    def _successor(self) -> type[asyncio.Protocol]:
        entry = self

        class Successor(asyncio.Protocol):
            """Takes what it is handed, and stays silent."""

            def __init__(
                self, config: object, server_state: ServerState, app_state: object
            ) -> None:
                del config, app_state
                self._connections: set[Any] = server_state.connections

            def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: ARG002
                self._connections.add(self)

            def data_received(self, data: bytes) -> None:
                entry.switched.append(data)

            def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
                self._connections.discard(self)

        return Successor
