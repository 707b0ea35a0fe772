"""uvicorn's WebSocket protocol, which hands feed connections over to the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from hub.server import footing
from hub.server.connection import Connection
from hub.session import HANDOVER_EXTENSION
from hub.subscriber import Observer, Subscriber
from hub.view import View

__all__ = ["BroadcastProtocol"]


class BroadcastProtocol(WebSocketsSansIOProtocol):
    """A complete WebSocket server protocol for uvicorn: ``--ws hub.server:BroadcastProtocol``.

    For every application but the hub's it is uvicorn's own. The hub's endpoint finds an offer in
    its scope (see ``hub.session.Handover``) to turn the accepted connection into a subscriber
    that writes to the transport by itself.
    """

    _spoke_early = False

    def handle_connect(self, event: Request) -> None:
        """Start the application, with the offer in its scope."""
        super().handle_connect(event)
        if not self.close_sent and footing.is_sound():
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions[HANDOVER_EXTENSION] = self._hand_over

    def data_received(self, data: bytes) -> None:
        """Parse what the client says, and remember if it says anything before the handover."""
        self._spoke_early = self.handshake_initiated
        super().data_received(data)

    def _hand_over(
        self, view: View, capacity: int, observer: Observer, left: Callable[[Subscriber], None]
    ) -> Connection | None:
        transport = self.transport
        if transport.is_closing() or self.close_sent or not self.handshake_complete:
            return None
        self.stop_keepalive()
        self.connections.discard(self)
        self.transport = cast("asyncio.Transport", _HandedOver())
        connection = Connection(
            view,
            capacity,
            observer,
            transport=transport,
            connections=self.connections,
            left=left,
            parser=self.conn if self._spoke_early else None,
        )
        transport.set_protocol(connection)
        if self.read_paused:
            transport.resume_reading()
        return connection


class _HandedOver:
    """Stands in for a transport that has another protocol now; it can be closed, to no effect."""

    def close(self) -> None:
        """Leave the connection alone; uvicorn calls this when the application returns."""
