"""What the protocol classes lean on in uvicorn beyond the documented ``ws=`` and ``http=``.

All of it stands here. Where an installed uvicorn differs, the WebSocket class offers no takeover,
and the feed is served as on any other ASGI server: slower, but right. Its HTTP protocol is then
uvicorn's own, without the bounds of ours.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

try:
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol as Base
except ImportError:  # a uvicorn to come: whatever it offers instead, of which nothing is known
    from uvicorn.protocols.websockets.auto import (  # type: ignore[assignment] # for the same use
        AutoWebSocketsProtocol as Base,
    )

__all__ = [
    "ATTRIBUTES",
    "CYCLE_ATTRIBUTES",
    "HTTP_ATTRIBUTES",
    "HTTP_METHODS",
    "METHODS",
    "VERSIONS",
    "Base",
    "incompatibilities",
    "is_supported",
]  # fmt: skip

_logger = logging.getLogger("hub")

VERSIONS: Final = ("0.54.",)
"""The beginnings of the versions that the takeover has been tested with."""

METHODS: Final = {
    # Makes the scope and then the task that runs the application; the task starts later.
    "handle_connect": ("self", "event"),
    # Feeds bytes to ``conn``, the parser.
    "data_received": ("self", "data"),
    # Closes ``transport`` once the application returns: by then it must be another one.
    "run_asgi": ("self",),
}

ATTRIBUTES: Final = frozenset(
    {
        "close_sent",  # the connection has been refused or closed
        "conn",  # websockets' ServerProtocol
        "connections",  # the server's set, whose members it shuts down with ``shutdown()``
        "handshake_initiated",  # the opening handshake has been read
        "handshake_complete",  # the opening handshake has been answered
        "ping_interval",  # seconds; None for no keepalive
        "read_paused",  # reading stopped until the application receives
        "response",  # the answer to the opening handshake, to be sent on accepting
        "transport",
    }
)


HTTP_METHODS: Final = {
    "connection_made": ("self", "transport"),
    "connection_lost": ("self", "exc"),
    # Feeds bytes to the parser, which calls the next three; when it gives up, the last is called.
    "data_received": ("self", "data"),
    "on_header": ("self", "name", "value"),
    "on_headers_complete": ("self",),
    "on_message_complete": ("self",),
    "on_response_complete": ("self",),
    "send_400_response": ("self", "msg"),
    # Starts to answer a request, of which several may be under way.
    "_start_asgi_task": ("self", "cycle", "app"),
    # Called when the server stops; never aborts.
    "shutdown": ("self",),
}

HTTP_ATTRIBUTES: Final = frozenset(
    {
        "client",
        "connections",  # as above
        "flow",  # whether the transport takes more
        "headers",  # of the request that is being read
        "loop",
        "scope",  # of the request that is being read
        "pipeline",  # requests that wait until the one before has been answered
        "transport",
        "url",
    }
)


CYCLE_ATTRIBUTES: Final = frozenset(
    {
        "disconnected",  # nothing that is sent goes anywhere any more
        "message_event",  # wakes the application that is receiving
        "response_complete",
    }
)
"""Of the answer to one request."""


def incompatibilities(
    version: str = uvicorn.__version__,
    base: type = Base,
    http: type = HttpToolsProtocol,
    cycle: type = RequestResponseCycle,
) -> list[str]:
    """List what is not as expected; nothing means that the uvicorn_compat is sound."""
    found = [] if version.startswith(VERSIONS) else [f"version {version}"]
    return [
        *found,
        *_differences(base, METHODS, ATTRIBUTES, ("__init__", "handle_connect")),
        *_differences(http, HTTP_METHODS, HTTP_ATTRIBUTES, ("__init__", "on_message_begin")),
        *_differences(cycle, {}, CYCLE_ATTRIBUTES, ("__init__",)),
    ]


def _differences(
    base: type,
    methods: Mapping[str, tuple[str, ...]],
    attributes: frozenset[str],
    makers: Iterable[str],
) -> Iterator[str]:
    """Say which methods are not as expected, and which attributes ``makers`` do not set."""
    for name, parameters in methods.items():
        method = getattr(base, name, None)
        if method is None or tuple(inspect.signature(method).parameters) != parameters:
            yield f"method {name}"
    codes = [getattr(getattr(base, maker, None), "__code__", None) for maker in makers]
    made = {name for code in codes if code for name in code.co_names}
    for name in sorted(attributes.difference(made)):
        yield f"attribute {name}"


@functools.cache
def is_supported() -> bool:
    """Say whether connections may be taken over; warn, once, if not."""
    found = incompatibilities()
    if found:
        _logger.warning("uvicorn is not as known (%s): serving more slowly", ", ".join(found))
    return not found
