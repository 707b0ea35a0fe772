"""Subscribers that send through ASGI: what the feed is on any server."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

import anyio
from starlette.types import Message, Receive, Send

from hub.errors import CloseReason
from hub.feed.subscriber import Observer, State, Subscriber, Ticket
from hub.feed.view import Frame, View
from hub.web.extensions import InboundBudget

__all__ = ["EventPump", "Pump", "WebSocketPump"]

_CLOSE_SECONDS: Final = 1.0
_COMMENT: Final = b":\n"


class Pump(Subscriber):
    """A subscriber that sends through ASGI.

    The application's task only listens. A task that sends exists while there is something to
    send, so that a client that waits costs little more than what its server keeps for it.
    """

    __slots__ = ("_context", "_scope", "_send", "_sender", "failure")

    def __init__(
        self, view: View, capacity: int, observer: Observer, *, ticket: Ticket, send: Send
    ) -> None:
        super().__init__(view, capacity, observer, ticket=ticket)
        self.failure: Exception | None = None
        """What the server has raised on sending, other than that the client is gone."""
        self._context = contextvars.copy_context()  # the application's, for the tasks that send
        self._scope = anyio.CancelScope()  # of listening; cancelled when the stream has ended
        self._send = send
        self._sender: asyncio.Task[None] | None = None  # while there is something to send

    @abstractmethod
    def _message(self, frame: Frame) -> Message:
        """Return the ASGI event that carries a frame."""

    @abstractmethod
    async def _listen(self, receive: Receive) -> None:
        """Swallow what the client says until the connection ends."""

    @abstractmethod
    async def _say_goodbye(self, receive: Receive, reason: CloseReason) -> None:
        """Tell the client why the stream ends."""

    async def run(self, receive: Receive) -> None:
        """Serve the connection until either side ends it."""
        try:
            with self._scope:
                await self._listen(receive)
        finally:
            self.end()
            await self._stop_sending()
        if self.close_reason is not None:
            with (
                anyio.move_on_after(_CLOSE_SECONDS, shield=True),
                contextlib.suppress(OSError, RuntimeError),  # it is closed already
            ):
                await self._say_goodbye(receive, self.close_reason)

    def _write(self, frame: Frame) -> bool:  # noqa: ARG002 # the sender takes it out of the queue
        if self._sender is not None:
            self._block()
        return False

    def _wake(self) -> None:
        if self._sender is None:
            self._start_sending()

    def _send_close(self, reason: CloseReason) -> None:  # noqa: ARG002 # said once it is torn away
        """See ``Subscriber``. Also tears it away from a send that does not end."""
        self._scope.cancel()

    def _start_sending(self, first: Message | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._sender = loop.create_task(self._forward(first), context=self._context)

    async def _stop_sending(self) -> None:
        sender = self._sender
        if sender is not None:
            sender.cancel()
            await asyncio.wait((sender,))

    async def _forward(self, first: Message | None) -> None:
        """Send ``first`` and all that is in the queue, or will be before that is empty."""
        try:
            if first is not None:
                await self._send(first)
            while (frame := self._next_frame()) is not None:
                await self._send(self._message(frame))
                self._flow()
        except OSError:  # the client is gone, as the ASGI specification has it
            self._scope.cancel()
        except Exception as error:  # servers differ in what they raise here
            self.failure = error
            self._scope.cancel()
        finally:
            self._sender = None

    def _next_frame(self) -> Frame | None:
        frame = self._dequeue()
        if frame is None:
            self._resume_replay()
            frame = self._dequeue()
        if frame is not None and self._state is State.REPLAYING:
            self._block()  # no offer is there to find that the client takes nothing
        return frame


class WebSocketPump(Pump):
    """A pump to a WebSocket that has been accepted."""

    __slots__ = ()

    def _message(self, frame: Frame) -> Message:
        return {"type": "websocket.send", "text": frame.text}

    async def _listen(self, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        budget = InboundBudget()
        while (message := await receive())["type"] != "websocket.disconnect":
            reason = budget.check(_size(message), loop.time())
            if reason is not None:
                self.close(reason)

    async def _say_goodbye(self, receive: Receive, reason: CloseReason) -> None:
        """Send a close frame and hear the client out, for a moment; the server ends it anyway."""
        await self._send({"type": "websocket.close", "code": reason.code, "reason": reason.phrase})
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
        ticket: Ticket,
        send: Send,
        abort: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(view, capacity, observer, ticket=ticket, send=send)
        self._abort = abort

    def _message(self, frame: Frame) -> Message:
        return {"type": "http.response.body", "body": frame.event, "more_body": True}

    def _send_probe(self) -> None:
        """See ``Subscriber``. A comment keeps proxies from taking silence for an end."""
        if self._sender is None:
            comment = {"type": "http.response.body", "body": _COMMENT, "more_body": True}
            self._start_sending(comment)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    async def _say_goodbye(self, receive: Receive, reason: CloseReason) -> None:  # noqa: ARG002
        """End the body; there is no place in it for a reason. A client that stalls is cut off."""
        if self._blocked and self._abort is not None:
            self._abort()
            await self._listen(receive)
            return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _size(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or b"" if text is None else text.encode())
