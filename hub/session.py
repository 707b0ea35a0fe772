"""The live feed's WebSocket endpoint: one ASGI connection from handshake to close."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final, Protocol

from starlette.types import Receive, Scope, Send

from hub.core import Hub
from hub.errors import AtCapacity, InvalidValue
from hub.http import peer_name, refusal
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
    ) -> Subscriber | None:
        """Turn the connection into a subscriber that writes to the transport by itself.

        The application then returns without another event. ``settings`` bound what a client
        that does not keep up may hold. ``left`` is called once, when the connection has ended,
        whoever ended it. None means that the connection is gone already.
        """
        ...


class MetricsFeed:
    """The endpoint as an ASGI application for WebSocket scopes; counts its clients for the log."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._total = 0
        self._on_left = self._left  # one bound method for all connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends, or until the server has taken it over."""
        await receive()  # the opening handshake
        try:
            request = self._hub.request(scope["query_string"])
            self._hub.admit(request.view)
        except (InvalidValue, AtCapacity) as error:
            await _refuse(scope, receive, send, error)
            return
        self._hub.start()
        handover: Handover | None = scope.get("extensions", {}).get(HANDOVER_EXTENSION)
        if handover is None:
            await self._pump(request, scope, receive, send)
        else:
            await self._hand_over(request, handover, send)

    async def _hand_over(self, request: Request, handover: Handover, send: Send) -> None:
        handover.prepare()
        await send({"type": "websocket.accept"})
        hub = self._hub
        subscriber = handover.hand_over(request.view, hub.settings, hub.watch, self._on_left)
        if subscriber is not None:
            self._joined(subscriber, request)

    async def _pump(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        hub, name = self._hub, peer_name(scope.get("client"))
        pump = WebSocketPump(request.view, hub.settings.queue, hub.watch, name=name, send=send)
        self._joined(pump, request)
        try:
            await pump.run(receive)
        finally:
            self._left(pump)

    def _joined(self, subscriber: Subscriber, request: Request) -> None:
        self._total += 1
        _logger.info("Public WS client connected. Total: %d", self._total)
        self._hub.add(subscriber, history=request.history, since=request.since)

    def _left(self, subscriber: Subscriber) -> None:
        self._hub.remove(subscriber)
        self._total -= 1
        _logger.info("Public WS client disconnected. Total: %d", self._total)


async def _refuse(
    scope: Scope, receive: Receive, send: Send, error: InvalidValue | AtCapacity
) -> None:
    """Say no before accepting, as HTTP where the server can, else as its bare 403."""
    with contextlib.suppress(OSError, RuntimeError):  # the client does not wait for an answer
        if "websocket.http.response" in scope.get("extensions", {}):
            await refusal(error)(scope, receive, send)
        else:
            await send({"type": "websocket.close"})
