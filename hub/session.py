"""The live feed's WebSocket endpoint: one ASGI connection from handshake to close."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable
from typing import Final, Protocol

import anyio
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from hub.core import Hub
from hub.errors import Closure, InvalidValue
from hub.frame import Frame
from hub.settings import Settings
from hub.subscriber import Observer, Outcome, Subscriber
from hub.view import View

__all__ = ["HANDOVER_EXTENSION", "Handover", "InboundBudget", "MetricsFeed", "peer_name"]

_logger = logging.getLogger("hub")

HANDOVER_EXTENSION: Final = "hub.handover"
"""Key in ``scope["extensions"]`` under which a server offers a ``Handover``."""

_CLOSE_SECONDS: Final = 1.0


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


class InboundBudget:
    """How much a client, who has nothing to say, may say: messages and their size."""

    MESSAGE_BYTES: Final = 4096
    MESSAGES: Final = 64
    SECONDS: Final = 1.0

    __slots__ = ("_count", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0

    def judge(self, size: int, now: float) -> Closure | None:
        """Count one message of ``size`` bytes at the monotonic time ``now``, in seconds.

        Returns the reason to end the connection, if there is one.
        """
        if size > self.MESSAGE_BYTES:
            return Closure.MESSAGE_TOO_BIG
        if now - self._since >= self.SECONDS:
            self._since, self._count = now, 0
        self._count += 1
        return Closure.TALKATIVE if self._count > self.MESSAGES else None


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
            view = self._hub.view(scope["query_string"])
        except InvalidValue as error:
            await _refuse(scope, receive, send, error)
            return
        self._hub.start()
        handover: Handover | None = scope.get("extensions", {}).get(HANDOVER_EXTENSION)
        if handover is None:
            await self._pump(view, scope, receive, send)
        else:
            await self._hand_over(view, handover, send)

    async def _hand_over(self, view: View, handover: Handover, send: Send) -> None:
        handover.prepare()
        await send({"type": "websocket.accept"})
        subscriber = handover.hand_over(view, self._hub.settings, self._hub.watch, self._on_left)
        if subscriber is not None:
            self._joined(subscriber)

    async def _pump(self, view: View, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        name = peer_name(scope.get("client"))
        pump = _Pump(view, self._hub.settings.queue, self._hub.watch, name=name, send=send)
        self._joined(pump)
        try:
            await pump.run(receive)
        finally:
            self._left(pump)

    def _joined(self, subscriber: Subscriber) -> None:
        self._total += 1
        _logger.info("Public WS client connected. Total: %d", self._total)
        self._hub.add(subscriber)

    def _left(self, subscriber: Subscriber) -> None:
        self._hub.remove(subscriber)
        self._total -= 1
        _logger.info("Public WS client disconnected. Total: %d", self._total)


class _Pump(Subscriber):
    """A subscriber that sends through ASGI.

    The application's task only listens. A task that sends exists while there is something to
    send, so that a client that waits costs little more than what its server keeps for it.
    """

    __slots__ = ("_context", "_scope", "_send", "_sender")

    def __init__(
        self, view: View, capacity: int, observer: Observer, *, name: str, send: Send
    ) -> None:
        super().__init__(view, capacity, observer, name=name)
        self._context = contextvars.copy_context()
        self._scope = anyio.CancelScope()
        self._send = send
        self._sender: asyncio.Task[None] | None = None

    def offer(self, frame: Frame) -> Outcome:
        """See ``Subscriber``."""
        if self.closure is not None:
            return Outcome.REFUSED
        if self._sender is not None:
            self._block()
            return self._hold(frame)
        outcome = self._hold(frame)
        loop = asyncio.get_running_loop()
        self._sender = loop.create_task(self._forward(), context=self._context)
        return outcome

    def close(self, closure: Closure) -> None:
        """See ``Subscriber``. Also tears it away from a send that does not end."""
        if self.closure is None:
            self.closure = closure
            self._scope.cancel()

    async def run(self, receive: Receive) -> None:
        """Swallow what the client says until either side ends the connection."""
        loop = asyncio.get_running_loop()
        budget = InboundBudget()
        try:
            with self._scope:
                while (message := await receive())["type"] != "websocket.disconnect":
                    closure = budget.judge(_size(message), loop.time())
                    if closure is not None:
                        self.close(closure)
        finally:
            await self._stop_sending()
        if self.closure is not None:
            await _close(receive, self._send, self.closure)

    async def _stop_sending(self) -> None:
        sender = self._sender
        if sender is not None:
            sender.cancel()
            await asyncio.wait((sender,))

    async def _forward(self) -> None:
        try:
            while (frame := self._take()) is not None:
                await self._send({"type": "websocket.send", "text": frame.text})
                self._flow()
        except OSError:  # the client is gone, as the ASGI specification has it
            self._scope.cancel()
        except Exception as error:  # servers differ in what they raise here
            _logger.error("Public metrics WebSocket error: %r", error)  # noqa: TRY400 # one line
            self._scope.cancel()
        finally:
            self._sender = None


def _size(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or b"" if text is None else text.encode())


async def _refuse(scope: Scope, receive: Receive, send: Send, error: InvalidValue) -> None:
    """Answer 400 before accepting, as HTTP where the server can, else as its bare 403."""
    with contextlib.suppress(OSError, RuntimeError):  # the client does not wait for an answer
        if "websocket.http.response" in scope.get("extensions", {}):
            body = {"error": str(error), "parameter": error.field}
            await JSONResponse(body, status_code=400)(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


async def _close(receive: Receive, send: Send, closure: Closure) -> None:
    """Send a close frame and hear the client out, for a moment; the server ends it anyway."""
    with (
        anyio.move_on_after(_CLOSE_SECONDS, shield=True),
        contextlib.suppress(OSError, RuntimeError),  # it is closed already
    ):
        await send({"type": "websocket.close", "code": int(closure), "reason": closure.phrase})
        while (await receive())["type"] != "websocket.disconnect":
            continue


def peer_name(address: tuple[str, int] | None) -> str:
    """Return a client's address as it is written in the log."""
    if not address:
        return "of unknown address"
    host, port, *_ = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
