"""uvicorn's HTTP protocol within bounds: a client that sends too much or nonsense is cut off.

A request's head has a size and a time in which it has to be complete, and nothing may follow it but
other requests, few, which wait unread until it has been answered. When descriptors run out, idle
connections go, and then newcomers are told so while there are still some left for the sampler.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from hub.access.address import network
from hub.errors import RefusalReason
from hub.server.http_target import split_target
from hub.server.waiting import Idle, Pending, Turns
from hub.web.extensions import ABORT_EXTENSION

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["HandshakeProtocol"]

_logger = logging.getLogger("hub")

_LINGER_SECONDS: Final = 0.5  # less than a stream takes for its last words
_END: Final = b"\r\n\r\n"
_VERSIONS: Final = ("1.0", "1.1")
_ZERO: Final = b"0 \t"


class HandshakeProtocol(HttpToolsProtocol):
    """Reads requests, of which opening handshakes are one kind, within bounds.

    The parser is given one head at a time: what has come behind it stays unread, but counted and
    timed, until the answer is complete. So there is one answer under way at any time, and a
    connection is never handed over to another protocol while there is one. No request has a body.
    """

    HEAD_BYTES: Final = 16 * 1024
    HEADERS: Final = 128  # as many as the opening handshake's own parser takes
    PIPELINE: Final = 8

    # All connections of the server share these.
    waiting: Pending
    turns: Turns
    idle: Idle

    on_refused: Callable[[RefusalReason, Sequence[object] | None], None]  # of a client cut off

    capacity: int | None = None  # connections that there may be in all

    cycle: RequestResponseCycle | None  # type: ignore[assignment] # at first there is none

    _head = 0  # bytes of the head that is being read
    _tail = b""  # of what has been read of it, in case its end comes in parts
    _behind = b""  # what has come after the request that is being answered
    _came_behind = False  # the head that is being read has
    _switches = False  # the request asks for the other protocol, and may
    _verdict: RefusalReason | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: object) -> None:
        """Begin to wait for a request, unless there are too many connections already."""
        self.transport = transport  # type: ignore[assignment] # uvicorn's own narrowing
        try:
            super().connection_made(self.transport)
            too_many = self.capacity is not None and len(self.connections) > self.capacity
            if too_many and not self.idle.make_room():
                self._refuse(RefusalReason.CAPACITY)
            else:
                self.waiting.add(self)
        except Exception as error:  # whatever it is, nothing may be left behind
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.waiting.discard(self)
        self.idle.discard(self)
        self._disconnect()
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what has come, or set it aside while there is something to be answered first."""
        try:
            if self.transport.is_closing():
                return
            self.idle.discard(self)
            if self._behind or self._is_answering():
                self._set_aside(data)
            else:
                self._read(data)
        except Exception as error:  # as above
            self._fail(error)

    def take_turn(self) -> None:
        """Read what has come behind the request that is now answered."""
        if self.transport.is_closing():
            return
        try:
            data, self._behind = self._behind.lstrip(b"\r\n"), b""
            self._came_behind = bool(data)
            self._read(data)
        except Exception as error:  # as above
            self._fail(error)

    def _read(self, data: bytes) -> None:
        """Have the parser read up to the end of a head, and no further."""
        while data:
            size = len(data)
            if self._tail or size < 4 or data.find(_END) != size - 4:  # it is not simply one head
                size = self._size_of_head(data)
            self._head += size
            super().data_received(data if size == len(data) else data[:size])
            if self.transport.is_closing():
                return
            rest, data = data[size:], b""
            if rest:
                data = self._pass_on(rest)
            if self._head > self.HEAD_BYTES:
                self._refuse(RefusalReason.TOO_LARGE)
                return

    def _size_of_head(self, data: bytes) -> int:
        """Return how much of ``data`` belongs to the head that is being read.

        A head ends with the first empty line, of which the parser takes no other form than this.
        """
        tail = self._tail
        joined = tail + data
        end = joined.find(_END)
        if end < 0:
            self._tail = joined[-3:]
            return len(data)
        self._tail = b""
        return end + len(_END) - len(tail)

    def _pass_on(self, rest: bytes) -> bytes:
        """Put what has come after a head where it belongs; return what is to be read now."""
        if self._switches:  # to what the client speaks from here on
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(rest)
        elif self._is_answering():
            self._set_aside(rest)
        else:  # what the parser has read were empty lines, which may come before a request
            begun = rest.lstrip(b"\r\n")
            self._head += len(rest) - len(begun)
            return begun
        return b""

    def _set_aside(self, data: bytes) -> None:
        """Keep what has come too early: a little, and for a while."""
        behind = self._behind + data if len(data) <= self.HEAD_BYTES else data
        if behind.count(_END) > self.PIPELINE:
            self._refuse(RefusalReason.RATE)
        elif len(behind) > self.HEAD_BYTES:
            self._refuse(RefusalReason.TOO_LARGE)
        else:
            self._behind = behind
            if len(behind) > 2 or behind.strip(b"\r\n"):  # one empty line is but a habit
                self.waiting.keep(self)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one more header; many small ones take far more memory than their bytes."""
        if len(self.headers) == self.HEADERS:
            self._give_up(RefusalReason.TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application, unless the request is one that is not served at all."""
        size = len(self.url)
        body = False
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            if name == b"transfer-encoding" or (name == b"content-length" and value.strip(_ZERO)):
                body = True
        if size > self.HEAD_BYTES:
            self._give_up(RefusalReason.TOO_LARGE)
        if self.parser.get_http_version() not in _VERSIONS:  # 0.9 has no head that could end
            self._give_up(RefusalReason.MALFORMED)
        if body:
            self._give_up(RefusalReason.BODY)
        if not self.url.startswith(b"/"):
            self._take_authority()
        self._switches = self.parser.should_upgrade() and self._may_switch()
        self.expect_100_continue = False  # there is nothing to go on with
        self.waiting.discard(self)
        extensions = cast("dict[str, object]", self.scope.setdefault("extensions", {}))
        extensions[ABORT_EXTENSION] = self.transport.abort
        super().on_headers_complete()

    def _take_authority(self) -> None:
        """Have a target in absolute form judged by the host that it names itself."""
        if self.url == b"*":
            return
        hosts = [value for name, value in self.headers if name == b"host"]
        try:
            host, self.url = split_target(self.url, hosts)
        except ValueError:
            self._give_up(RefusalReason.MALFORMED)
        if not hosts:  # which only HTTP/1.0 may do without
            if self.parser.get_http_version() != "1.0":
                self._give_up(RefusalReason.MALFORMED)
            self.headers.append((b"host", host))

    def _may_switch(self) -> bool:
        """Say whether a request that asks for another protocol is heard.

        In HTTP/1.0 it is not (RFC 9110, section 7.8), nor are protocols that are not spoken here:
        such a request is answered as if it had not asked.
        """
        if self.parser.get_method() == b"CONNECT":
            self._give_up(RefusalReason.MALFORMED)
        if self.parser.get_http_version() != "1.1" or not super()._should_upgrade():
            return False
        if self._came_behind:
            self._give_up(RefusalReason.RATE)
        return True

    def _should_upgrade(self) -> bool:
        return self._switches

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: clients may ask for what they like, and be answered without it."""

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on, and let go of the parser, which refers to this object.

        A protocol that does not get hold of the connection is not left with the server's others.
        """
        head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name != b"content-length":  # it is none
                head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        request = b"".join(head)
        protocol = self.config.ws_protocol_class(  # type: ignore[call-arg, misc] # a class
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        try:
            self.connections.discard(self)
            protocol.connection_made(self.transport)
            protocol.data_received(request)
            self.transport.set_protocol(protocol)
        except BaseException as error:
            with suppress(Exception):
                protocol.connection_lost(cast("Exception", error))
            self.connections.discard(protocol)
            raise
        self.parser = None  # type: ignore[assignment] # as uvicorn does at the end

    def _give_up(self, verdict: RefusalReason) -> NoReturn:
        """Have the parser give up, for this reason."""
        self._verdict = verdict
        raise ValueError(verdict.value)

    def on_message_complete(self) -> None:
        """Expect another head, if the client wants to keep the connection."""
        self._head = 0
        self._came_behind = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or read it when it is its turn."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self.waiting.add(self)
        if self._behind:
            self.turns.ask(self)
        else:
            self.idle.add(self, network(self.client[0]) if self.client else "")

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 # uvicorn's
        """Answer what the parser has given up, with what it gave up for."""
        self._refuse(self._verdict or RefusalReason.MALFORMED)

    def expire(self) -> None:
        """Cut off a client that has had its time; one that has begun to speak is told.

        A client that still takes the last answer may do so; the kernel gives up one that takes
        nothing.
        """
        if self._is_answering():
            self.on_refused(RefusalReason.TIMEOUT, self.client)
            self._cut_off()
        elif self._head:
            self._refuse(RefusalReason.TIMEOUT)
        elif self.transport.get_write_buffer_size():
            self.transport.close()
        else:
            self._cut_off()

    def make_room(self) -> bool:
        """See ``Waiting``. A client that still takes the last answer may do so."""
        if self.transport.get_write_buffer_size():
            return False
        self.on_refused(RefusalReason.CAPACITY, self.client)
        self.connections.discard(self)
        self._cut_off()
        return True

    def shutdown(self) -> None:
        """Finish what is under way because the server stops, but not at any client's leisure."""
        super().shutdown()
        self._deadline = self.loop.call_later(_LINGER_SECONDS, self._cut_off)

    def _disconnect(self) -> None:
        """Tell the application that its answer reaches its client no more."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            self.flow.resume_writing()

    def _cut_off(self) -> None:
        self._disconnect()
        self.transport.abort()

    def _fail(self, error: Exception) -> None:
        """Let go of a connection that could not be served, for lack of memory most likely."""
        self.waiting.discard(self)
        self.connections.discard(self)
        self._cut_off()
        _logger.error("Connection closed after an internal error: %r", error)
        _logger.debug("Where it was", exc_info=error)

    def _refuse(self, reason: RefusalReason) -> None:
        """Answer what is to be answered next with a refusal, and close.

        An answer that has begun is broken off instead.
        """
        self.waiting.discard(self)
        self.on_refused(reason, self.client)
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            retry = b"retry-after: 5\r\n" if reason.status in {429, 503} else b""
            headers = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[reason.status] + retry + headers)
        self._disconnect()
        self.transport.close()
