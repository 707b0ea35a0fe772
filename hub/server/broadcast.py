"""The WebSocket protocol class that operators name: the hub's own where that works."""

from __future__ import annotations

from typing import Any, Self, cast

from hub.server.protocol import TakeoverProtocol
from hub.server.trial import is_supported
from hub.server.uvicorn_compat import Base

__all__ = ["BroadcastProtocol"]


class BroadcastProtocol(TakeoverProtocol):
    """A complete WebSocket server protocol for uvicorn: ``--ws hub.server:BroadcastProtocol``.

    On a uvicorn that does not pass the trial, calling the class makes uvicorn's own protocol,
    with nothing of the hub's in its way: the feed is then served as on any other ASGI server.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401 # uvicorn's
        """Make the protocol of one connection."""
        if is_supported():
            return super().__new__(cls)
        return cast("Self", Base(*args, **kwargs))
