"""The uvicorn server that ``python -m hub`` runs, and its logging."""

from __future__ import annotations

import logging
import logging.config
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from hub.server.protocol import BroadcastProtocol
from hub.session import InboundBudget

__all__ = ["AccessFilter", "Server", "configure_logging", "serve"]

_logger = logging.getLogger("hub")

_GRACE_SECONDS: Final = 2
_FEED: Final = "/api/system/metrics"


class AccessFilter(logging.Filter):
    """Cuts query strings out of uvicorn's lines; without an access log drops those of handshakes.

    uvicorn logs two lines per WebSocket handshake, one with the query, whatever its access log
    setting.
    """

    _HANDSHAKE: Final = ('%s - "WebSocket %s"', "connection open")

    def __init__(self, *, access_log: bool) -> None:
        super().__init__()
        self._access_log = access_log

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record; say whether it is to be logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
            )
        return self._access_log or not str(record.msg).startswith(self._HANDSHAKE)


def configure_logging(level: str, *, access_log: bool) -> None:
    """Log to standard error, one line each, for the hub and for uvicorn."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"access": {"()": AccessFilter, "access_log": access_log}},
            "formatters": {"line": {"format": "%(asctime)s %(levelname)-8s %(message)s"}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "filters": ["access"],
                    "formatter": "line",
                    "stream": sys.stderr,
                }
            },
            "loggers": {
                name: {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
                for name in ("hub", "uvicorn")
            },
        }
    )


class Server(uvicorn.Server):
    """uvicorn's server, but for two things.

    It says where it listens, though it was given open sockets; and a signal to stop is obeyed
    and done with, rather than raised again afterwards, so that the exit status is 0.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, and say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            _logger.info("Hub running on %s (Press CTRL+C to quit)", _url("http", listener))
            _logger.info("The feed is at %s%s", _url("ws", listener), _FEED)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at the first SIGTERM or SIGINT, and at once at the next."""
        signals = (signal.SIGTERM, signal.SIGINT)
        previous = {number: signal.signal(number, self._on_signal) for number in signals}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(app: ASGIApp, listeners: Sequence[socket.socket], *, access_log: bool) -> None:
    """Serve ``app`` on open sockets until SIGTERM or SIGINT; then close them all."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=access_log,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws=BroadcastProtocol,
        ws_max_size=InboundBudget.MESSAGE_BYTES,
        ws_per_message_deflate=False,
        server_header=False,
        proxy_headers=False,
    )
    Server(config).run(sockets=list(listeners))


def _url(scheme: str, listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
