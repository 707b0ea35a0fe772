"""uvicorn's WebSocket protocol, which hands feed connections over to the hub."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.protocol import Protocol

from hub.errors import RefusalReason
from hub.feed.subscriber import Observer, Subscriber, Ticket
from hub.feed.view import View
from hub.server.connection import CompressedConnection, Connection, FrameLengths
from hub.server.deflate import negotiate
from hub.server.listener import limit_kernel_buffers
from hub.server.uvicorn_compat import Base
from hub.settings import Settings
from hub.web.extensions import TAKEOVER_EXTENSION, InboundBudget

__all__ = ["TakeoverProtocol"]

_logger = logging.getLogger("hub")

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 "
_PLAIN_BYTES: Final = 4096
_PLAIN_LINES: Final = 64
_EARLY_BYTES: Final = 16 * 1024
_EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_PLAIN: Final = re.compile(
    rb"GET ([!-~]+) HTTP/1\.1((?:\r\n[-!#$%&'*+.^_`|~0-9a-zA-Z]++:[\t -~\x80-\xff]*+)*+)\r\n\r\n"
)
_BODY: Final = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)


class TakeoverProtocol(Base):
    """A complete WebSocket server protocol, for a uvicorn that passes ``hub.server.trial``.

    For every application but the hub's it is uvicorn's own. The hub's endpoint finds an offer in
    its scope (see ``hub.web.extensions.Takeover``) to turn the accepted connection into a
    subscriber that writes to the transport by itself.
    """

    inherits_options = False
    """Whether connections have the socket options that ``hub.server.listener`` sets."""

    on_refused: Callable[[RefusalReason, Sequence[object] | None], None] | None = None
    """Told of everybody whose opening request is none, if anybody wants to know."""

    _early = b""  # what the client has said before it has been answered
    _lengths: FrameLengths | None = None
    _prepared = False  # for a takeover, until when the client is not heard
    _compresses = False  # as the client has offered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with the addresses that the HTTP protocol has asked the system for already."""
        http = cast("asyncio.Transport", transport).get_protocol()
        if not isinstance(http, HttpToolsProtocol):
            super().connection_made(transport)
            return
        self.connections.add(self)
        self.transport = cast("asyncio.Transport", transport)
        self.server, self.client = http.server, http.client
        self.scheme = "wss" if http.scheme == "https" else "ws"

    def handle_connect(self, event: Request) -> None:
        """Start the application, with the offer in its scope."""
        if not _names_subprotocols(event.headers):
            self._refuse()
            return
        super().handle_connect(event)
        if self.close_sent:
            self._tell_refused(RefusalReason.MALFORMED)
        else:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions[TAKEOVER_EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        """Parse the opening request; hold what else is said until that has been answered."""
        try:
            if not self.handshake_initiated:
                self._open(data)
            elif self._prepared or not self.handshake_complete:
                self._hold(data)
            elif not self.transport.is_closing():
                super().data_received(data)
        except Exception as error:  # whatever it is, nothing may be left behind
            self._fail(error)

    def _open(self, data: bytes) -> None:
        request = _plain_request(data)
        if request is not None:
            self.conn.parser = Protocol.parse(self.conn)  # of frames, past the request
            next(self.conn.parser)
            self.handle_connect(request)
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self._refuse()

    def _hold(self, data: bytes) -> None:
        """Keep what the client should have kept: the library would answer it before the request."""
        if self._lengths is None:
            self._lengths = FrameLengths()
        self._early += data
        sound = self._lengths.follow(data) and len(self._early) <= _EARLY_BYTES
        if not sound or self._lengths.closes:
            self._refuse()

    def _hear(self) -> None:
        """Parse what has been held."""
        early, self._early, self._lengths = self._early, b"", None
        if early:
            self.data_received(early)

    def _fail(self, error: Exception) -> None:
        """Let go of a connection that could not be served, for lack of memory most likely."""
        self._end()
        if self.transport is not None:
            self.transport.abort()
        _logger.error("Connection closed after an internal error: %r", error)
        _logger.debug("Where it was", exc_info=error)

    def _end(self) -> None:
        """Take the handshake for done with, and tell the application if it runs already."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self.disconnected = True
        self._early, self._lengths = b"", None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def _refuse(self) -> None:
        """Answer a request that the library's parser does not take; uvicorn would forget it."""
        answer = b"".join(self.conn.data_to_send())
        self.transport.write(answer or _BAD_REQUEST)
        self.transport.close()
        self._end()
        self._tell_refused(
            RefusalReason.TOO_LARGE if answer.startswith(_TOO_LARGE) else RefusalReason.MALFORMED
        )

    def _tell_refused(self, reason: RefusalReason) -> None:
        if self.on_refused is not None:
            self.on_refused(reason, self.client)

    def shutdown(self) -> None:
        """Close because the server stops; a connection without a request has nothing to be told."""
        if self.handshake_initiated:
            super().shutdown()
            return
        self.connections.discard(self)
        if self.transport is not None:
            self.transport.close()

    async def send(self, message: Any) -> None:  # noqa: ANN401 # as uvicorn's
        """Send, and take an answer other than accepting for the end of the handshake, too."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True
        elif self._early and self.handshake_complete and not self._prepared:
            self._hear()

    # What refers to itself is undone, or a crowd's would pile up until the collector looks.

    async def run_asgi(self) -> None:
        """Run the application, and take the offer out of its scope."""
        try:
            await super().run_asgi()
        finally:
            cast("dict[str, object]", self.scope["extensions"]).pop(TAKEOVER_EXTENSION, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and let go of the parser."""
        self.connections.add(self)  # or its removal would fail where beginning has failed
        super().connection_lost(exc)
        self._drop_parser()

    def _drop_parser(self) -> None:
        self.conn.parser = cast("Generator[None]", None)
        failure = self.conn.handshake_exc
        if failure is not None:
            failure.__traceback__ = failure.__context__ = failure.__cause__ = None

    def prepare(self, *, compression: bool) -> None:
        """Agree on such compression only that serves everyone. See ``Takeover``.

        uvicorn's keepalive is not started either; the hub has its own.
        """
        self._prepared = True
        self.ping_interval = None
        self.conn.max_message_size = InboundBudget.MESSAGE_BYTES
        self.conn.extensions = []
        headers = self.response.headers
        if _EXTENSIONS in headers:
            del headers[_EXTENSIONS]
        answer = negotiate(self._offers()) if compression else None
        if answer is not None:
            self._compresses = True
            headers[_EXTENSIONS] = answer

    def _offers(self) -> str:
        name = _EXTENSIONS.lower().encode()
        found = (value for key, value in self.scope["headers"] if key.lower() == name)
        return b",".join(found).decode("latin-1")

    def take_over(
        self,
        view: View,
        settings: Settings,
        observer: Observer,
        left: Callable[[Subscriber], None],
        ticket: Ticket,
    ) -> Connection | None:
        """Turn the connection into a subscriber. See ``Takeover``."""
        transport = self.transport
        if transport.is_closing() or self.close_sent or not self.handshake_complete:
            return None
        if not self.inherits_options:
            limit_kernel_buffers(transport.get_extra_info("socket"), settings.stall_timeout)
        stand_in = cast("asyncio.Transport", _TakenOver())
        self._drop_parser()
        if self._early:
            self._hear_later(transport)
        elif self.read_paused:
            transport.resume_reading()
        try:
            connection = (CompressedConnection if self._compresses else Connection)(
                view,
                settings.queue,
                observer,
                transport=transport,
                ticket=ticket,
                connections=self.connections,
                left=left,
            )
        except BaseException:
            transport.set_protocol(self)  # to be told of the end, as if nothing had been tried
            transport.abort()
            raise
        self.connections.discard(self)  # from here on nothing can fail
        self.transport = stand_in
        return connection

    def _hear_later(self, transport: asyncio.Transport) -> None:
        """Let the subscriber hear what has been held, once it is one, and before all else."""
        early, self._early = self._early, b""

        def hear() -> None:
            if not transport.is_closing():
                cast("asyncio.Protocol", transport.get_protocol()).data_received(early)
                transport.resume_reading()

        transport.pause_reading()
        self.loop.call_soon(hear)


def _plain_request(data: bytes) -> Request | None:
    """Read an opening request in the form in which uvicorn's HTTP protocols pass it on.

    They have parsed it already, and doing so again line by line is an eighth of the work of a
    handshake. Returns None for whatever is not plain: that is left to the library's parser.
    """
    head = _PLAIN.fullmatch(data) if len(data) <= _PLAIN_BYTES else None
    if head is None or _BODY.search(data):
        return None
    lines = head[2].decode("latin-1").split("\r\n")[1:]
    if len(lines) > _PLAIN_LINES:
        return None
    headers = Headers()
    for line in lines:
        name, _, value = line.partition(":")
        headers[name] = value.strip(" \t")
    return Request(head[1].decode("ascii"), headers)


def _names_subprotocols(headers: Headers) -> bool:
    """Say whether subprotocols are named as they have to be (RFC 6455, section 4.1).

    The library would repeat in its answer what is wrong, which may be a token.
    """
    try:
        for value in headers.get_all("Sec-WebSocket-Protocol"):
            parse_subprotocol(value)
    except InvalidHeaderFormat:
        return False
    return True


class _TakenOver:
    """Stands in for a transport that has another protocol now; it can be closed, to no effect."""

    def close(self) -> None:
        """Leave the connection alone; uvicorn calls this when the application returns."""
