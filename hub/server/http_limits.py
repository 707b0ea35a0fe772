"""uvicorn's HTTP protocol for strangers: whoever says too much, too little or nonsense is cut off.

A connection costs a descriptor and memory before the application has heard of it. So there is a
time in which a request's head has to be complete, and a size; pipelines are short; and when
descriptors run out, newcomers are told so while there are still some left for the sampler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from hub.clock import Clock
from hub.errors import RefusalReason
from hub.web.extensions import ABORT_EXTENSION

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["HandshakeProtocol", "Pending"]

_LINGER_SECONDS: Final = 0.5  # less than a stream takes for its last words


class Pending:
    """The connections that have yet to say what they want, and since when.

    They have so many seconds for it; nobody has a timer of its own.
    """

    SECONDS: Final = 5.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[HandshakeProtocol, float] = {}  # in order of time

    def __len__(self) -> int:
        return len(self._since)

    def add(self, connection: HandshakeProtocol) -> None:
        """Expect a request from now on."""
        self._since.pop(connection, None)
        self._since[connection] = self._clock.monotonic()

    def discard(self, connection: HandshakeProtocol) -> None:
        """Expect none any more."""
        self._since.pop(connection, None)

    def sweep(self) -> None:
        """Cut off all who have had their time."""
        horizon = self._clock.monotonic() - self.SECONDS
        overdue = []
        for connection, since in self._since.items():
            if since > horizon:
                break
            overdue.append(connection)
        for connection in overdue:
            del self._since[connection]
            connection.expire()


class HandshakeProtocol(HttpToolsProtocol):
    """Reads requests, of which opening handshakes are one kind, within bounds."""

    HEAD_BYTES: Final = 16 * 1024
    HEADERS: Final = 128  # as many as the opening handshake's own parser takes
    PIPELINE: Final = 8

    waiting: Pending
    """The server's."""

    on_refused: Callable[[RefusalReason, Sequence[object] | None], None]
    """Told of everybody who is cut off."""

    capacity: int | None = None
    """How many connections there may be in all."""

    _head = 0
    _verdict: RefusalReason | None = None
    _running: RequestResponseCycle | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: object) -> None:
        """Begin to wait for a request, unless there are too many connections already."""
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn's own narrowing
        if self.capacity is not None and len(self.connections) > self.capacity:
            self._refuse(RefusalReason.CAPACITY)
            return
        self.waiting.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.waiting.discard(self)
        self._disconnect()
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as long as it stays within bounds."""
        if self.transport.is_closing():
            return
        self._head += len(data)
        super().data_received(data)
        if self._head > self.HEAD_BYTES and not self.transport.is_closing():
            self._refuse(RefusalReason.TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one more header; many small ones take far more memory than their bytes."""
        if len(self.headers) == self.HEADERS:
            self._give_up(RefusalReason.TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application, unless the head was too big or the client is too hasty."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.HEAD_BYTES:
            self._give_up(RefusalReason.TOO_LARGE)
        if len(self.pipeline) >= self.PIPELINE:
            self._give_up(RefusalReason.RATE)
        self._head = -(1 << 62)  # what follows is a body, which nobody reads
        self.waiting.discard(self)
        extensions = cast("dict[str, object]", self.scope.setdefault("extensions", {}))
        extensions[ABORT_EXTENSION] = self.transport.abort
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on, and let go of the parser, which refers to this object."""
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment] # as uvicorn does at the end

    def _give_up(self, verdict: RefusalReason) -> NoReturn:
        """Have the parser give up, for this reason."""
        self._verdict = verdict
        raise ValueError(verdict.value)

    def on_message_complete(self) -> None:
        """Expect another head, if the client wants to keep the connection."""
        self._head = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self.waiting.add(self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 # uvicorn's
        """Answer what the parser has given up, with what it gave up for."""
        self._refuse(self._verdict or RefusalReason.MALFORMED)

    def expire(self) -> None:
        """Cut off a client that has had its time; one that has begun to speak is told.

        Whoever still takes the last answer may do so; the kernel gives up who takes nothing.
        """
        if self._head:
            self._refuse(RefusalReason.TIMEOUT)
        elif self.transport.get_write_buffer_size():
            self.transport.close()
        else:
            self._cut_off()

    def shutdown(self) -> None:
        """Finish what is under way because the server stops, but not at any client's leisure."""
        super().shutdown()
        self._deadline = self.loop.call_later(_LINGER_SECONDS, self._cut_off)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Remember which request is being answered; of a pipeline, uvicorn knows the last."""
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _disconnect(self) -> None:
        """Tell the application that nobody hears its answer any more."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
            self.flow.resume_writing()

    def _cut_off(self) -> None:
        self._disconnect()
        self.transport.abort()

    def _refuse(self, reason: RefusalReason) -> None:
        self.waiting.discard(self)
        self.on_refused(reason, self.client)
        retry = b"retry-after: 5\r\n" if reason.status in {429, 503} else b""
        headers = b"content-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[reason.status] + retry + headers)
        self._disconnect()
        self.transport.close()
