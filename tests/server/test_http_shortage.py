"""Memory that runs out while a client is let in leaves nothing behind, at whatever call it does."""

from __future__ import annotations

import gc
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hub.clock import SystemClock
from hub.feed.view import View
from hub.server.http_limits import HandshakeProtocol
from hub.server.protocol import TakeoverProtocol
from hub.server.waiting import Idle, Pending, Turns
from hub.settings import Settings
from tests.support.clients import handshake
from tests.support.servers import PATH
from tests.support.shortage import Shortage
from tests.support.transport import FakeTransport, Recorder, SteppedLoop

GET: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
PING: Final = b"\x89\x85\x00\x00\x00\x00hello"


class WebSocketProtocol(TakeoverProtocol):
    inherits_options = True


class Server:
    """What uvicorn keeps of its connections, with an application that takes all in."""

    def __init__(self) -> None:
        self.loop = SteppedLoop()
        self.state = ServerState()
        self.pending = Pending(SystemClock())
        self.turns = Turns()
        self.left: list[object] = []
        self.take_over: Callable[..., None] | None = None
        self.config = Config(
            self._app, log_config=None, ws=WebSocketProtocol, lifespan="off", interface="asgi3"
        )

    def protocol(self, base: type[HttpToolsProtocol] = HandshakeProtocol) -> HttpToolsProtocol:
        server = self

        class Protocol(base):  # type: ignore[misc, valid-type] # a class of a test's choice
            waiting = server.pending
            turns = server.turns
            idle = Idle()
            on_refused = staticmethod(lambda _reason, _peer: None)

        made: HttpToolsProtocol = Protocol(
            config=self.config, server_state=self.state, app_state={}, _loop=self.loop
        )
        return made

    def stop(self) -> None:
        def shut_down() -> None:
            for connection in list(self.state.connections):
                connection.shutdown()

        self.loop.do(shut_down)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 # ASGI's
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await receive()
        takeover = scope["extensions"].get("hub.takeover")
        if self.take_over is not None:
            takeover.prepare(compression=True)
            await send({"type": "websocket.accept"})
            self.take_over(takeover)
            return
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.loop.close()
    with warnings.catch_warnings():  # of what was not even begun for lack of memory
        warnings.simplefilter("ignore")
        gc.collect()


SEGMENTS: Final = {
    "a request": (GET,),
    "a pipeline": (GET * 3,),
    "a request with a target in absolute form": (
        b"GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    "nonsense": (b"\x00\r\n\r\n",),
    "a body": (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",),
    "a handshake": (handshake(PATH),),
    "a handshake that is not plain": (handshake(PATH, "X: " + "a" * 5000),),
    "a handshake in parts": (handshake(PATH)[:50], handshake(PATH)[50:]),
    "a handshake and frames": (handshake(PATH) + PING,),
    "a handshake that is refused": (handshake(PATH).replace(b"Version: 13", b"Version: 8"),),
    "a handshake behind a request": (GET, handshake(PATH)),
}


@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_wherever_memory_runs_out_nothing_is_left_behind(
    server: Server, segments: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    for number in itertools.count():
        caplog.clear()
        shortage = Shortage(number)
        transport = let_in(server, shortage, segments)
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) <= 2
        assert not [record for record in errors if record.name == "hub" and record.exc_info]
        alive = not transport.is_closing()
        server.stop()  # which must not raise
        for _ in range(3):
            server.loop.skip(11)
        assert transport.lost
        assert not server.state.connections
        assert not server.state.tasks
        assert not len(server.pending)
        if not shortage.struck:
            assert number > 5
            assert alive or transport.wire  # served, or told why not
            return


def let_in(
    server: Server,
    shortage: Shortage,
    segments: tuple[bytes, ...],
    base: type[HttpToolsProtocol] = HandshakeProtocol,
) -> FakeTransport:
    transport = FakeTransport(server.loop)
    protocol = server.protocol(base)
    transport.set_protocol(protocol)
    server.loop.do(lambda: shortage.during(protocol.connection_made, transport))
    for segment in segments:
        if transport.is_closing():
            break
        receive = transport.get_protocol().data_received
        server.loop.do(lambda: shortage.during(receive, segment))  # noqa: B023 # at once
    return transport


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_behind_uvicorn_s_own_protocol_its_end_is_not_disturbed(server: Server) -> None:
    """There a handover that fails between two calls is uvicorn's to forget, but not to stumble."""
    for number in itertools.count():
        shortage = Shortage(number)
        transport = FakeTransport(server.loop)
        protocol = server.protocol(HttpToolsProtocol)
        transport.set_protocol(protocol)
        server.loop.do(lambda: protocol.connection_made(transport))  # noqa: B023 # at once
        try:
            server.loop.do(lambda: shortage.during(protocol.data_received, handshake(PATH)))  # noqa: B023
        except Exception:  # the interpreter may make another one of it
            transport.abort()  # as event loops do
        server.stop()
        for _ in range(3):
            server.loop.skip(11)
        assert not server.state.connections
        assert not server.state.tasks
        if not shortage.struck:
            assert number > 50
            return


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_wherever_memory_runs_out_in_a_takeover_nothing_is_left_behind(server: Server) -> None:
    for number in itertools.count():
        shortage = Shortage(number)
        server.take_over = taking_over(server, shortage)
        transport = let_in(server, Shortage(1 << 30), (handshake(PATH),))
        failed = transport.is_closing()
        assert shortage.struck or not failed
        server.stop()
        for _ in range(3):
            server.loop.skip(11)
        assert transport.lost
        assert not server.state.connections
        assert not server.state.tasks
        assert len(server.left) == (0 if failed else 1)
        server.left.clear()
        if not shortage.struck:
            assert number > 5
            return


def taking_over(server: Server, shortage: Shortage) -> Callable[[Any], None]:
    def take_over(protocol: TakeoverProtocol) -> None:
        shortage.during(
            protocol.take_over, View(("cpu",)), Settings(), Recorder(), server.left.append, "a name"
        )

    return take_over
