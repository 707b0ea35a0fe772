"""The uvicorn server that ``python -m hub`` runs, and its logging."""

from __future__ import annotations

import asyncio
import gc
import logging
import logging.config
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import anyio
import uvicorn

from hub.app import create_app
from hub.core import Hub
from hub.errors import Closure
from hub.pump import InboundBudget
from hub.request import FEED_PATH
from hub.server.protocol import BroadcastProtocol

__all__ = ["QueryFilter", "Server", "configure_logging", "serve"]

_logger = logging.getLogger("hub")

_GRACE_SECONDS: Final = 2
_COLLECT_AFTER: Final = (2000, 20, 100)
"""New objects until the youngest are looked through, and how often that is until the older are."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class QueryFilter(logging.Filter):
    """Cuts query strings out of uvicorn's lines, of requests and of handshakes alike."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record; it is always to be logged."""
        if record.name.startswith("uvicorn") and isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
            )
        return True


def configure_logging(level: str, *, access_log: bool) -> None:
    """Log to standard error, one line each, for the hub and for uvicorn.

    uvicorn logs every handshake as INFO beside what its access log holds. So without an access
    log its loggers begin at WARNING: nothing is formatted that nobody wants.
    """
    quiet = "WARNING" if level in {"debug", "info"} and not access_log else level.upper()
    levels = {"hub": level.upper(), "uvicorn": quiet}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"query": {"()": QueryFilter}},
            "formatters": {"line": {"format": "%(asctime)s %(levelname)-8s %(message)s"}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "filters": ["query"],
                    "formatter": "line",
                    "stream": sys.stderr,
                }
            },
            "loggers": {
                name: {"handlers": ["stderr"], "level": chosen, "propagate": False}
                for name, chosen in levels.items()
            },
        }
    )


class _Protocol(BroadcastProtocol):
    """The protocol of connections that come through sockets of ``hub.server.listener``."""

    inherits_options = True


class Server(uvicorn.Server):
    """uvicorn's server, but for four things.

    It says where it listens, though it was given open sockets; a signal to stop is obeyed and
    done with, rather than raised again afterwards, so that the exit status is 0; it does not look
    ten times a second whether there was one; and it tells the application, by ``dismiss``, when
    clients are to be sent away: answers that never end by themselves would otherwise hold it up.
    """

    def __init__(self, config: uvicorn.Config, dismiss: Callable[[], None]) -> None:
        super().__init__(config)
        self._dismiss = dismiss

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a SIGTERM or SIGINT; as that is soon done, a second one changes nothing."""
        loop = asyncio.get_running_loop()
        self._told = asyncio.Event()

        def tell(_number: int, _frame: FrameType | None) -> None:
            self.should_exit = True
            loop.call_soon_threadsafe(self._told.set)

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
            with anyio.move_on_after(1):
                await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, then every connection, within the time of grace."""
        _logger.info("Hub stopping")
        self._dismiss()
        await super().shutdown(sockets)
        _logger.info("Hub stopped")


def serve(hub: Hub, listeners: Sequence[socket.socket], *, access_log: bool) -> None:
    """Serve a hub on open sockets until SIGTERM or SIGINT; then close them all.

    For a process that does nothing else: it also sets the cycle collector to rest.
    """
    config = uvicorn.Config(
        create_app(hub=hub),
        log_config=None,
        access_log=access_log,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws=_Protocol,
        ws_max_size=InboundBudget.MESSAGE_BYTES,
        ws_per_message_deflate=False,
        server_header=False,
        proxy_headers=False,
    )
    _rest_the_collector()
    Server(config, lambda: hub.dismiss(Closure.RESTART)).run(sockets=list(listeners))


def _rest_the_collector() -> None:
    """Look for cycles less often, and never again among what has been imported.

    A frame makes none, but a handshake does: uvicorn's parsers refer to themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _url(scheme: str, listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
