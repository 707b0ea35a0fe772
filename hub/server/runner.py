"""The uvicorn server that ``python -m hub`` runs."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

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

__all__ = ["Server", "serve"]

_logger = logging.getLogger("hub")

_GRACE_SECONDS: Final = 2
_SPARED: Final = 64
"""Descriptors that no connection may take: they are the sampler's."""

_COLLECT_AFTER: Final = (2000, 10, 10)
"""New objects until the youngest are looked through, and how often that is until the older are."""

_SWITCH_SECONDS: Final = 0.0005
"""How long the event loop may keep the interpreter from the sampler, which asks for it again after
each of its hundred or so calls into the system."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Server(uvicorn.Server):
    """uvicorn's server, but for five things.

    It says where it listens, though it was given open sockets; a signal to stop is obeyed and
    done with, rather than raised again afterwards, so that the exit status is 0; it does not look
    ten times a second whether there was one; it cuts off who does not get to the point; and
    before it stops it lets the application send its clients away: answers that never end by
    themselves would otherwise hold it up.

    Args:
        config: uvicorn's.
        pending: connections that have yet to say what they want.
        drain: sends the clients away, and takes as long as that is meant to take.
    """

    def __init__(
        self, config: uvicorn.Config, *, pending: Pending, drain: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._pending = pending
        self._drain = drain

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
        """Begin to accept connections, and say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            _logger.info("Hub running on %s (Press CTRL+C to quit)", _url("http", listener))
            _logger.info("The feed is at %s%s", _url("ws", listener), FEED_PATH)

    async def main_loop(self) -> None:
        """Keep the date header's time until told to stop, at a tenth of uvicorn's wake-ups."""
        while not await self.on_tick(0):
            self._pending.sweep()
            with anyio.move_on_after(1):
                await self._stop_signal.wait()
        self._stop_signal.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send the clients away, then close the listeners and all that is left.

        While clients are sent away the listeners stay open, so that whoever asks is told that the
        hub is not ready. The rest is done within the time of grace.
        """
        _logger.info("Hub stopping")
        async with anyio.create_task_group() as group:
            group.start_soon(self._skip_drain, group.cancel_scope)
            await self._drain()
            group.cancel_scope.cancel()
        await super().shutdown(sockets)
        _logger.info("Hub stopped")

    async def _skip_drain(self, draining: anyio.CancelScope) -> None:
        await self._stop_signal.wait()
        draining.cancel()


def serve(
    hub: Hub,
    listeners: Sequence[socket.socket],
    *,
    access_log: bool,
    drain_seconds: float = 0.0,
    trusted_proxies: Sequence[str] = (),
) -> None:
    """Serve a hub on open sockets until SIGTERM or SIGINT; then close them all.

    For a process that does nothing else: it also sets the cycle collector to rest, and threads to
    take turns more often.

    Args:
        hub: to be served.
        listeners: sockets of ``hub.server.listener``.
        access_log: whether to log every request and handshake.
        drain_seconds: over how long clients are sent away at the end.
        trusted_proxies: addresses and networks from which ``X-Forwarded-For`` is believed.
    """
    app = create_app(hub=hub)
    pending = Pending(hub.clock)
    http, ws = _protocols(app.state.admission, pending)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=access_log,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        http=http,
        ws=ws,
        ws_max_size=InboundBudget.MESSAGE_BYTES,
        ws_per_message_deflate=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
    )
    _tune_gc()
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = Server(
        config, pending=pending, drain=lambda: hub.drain(CloseReason.RESTART, drain_seconds)
    )
    server.run(sockets=list(listeners))


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


def _tune_gc() -> None:
    """Look for cycles less often, and never again among what has been imported.

    A frame makes none and a handshake hardly any, but what a crowd leaves has to go in time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _url(scheme: str, listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
