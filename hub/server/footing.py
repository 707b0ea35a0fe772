"""What the WebSocket protocol class leans on in uvicorn beyond the documented ``ws=`` contract.

All of it stands here. Where an installed uvicorn differs, the class offers no handover, and the
feed is served as on any other ASGI server: slower, but right.
"""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Final

import uvicorn

try:
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol as Base
except ImportError:  # a uvicorn to come: whatever it offers instead, of which nothing is known
    from uvicorn.protocols.websockets.auto import (  # type: ignore[assignment] # for the same use
        AutoWebSocketsProtocol as Base,
    )

__all__ = ["ATTRIBUTES", "METHODS", "VERSIONS", "Base", "is_sound", "survey"]

_logger = logging.getLogger("hub")

VERSIONS: Final = ("0.54.",)
"""The beginnings of the versions that the handover has been tested with."""

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


def survey(version: str = uvicorn.__version__, base: type = Base) -> list[str]:
    """List what is not as expected; nothing means that the footing is sound."""
    found = [] if version.startswith(VERSIONS) else [f"version {version}"]
    for name, parameters in METHODS.items():
        method = getattr(base, name, None)
        if method is None or tuple(inspect.signature(method).parameters) != parameters:
            found.append(f"method {name}")
    makers = [getattr(base, name, None) for name in ("__init__", "handle_connect")]
    codes = [getattr(maker, "__code__", None) for maker in makers]
    made = {name for code in codes if code for name in code.co_names}
    missing = ATTRIBUTES.difference(made)
    return found + [f"attribute {name}" for name in sorted(missing)]


@functools.cache
def is_sound() -> bool:
    """Say whether connections may be taken over; warn, once, if not."""
    found = survey()
    if found:
        _logger.warning("uvicorn is not as known (%s): serving more slowly", ", ".join(found))
    return not found
