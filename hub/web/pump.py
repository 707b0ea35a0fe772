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

from hub.errors import CloseReason
from hub.feed.subscriber import Observer, Outcome, Subscriber
from hub.feed.view import Frame, View
from hub.web.extensions import InboundBudget

__all__ = ["EventPump", "Pump", "WebSocketPump"]

_logger = logging.getLogger("hub")

_CLOSE_SECONDS: Final = 1.0
_BURST: Final = 32
_COMMENT: Final = b":\n"


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
    async def _send_close(self, receive: Receive, close_reason: CloseReason) -> None:
        """Tell the client why the stream ends."""

    def offer(self, frame: Frame) -> Outcome:
        """See ``Subscriber``."""
        if self.close_reason is not None:
            return Outcome.REFUSED
        if self._sender is not None:
            self._block()
            return self._enqueue(frame)
        outcome = self._enqueue(frame)
        self._start_replay()
        return outcome

    def close(self, close_reason: CloseReason) -> None:
        """See ``Subscriber``. Also tears it away from a send that does not end."""
        if self.close_reason is None:
            self.close_reason = close_reason
            self._scope.cancel()

    async def run(self, receive: Receive) -> None:
        """Serve the connection until either side ends it."""
        try:
            with self._scope:
                await self._listen(receive)
        finally:
            await self._stop_sending()
        if self.close_reason is not None:
            with (
                anyio.move_on_after(_CLOSE_SECONDS, shield=True),
                contextlib.suppress(OSError, RuntimeError),  # it is closed already
            ):
                await self._send_close(receive, self.close_reason)

    async def _stop_sending(self) -> None:
        sender = self._sender
        if sender is not None:
            sender.cancel()
            await asyncio.wait((sender,))

    def _start_replay(self) -> None:
        self._start_sending()

    def _start_sending(self, first: Message | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._sender = loop.create_task(self._forward(first), context=self._context)

    async def _forward(self, first: Message | None) -> None:
        try:
            if first is not None:
                await self._send(first)
            if self._backlog is not None:
                await self._send_backlog()
            while (frame := self._dequeue()) is not None:
                await self._send(self._message(frame))
                self._flow()
        except OSError:  # the client is gone, as the ASGI specification has it
            self._scope.cancel()
        except Exception as error:  # servers differ in what they raise here
            _logger.error("Public metrics WebSocket error: %r", error)  # noqa: TRY400 # one line
            self._scope.cancel()
        finally:
            self._sender = None

    async def _send_backlog(self) -> None:
        """Send the backlog, if need be until somebody notices that the client takes nothing."""
        sent = 0
        while self._backlog is not None and (frame := self._dequeue()) is not None:
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
            close_reason = budget.check(_size(message), loop.time())
            if close_reason is not None:
                self.close(close_reason)

    async def _send_close(self, receive: Receive, close_reason: CloseReason) -> None:
        """Send a close frame and hear the client out, for a moment; the server ends it anyway."""
        code, reason = close_reason.code, close_reason.phrase
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
        if self._sender is None and self.close_reason is None:
            comment = {"type": "http.response.body", "body": _COMMENT, "more_body": True}
            self._start_sending(comment)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    async def _send_close(self, receive: Receive, close_reason: CloseReason) -> None:  # noqa: ARG002 # HTTP
        """End the body; there is no place in it for a reason. Who takes nothing is cut off."""
        if self._blocked and self._abort is not None:
            self._abort()
            await self._listen(receive)
            return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _size(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or b"" if text is None else text.encode())
