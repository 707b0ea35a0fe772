"""Why a connection to a hub has ended, read from what the hub and the system say about it."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from hub.cli.watch.message import Value, read_object
from hub.errors import CloseReason

__all__ = ["Disconnection", "FeedRefused"]

_FINAL_STATUSES: Final = frozenset({400, 401, 403, 404})
"""Statuses of requests that are as wrong the next time."""

_FINAL_CODES: Final = frozenset(
    reason.code
    for reason in (
        CloseReason.NOT_TEXT,
        CloseReason.NOT_DEFLATE,
        CloseReason.TOO_MANY_MESSAGES,
        CloseReason.MESSAGE_TOO_BIG,
    )
)

_MAX_RETRY_SECONDS: Final = 3600.0
"""The longest ``Retry-After`` that is obeyed; a longer one is taken for a mistake."""


class FeedRefused(Exception):
    """The hub refuses, and will refuse the next time; the text is the hub's own."""


@dataclass(frozen=True, slots=True)
class Disconnection:
    """Why a connection has ended, or has not come about.

    Attributes:
        reason: partly in the server's own words, which may hold anything.
        seconds: for how long the hub asks not to be called again.
        parameter: the parameter of the request that the hub does not accept; empty if it is none.
        final: whether another attempt would end in the same way.
    """

    reason: str
    seconds: float = 0.0
    parameter: str = ""
    final: bool = False

    @classmethod
    def from_refusal(cls, response: Response) -> Disconnection:
        """Read why the hub, or a proxy before it, refuses the handshake."""
        try:
            body = read_object(bytes(response.body or b""))
        except ValueError:
            body = {}
        answer = f"the hub answers {response.status_code} {response.reason_phrase}"
        return cls(
            _text(body.get("error"), answer),
            seconds=_retry_seconds(response.headers.get_all("Retry-After")),
            parameter=_text(body.get("parameter"), ""),
            final=response.status_code in _FINAL_STATUSES,
        )

    @classmethod
    def from_close(cls, closed: ConnectionClosed) -> Disconnection:
        """Read why an open connection was closed, by the hub or by this side."""
        if closed.rcvd is None:
            return cls(f"given up: {closed.sent.reason}" if closed.sent else "connection lost")
        reason = closed.rcvd.reason or f"closed with {closed.rcvd.code}"
        return cls(reason, final=closed.rcvd.code in _FINAL_CODES)

    @classmethod
    def from_os_error(cls, error: OSError) -> Disconnection:
        """Read the system's own words, which the event loop's hide."""
        number = error.errno or 0
        if number > 0 and not isinstance(error, ssl.SSLError):  # whose numbers are its own
            return cls(os.strerror(number))
        return cls(error.strerror or str(error) or "no answer")


def _text(value: Value, default: str) -> str:
    return value if isinstance(value, str) else default


def _retry_seconds(values: list[str]) -> float:
    """Read a ``Retry-After`` in seconds; 0 for a date, for nonsense, and where there are many."""
    if len(values) == 1 and values[0].isascii() and values[0].isdigit():
        return min(float(values[0]), _MAX_RETRY_SECONDS)
    return 0.0
