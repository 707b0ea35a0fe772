"""The live feed's WebSocket endpoint: one ASGI connection from handshake to close."""

from __future__ import annotations

import logging
from typing import cast

from starlette.types import Message, Receive, Scope, Send

from hub.access.admission import SUBPROTOCOL, Admission, Ticket, Transport
from hub.feed.hub import Hub
from hub.feed.query import FeedQuery
from hub.feed.subscriber import Subscriber
from hub.web.extensions import TAKEOVER_EXTENSION, Takeover
from hub.web.pump import WebSocketPump

__all__ = ["MetricsFeed"]

_logger = logging.getLogger("hub")


class MetricsFeed:
    """The endpoint as an ASGI application for WebSocket scopes; counts its clients for the log.

    Args:
        hub: whose feed it is.
        admission: says who may come in.
        restricted: whether it is the feed of all families, for those who have a token.
    """

    def __init__(self, hub: Hub, admission: Admission, *, restricted: bool = False) -> None:
        self._hub = hub
        self._admission = admission
        self._restricted = restricted
        self._kind = "Authenticated" if restricted else "Public"
        self._total = 0
        self._on_left = self._left  # one bound method for all connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends, or until the server has taken it over.

        Raises:
            InvalidValue: the query asks for what the hub does not offer.
            Refused: the client may not come in; nothing has been sent yet.
        """
        await receive()  # the opening handshake
        self._admission.admit_attempt(scope)
        if self._restricted:
            self._admission.authenticate(scope)
        request = self._hub.request(scope["query_string"], restricted=self._restricted)
        self._hub.check_view_capacity(request.view)
        self._hub.start()
        ticket = self._admission.acquire(scope, Transport.WEBSOCKET)
        takeover: Takeover | None = scope.get("extensions", {}).get(TAKEOVER_EXTENSION)
        if takeover is None:
            await self._pump(request, ticket, _accept(scope), receive, send)
        else:
            await self._take_over(request, ticket, takeover, _accept(scope), send)

    async def _take_over(
        self, request: FeedQuery, ticket: Ticket, takeover: Takeover, accept: Message, send: Send
    ) -> None:
        hub, subscriber = self._hub, None
        try:
            takeover.prepare()
            await send(accept)
            subscriber = takeover.take_over(
                request.view, hub.settings, hub.watch, self._on_left, ticket
            )
        finally:
            if subscriber is None:
                self._admission.release(ticket)
        if subscriber is not None:
            self._joined(subscriber, request)

    async def _pump(
        self, request: FeedQuery, ticket: Ticket, accept: Message, receive: Receive, send: Send
    ) -> None:
        hub = self._hub
        try:
            await send(accept)
        except BaseException:
            self._admission.release(ticket)
            raise
        pump = WebSocketPump(request.view, hub.settings.queue, hub.watch, name=ticket, send=send)
        try:
            self._joined(pump, request)
            await pump.run(receive)
        finally:
            self._left(pump)

    def _joined(self, subscriber: Subscriber, request: FeedQuery) -> None:
        self._total += 1
        _logger.info("%s WS client connected. Total: %d", self._kind, self._total)
        self._hub.add(subscriber, history=request.history, since=request.since)

    def _left(self, subscriber: Subscriber) -> None:
        self._hub.remove(subscriber)
        self._admission.release(cast("Ticket", subscriber.name))
        self._total -= 1
        _logger.info("%s WS client disconnected. Total: %d", self._kind, self._total)


def _accept(scope: Scope) -> Message:
    """Return the event that accepts; a browser that asks for subprotocols has to be given one."""
    accept: Message = {"type": "websocket.accept"}
    if SUBPROTOCOL in scope.get("subprotocols", ()):
        accept["subprotocol"] = SUBPROTOCOL
    return accept
