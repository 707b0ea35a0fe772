"""Subscribers that send through ASGI: what the feed is on any server."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

import anyio
from starlette.types import Message, Receive, Send

from hub.errors import Closure
from hub.frame import Frame
from hub.subscriber import Observer, Outcome, Subscriber
from hub.view import View

__all__ = ["ABORT_EXTENSION", "EventPump", "InboundBudget", "Pump", "WebSocketPump"]

_logger = logging.getLogger("hub")

ABORT_EXTENSION: Final = "hub.abort"
"""Key in ``scope["extensions"]`` of HTTP requests under which a server may offer a function that
cuts the connection off, with all that its client has not taken."""

_CLOSE_SECONDS: Final = 1.0
_BURST: Final = 32
_COMMENT: Final = b":\n"


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


class Pump(Subscriber):
    """A subscriber that sends through ASGI.

    The application's task only listens. A task that sends exists while there is something to
    send, so that a client that waits costs little more than what its server keeps for it.
    """

    __slots__ = ("_context", "_scope", "_send", "_sender")

    def __init__(
        self, view: View, capacity: int, observer: Observer, *, name: object, send: Send
    ) -> None:
        super().__init__(view, capacity, observer, name=name)
        self._context = contextvars.copy_context()
        self._scope = anyio.CancelScope()
        self._send = send
        self._sender: asyncio.Task[None] | None = None

    @abstractmethod
    def _message(self, frame: Frame) -> Message:
        """Return the ASGI event that carries a frame."""

    @abstractmethod
    async def _listen(self, receive: Receive) -> None:
        """Swallow what the client says until the connection ends."""

    @abstractmethod
    async def _take_leave(self, receive: Receive, closure: Closure) -> None:
        """Tell the client why the stream ends."""

    def offer(self, frame: Frame) -> Outcome:
        """See ``Subscriber``."""
        if self.closure is not None:
            return Outcome.REFUSED
        if self._sender is not None:
            self._block()
            return self._hold(frame)
        outcome = self._hold(frame)
        self._pull()
        return outcome

    def close(self, closure: Closure) -> None:
        """See ``Subscriber``. Also tears it away from a send that does not end."""
        if self.closure is None:
            self.closure = closure
            self._scope.cancel()

    async def run(self, receive: Receive) -> None:
        """Serve the connection until either side ends it."""
        try:
            with self._scope:
                await self._listen(receive)
        finally:
            await self._stop_sending()
        if self.closure is not None:
            with (
                anyio.move_on_after(_CLOSE_SECONDS, shield=True),
                contextlib.suppress(OSError, RuntimeError),  # it is closed already
            ):
                await self._take_leave(receive, self.closure)

    async def _stop_sending(self) -> None:
        sender = self._sender
        if sender is not None:
            sender.cancel()
            await asyncio.wait((sender,))

    def _pull(self) -> None:
        self._start_sending()

    def _start_sending(self, first: Message | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._sender = loop.create_task(self._forward(first), context=self._context)

    async def _forward(self, first: Message | None) -> None:
        try:
            if first is not None:
                await self._send(first)
            if self._backlog is not None:
                await self._recall()
            while (frame := self._take()) is not None:
                await self._send(self._message(frame))
                self._flow()
        except OSError:  # the client is gone, as the ASGI specification has it
            self._scope.cancel()
        except Exception as error:  # servers differ in what they raise here
            _logger.error("Public metrics WebSocket error: %r", error)  # noqa: TRY400 # one line
            self._scope.cancel()
        finally:
            self._sender = None

    async def _recall(self) -> None:
        """Send the backlog, if need be until somebody notices that the client takes nothing."""
        sent = 0
        while self._backlog is not None and (frame := self._take()) is not None:
            self._block()
            await self._send(self._message(frame))
            self._flow()
            sent += 1
            if sent % _BURST == 0:
                await asyncio.sleep(0)  # a client that takes all at once is not the only one


class WebSocketPump(Pump):
    """A pump to a WebSocket that has been accepted."""

    __slots__ = ()

    def _message(self, frame: Frame) -> Message:
        return {"type": "websocket.send", "text": frame.text}

    async def _listen(self, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        budget = InboundBudget()
        while (message := await receive())["type"] != "websocket.disconnect":
            closure = budget.judge(_size(message), loop.time())
            if closure is not None:
                self.close(closure)

    async def _take_leave(self, receive: Receive, closure: Closure) -> None:
        """Send a close frame and hear the client out, for a moment; the server ends it anyway."""
        code, reason = int(closure), closure.phrase
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        while (await receive())["type"] != "websocket.disconnect":
            continue


class EventPump(Pump):
    """A pump of server-sent events into the body of an HTTP response that has begun.

    Args:
        abort: cuts the connection off, where the server lets an application do that.
    """

    __slots__ = ("_abort",)

    def __init__(
        self,
        view: View,
        capacity: int,
        observer: Observer,
        *,
        name: object,
        send: Send,
        abort: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(view, capacity, observer, name=name, send=send)
        self._abort = abort

    def _message(self, frame: Frame) -> Message:
        return {"type": "http.response.body", "body": frame.event, "more_body": True}

    def probe(self) -> None:
        """See ``Subscriber``. A comment keeps proxies from taking silence for an end."""
        if self._sender is None and self.closure is None:
            comment = {"type": "http.response.body", "body": _COMMENT, "more_body": True}
            self._start_sending(comment)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    async def _take_leave(self, receive: Receive, closure: Closure) -> None:  # noqa: ARG002 # HTTP
        """End the body; there is no place in it for a reason. Who takes nothing is cut off."""
        if self._blocked and self._abort is not None:
            self._abort()
            await self._listen(receive)
            return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _size(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or b"" if text is None else text.encode())
