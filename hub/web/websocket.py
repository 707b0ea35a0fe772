"""The live feed's WebSocket endpoint: one ASGI connection from handshake to close."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from hub.access.admission import SUBPROTOCOL, Ticket, Transport
from hub.feed.hub import Hub
from hub.feed.query import FeedQuery
from hub.feed.subscriber import Subscriber
from hub.web.entry import Entry, Way
from hub.web.extensions import TAKEOVER_EXTENSION, Takeover
from hub.web.pump import WebSocketPump

__all__ = ["MetricsFeed"]

_logger = logging.getLogger("hub")


class MetricsFeed:
    """The endpoint as an ASGI application for WebSocket scopes; counts its clients for the log.

    Args:
        hub: whose feed it is.
        entry: lets clients in.
        total: given how many clients it has here, returns how many it has at all workers.
        restricted: whether it is the feed of all families, for clients that have a token.
    """

    def __init__(
        self, hub: Hub, entry: Entry, total: Callable[[int], int], *, restricted: bool = False
    ) -> None:
        self._hub = hub
        self._entry = entry
        self._way = Way.to_follow(Transport.WEBSOCKET, restricted=restricted)
        self._kind = "Authenticated" if restricted else "Public"
        self._clients = 0  # that are connected
        self._total = total
        self._on_left = self._left  # one bound method for all connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends, or until the server has taken it over.

        Raises:
            InvalidValue: the query asks for what the hub does not offer.
            Refused: the client may not come in; nothing has been sent yet.
        """
        await receive()  # the opening handshake
        query, ticket = self._entry.enter(scope, self._way)
        takeover: Takeover | None = scope.get("extensions", {}).get(TAKEOVER_EXTENSION)
        if takeover is None:
            await self._pump(query, ticket, _accept(scope), receive, send)
        else:
            await self._take_over(query, ticket, takeover, _accept(scope), send)

    async def _take_over(
        self, query: FeedQuery, ticket: Ticket, takeover: Takeover, accept: Message, send: Send
    ) -> None:
        hub, subscriber = self._hub, None
        try:
            takeover.prepare(compression=hub.settings.compression)
            await send(accept)
            subscriber = takeover.take_over(
                query.view, hub.settings, hub.watch, self._on_left, ticket
            )
        finally:
            if subscriber is None:
                ticket.release()
        if subscriber is not None:
            self._joined(subscriber, query)

    async def _pump(
        self, query: FeedQuery, ticket: Ticket, accept: Message, receive: Receive, send: Send
    ) -> None:
        hub = self._hub
        try:
            await send(accept)
        except BaseException:
            ticket.release()
            raise
        pump = WebSocketPump(query.view, hub.settings.queue, hub.watch, ticket=ticket, send=send)
        try:
            self._joined(pump, query)
            await pump.run(receive)
        finally:
            self._left(pump)
        if pump.failure is not None:
            _logger.error("%s metrics WebSocket error: %r", self._kind, pump.failure)

    def _joined(self, subscriber: Subscriber, query: FeedQuery) -> None:
        self._clients += 1
        total = self._total(self._clients)
        _logger.info("%s WS client connected. Total: %d", self._kind, total)
        self._hub.add(subscriber, history=query.history, since=query.since)

    def _left(self, subscriber: Subscriber) -> None:
        self._hub.remove(subscriber)
        subscriber.ticket.release()
        self._clients -= 1
        total = self._total(self._clients)
        _logger.info("%s WS client disconnected. Total: %d", self._kind, total)


def _accept(scope: Scope) -> Message:
    """Return the event that accepts; a browser that asks for subprotocols has to be given one."""
    accept: Message = {"type": "websocket.accept"}
    if SUBPROTOCOL in scope.get("subprotocols", ()):
        accept["subprotocol"] = SUBPROTOCOL
    return accept
