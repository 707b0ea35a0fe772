"""The live feed's WebSocket endpoint: one ASGI connection from handshake to close."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

from starlette.types import Message, Receive, Scope, Send

from hub.admission import SUBPROTOCOL, Admission, Transport, Visit
from hub.core import Hub
from hub.pump import WebSocketPump
from hub.request import Request
from hub.settings import Settings
from hub.subscriber import Observer, Subscriber
from hub.view import View

__all__ = ["HANDOVER_EXTENSION", "Handover", "MetricsFeed"]

_logger = logging.getLogger("hub")

HANDOVER_EXTENSION: Final = "hub.handover"
"""Key in ``scope["extensions"]`` under which a server offers a ``Handover``."""


class Handover(Protocol):
    """A server's offer to take an accepted connection off the application's hands."""

    def prepare(self) -> None:
        """Make ready for it; to be called before the connection is accepted."""
        ...

    def hand_over(
        self,
        view: View,
        settings: Settings,
        observer: Observer,
        left: Callable[[Subscriber], None],
        name: object,
    ) -> Subscriber | None:
        """Turn the connection into a subscriber that writes to the transport by itself.

        The application then returns without another event. ``settings`` bound what a client
        that does not keep up may hold. ``left`` is called once, when the connection has ended,
        whoever ended it. ``name`` is the subscriber's. None means that the connection is
        gone already.
        """
        ...


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
        self._admission.knock(scope)
        if self._restricted:
            self._admission.authenticate(scope)
        request = self._hub.request(scope["query_string"], restricted=self._restricted)
        self._hub.admit(request.view)
        self._hub.start()
        visit = self._admission.enter(scope, Transport.WEBSOCKET)
        handover: Handover | None = scope.get("extensions", {}).get(HANDOVER_EXTENSION)
        if handover is None:
            await self._pump(request, visit, _accept(scope), receive, send)
        else:
            await self._hand_over(request, visit, handover, _accept(scope), send)

    async def _hand_over(
        self, request: Request, visit: Visit, handover: Handover, accept: Message, send: Send
    ) -> None:
        hub, subscriber = self._hub, None
        try:
            handover.prepare()
            await send(accept)
            subscriber = handover.hand_over(
                request.view, hub.settings, hub.watch, self._on_left, visit
            )
        finally:
            if subscriber is None:
                self._admission.leave(visit)
        if subscriber is not None:
            self._joined(subscriber, request)

    async def _pump(
        self, request: Request, visit: Visit, accept: Message, receive: Receive, send: Send
    ) -> None:
        hub = self._hub
        try:
            await send(accept)
        except BaseException:
            self._admission.leave(visit)
            raise
        pump = WebSocketPump(request.view, hub.settings.queue, hub.watch, name=visit, send=send)
        try:
            self._joined(pump, request)
            await pump.run(receive)
        finally:
            self._left(pump)

    def _joined(self, subscriber: Subscriber, request: Request) -> None:
        self._total += 1
        _logger.info("%s WS client connected. Total: %d", self._kind, self._total)
        self._hub.add(subscriber, history=request.history, since=request.since)

    def _left(self, subscriber: Subscriber) -> None:
        self._hub.remove(subscriber)
        self._admission.leave(cast("Visit", subscriber.name))
        self._total -= 1
        _logger.info("%s WS client disconnected. Total: %d", self._kind, self._total)


def _accept(scope: Scope) -> Message:
    """Return the event that accepts; a browser that asks for subprotocols has to be given one."""
    accept: Message = {"type": "websocket.accept"}
    if SUBPROTOCOL in scope.get("subprotocols", ()):
        accept["subprotocol"] = SUBPROTOCOL
    return accept
