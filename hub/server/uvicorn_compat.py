"""What the protocol classes lean on in uvicorn beyond the documented ``ws=`` and ``http=``.

Whether it holds is decided by ``hub.server.trial``, which goes through every point once. The tables
here say in the log which of them an installed uvicorn has changed, if the trial has failed.

Not listed is what asyncio prescribes (``connection_made``, ``connection_lost``), nor what would
come about without it, if later: ``transport`` and ``parser`` of the HTTP protocol.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

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
    "Base",
    "incompatibilities",
]  # fmt: skip

METHODS: Final = {
    # Makes the scope and then the task that runs the application; the task starts later.
    "handle_connect": ("self", "event"),
    # Feeds bytes to ``conn``, the parser; called by the HTTP protocol with the opening request.
    "data_received": ("self", "data"),
    # Closes ``transport`` once the application returns: by then it must be another one.
    "run_asgi": ("self",),
    # The application's; also answers a handshake that is not accepted.
    "send": ("self", "message"),
    # Called when the server stops; answers a handshake that is not answered yet.
    "shutdown": ("self",),
}

ATTRIBUTES: Final = frozenset(
    {
        "app_state",  # this and the next two go into the scope
        "asgi_version",
        "root_path",
        "client",  # address and port, of which the scope gets what stands here
        "close_sent",  # the connection has been refused or closed
        "conn",  # websockets' ServerProtocol
        "connections",  # the server's set, whose members it shuts down with ``shutdown()``
        "default_headers",  # of every answer
        "disconnected",  # the client has gone
        "handshake_complete",  # the opening handshake has been answered
        "handshake_initiated",  # the opening handshake has been read
        "logger",  # of its lines about handshakes
        "loop",
        "ping_interval",  # seconds; None for no keepalive
        "queue",  # the events that the application receives
        "read_paused",  # reading stopped until the application receives
        "response",  # the answer to the opening handshake, to be sent on accepting
        "scheme",  # ws or wss, of which the scope gets what stands here
        "scope",  # the application's
        "server",  # as ``client``
        "tasks",  # the server's set of those that run the application
        "transport",
        "writable",  # set while the transport takes more
    }
)


HTTP_METHODS: Final = {
    # Feeds bytes to the parser, which calls the next three; when it gives up, the last is called.
    "data_received": ("self", "data"),
    "on_header": ("self", "name", "value"),
    "on_headers_complete": ("self",),
    "on_message_complete": ("self",),
    "send_400_response": ("self", "msg"),
    # Says whether the request that is being read asks for a WebSocket.
    "_should_upgrade": ("self",),
    # Makes the WebSocket protocol and gives it the request.
    "handle_websocket_upgrade": ("self",),
    "on_response_complete": ("self",),
    # Called when the server stops; never aborts.
    "shutdown": ("self",),
}

HTTP_ATTRIBUTES: Final = frozenset(
    {
        "client",  # this and the next two are what the WebSocket protocol begins with
        "scheme",
        "server",
        "app_state",  # this and the next two are what a protocol is made with
        "config",
        "server_state",
        "connections",  # as above
        "cycle",  # the answer to the latest request
        "expect_100_continue",
        "flow",  # whether the transport takes more
        "headers",  # of the request that is being read
        "loop",
        "scope",  # of the request that is being read
        "url",
    }
)


CYCLE_ATTRIBUTES: Final = frozenset(
    {
        "disconnected",  # nothing that is sent goes anywhere any more
        "message_event",  # wakes the application that is receiving
        "response_complete",
        "response_started",
    }
)
"""Of the answer to one request."""


def incompatibilities(
    base: type = Base,
    http: type = HttpToolsProtocol,
    cycle: type = RequestResponseCycle,
) -> list[str]:
    """List the points in which the classes are not as declared here.

    That one differs does not mean that it does harm, and harm may come from what nothing here
    shows: this explains, it decides nothing.
    """
    return [
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
    """Say which methods are not as declared, and which attributes ``makers`` do not set."""
    for name, parameters in methods.items():
        method = getattr(base, name, None)
        if method is None or tuple(inspect.signature(method).parameters) != parameters:
            yield f"method {name}"
    made = {name for maker in makers for name in _assigned(getattr(base, maker, None))}
    for name in sorted(attributes.difference(made)):
        yield f"attribute {name}"


def _assigned(maker: object) -> Iterator[str]:
    """Yield the names of the attributes that a function of Python sets, of whatever object."""
    code = getattr(maker, "__code__", None)
    for instruction in dis.get_instructions(code) if code else ():
        if instruction.opname == "STORE_ATTR":
            yield str(instruction.argval)
