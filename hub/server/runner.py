"""The uvicorn server that ``python -m hub`` runs."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import anyio
import uvicorn

from hub.access.address import peer_name
from hub.access.admission import Admission
from hub.access.places import descriptor_limit
from hub.errors import CloseReason, RefusalReason
from hub.feed.hub import Hub
from hub.feed.query import FEED_PATH
from hub.server.broadcast import BroadcastProtocol
from hub.server.http_limits import HandshakeProtocol
from hub.server.trial import is_supported
from hub.server.waiting import Idle, Pending, Turns
from hub.web.app import create_app
from hub.web.extensions import InboundBudget

__all__ = [
    "Duties",
    "Server",
    "ServerOptions",
    "announce",
    "make_server",
    "serve",
    "tune_process",
]

_logger = logging.getLogger("hub")

_GRACE_SECONDS: Final = 2
_HANDSHAKE_SECONDS: Final = 1
_HANDSHAKE_TURNS: Final = 20
"""Turns of the event loop within which a request that has come is let in or refused."""

_SPARED: Final = 64
"""Descriptors that no connection may take: they are the sampler's."""

_COLLECT_AFTER: Final = (2000, 10, 10)
"""New objects until the youngest are looked through, and how often that is until the older are."""

_SWITCH_SECONDS: Final = 0.0005
"""How long the event loop may keep the interpreter from the sampler, which asks for it again after
each of its hundred or so calls into the system."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def _nothing_to_prepare() -> None:
    pass


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Duties:
    """What a server does beside serving.

    Attributes:
        prepare: called before it accepts connections, which then wait.
        started: called when it does.
        every_second: called about that often.
    """

    prepare: Callable[[], Awaitable[None]] = _nothing_to_prepare
    started: Callable[[], None] = _nothing
    every_second: Callable[[], None] = _nothing


class Server(uvicorn.Server):
    """uvicorn's server, but for six things.

    It begins to accept only when all is prepared; a signal to stop is obeyed and done with, rather
    than raised again afterwards, so that the exit status is 0; it does not look ten times a second
    whether there was one; it cuts off who does not get to the point; before it stops it lets the
    application send its clients away: answers that never end by themselves would otherwise hold it
    up; and its listeners may be left to another process.

    Args:
        config: uvicorn's.
        pending: connections that have yet to say what they want.
        drain: sends the clients away, and takes as long as that is meant to take.
        duties: what else is to be done.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        pending: Pending,
        drain: Callable[[], Awaitable[None]],
        duties: Duties,
    ) -> None:
        super().__init__(config)
        self._pending = pending
        self._drain = drain
        self._duties = duties
        self._is_relieved = False  # whether another process accepts in its place

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a SIGTERM or SIGINT; a second one spares whatever time there is to be taken."""
        loop = asyncio.get_running_loop()
        self._stop_signal = asyncio.Event()

        def tell(_number: int, _frame: FrameType | None) -> None:
            self.should_exit = True
            loop.call_soon_threadsafe(self._stop_signal.set)

        previous = {number: signal.signal(number, tell) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, unless a signal to stop comes before all is prepared."""
        await self._unless_stopped(self._duties.prepare)
        if not self.should_exit:
            await super().startup(sockets)
            self._duties.started()

    async def main_loop(self) -> None:
        """Keep the date header's time until told to stop, at a tenth of uvicorn's wake-ups."""
        while not await self.on_tick(0):
            self._pending.sweep()
            self._duties.every_second()
            with anyio.move_on_after(1):
                await self._stop_signal.wait()
        self._stop_signal.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send the clients away, then close the listeners and all that is left.

        While clients are sent away the listeners stay open, so that callers are told that the
        hub is not ready, unless another process accepts in its place. The rest is done within the
        time of grace.
        """
        _logger.info("Hub stopping")
        if self._is_relieved:
            await self._finish_handshakes()
        await self._unless_stopped(self._drain)
        await super().shutdown(sockets)
        _logger.info("Hub stopped")

    def retire(self) -> None:
        """Stop, but leave the listeners to another process: no client is refused meanwhile."""
        for server in self.servers:
            server.close()
        self._is_relieved = True
        self.stop()

    def stop(self) -> None:
        """Stop as after a signal; a second time, without further ado."""
        self.should_exit = True
        self._stop_signal.set()

    async def _finish_handshakes(self) -> None:
        """Let those in whose connection was accepted before, if they are not too slow."""
        quiet = 0  # turns of the event loop in which no client owed a request
        with anyio.move_on_after(_HANDSHAKE_SECONDS):
            while quiet < _HANDSHAKE_TURNS:
                quiet = 0 if len(self._pending) else quiet + 1
                await anyio.sleep(0.001)

    async def _unless_stopped(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do something until it is done, or until a further signal to stop."""

        async def wait() -> None:
            await self._stop_signal.wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await do()
            group.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a hub is served.

    Attributes:
        access_log: whether to log every request and handshake.
        drain_seconds: over how long clients are sent away at the end.
        trusted_proxies: addresses and networks from which ``X-Forwarded-For`` is believed.
    """

    access_log: bool = False
    drain_seconds: float = 0.0
    trusted_proxies: Sequence[str] = ()


def serve(hub: Hub, listeners: Sequence[socket.socket], options: ServerOptions) -> None:
    """Serve a hub on open sockets until SIGTERM or SIGINT; then close them all.

    For a process that does nothing else: it also sets the cycle collector to rest, and threads to
    take turns more often.

    Args:
        hub: to be served.
        listeners: sockets of ``hub.server.listener``.
        options: how.
    """
    duties = Duties(started=lambda: announce(listeners))
    tune_process()
    make_server(hub, create_app(hub=hub), options, duties).run(sockets=list(listeners))


def announce(listeners: Iterable[socket.socket]) -> None:
    """Say where the hub is to be had."""
    for listener in listeners:
        _logger.info("Hub running on %s (Press CTRL+C to quit)", _url("http", listener))
        _logger.info("The feed is at %s%s", _url("ws", listener), FEED_PATH)


def make_server(hub: Hub, app: Any, options: ServerOptions, duties: Duties) -> Server:  # noqa: ANN401 # a framework's
    """Make a server, to be run on open sockets.

    Args:
        hub: to be served.
        app: the hub's application, of ``create_app``.
        options: how.
        duties: what the server does beside.
    """
    pending = Pending(hub.clock)
    http, ws = _protocols(app.state.admission, pending)
    proxies = list(options.trusted_proxies)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=options.access_log,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        http=http,
        ws=ws,
        ws_max_size=InboundBudget.MESSAGE_BYTES,
        ws_per_message_deflate=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
    )

    async def drain() -> None:
        await hub.drain(CloseReason.RESTART, options.drain_seconds)

    return Server(config, pending=pending, drain=drain, duties=duties)


def _protocols(
    admission: Admission, pending: Pending
) -> tuple[type[asyncio.Protocol] | str, type[asyncio.Protocol]]:
    """Make the protocols of one server; uvicorn wants classes and gives them nothing of ours."""

    def refused(reason: RefusalReason, peer: Sequence[object] | None) -> None:
        admission.refused(reason, peer_name(peer))

    class HTTPProtocol(HandshakeProtocol):
        waiting = pending
        turns = Turns()
        idle = Idle()
        on_refused = staticmethod(refused)
        capacity = descriptor_limit(_SPARED)

    class WebSocketProtocol(BroadcastProtocol):
        inherits_options = True
        on_refused = staticmethod(refused)

    return HTTPProtocol if is_supported() else "httptools", WebSocketProtocol


def tune_process() -> None:
    """Set up a process that does nothing but serve, or sample.

    It looks for cycles less often, and never again among what has been imported: a frame makes none
    and a handshake hardly any, but what a crowd leaves has to go in time. Its threads take turns
    more often.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _url(scheme: str, listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
