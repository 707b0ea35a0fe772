"""uvicorn's WebSocket protocol, which hands feed connections over to the hub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.protocol import Protocol

from hub.errors import RefusalReason
from hub.feed.subscriber import Observer, Subscriber, Ticket
from hub.feed.view import View
from hub.server.connection import Connection
from hub.server.listener import limit_kernel_buffers
from hub.server.uvicorn_compat import Base
from hub.settings import Settings
from hub.web.extensions import TAKEOVER_EXTENSION, InboundBudget

__all__ = ["TakeoverProtocol"]

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 "
_PLAIN_BYTES: Final = 4096
_PLAIN_LINES: Final = 64
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

    _spoke_early = False

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
        """Parse what the client says, and remember if it says anything before the takeover."""
        self._spoke_early = self.handshake_initiated
        request = None if self._spoke_early else _plain_request(data)
        if request is not None:
            self.conn.parser = Protocol.parse(self.conn)  # of frames, past the request
            next(self.conn.parser)
            self.handle_connect(request)
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self._refuse()

    def _refuse(self) -> None:
        """Answer a request that the library's parser does not take; uvicorn would forget it."""
        answer = b"".join(self.conn.data_to_send())
        self.transport.write(answer or _BAD_REQUEST)
        self.transport.close()
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self._tell_refused(
            RefusalReason.TOO_LARGE if answer.startswith(_TOO_LARGE) else RefusalReason.MALFORMED
        )

    def _tell_refused(self, reason: RefusalReason) -> None:
        if self.on_refused is not None:
            self.on_refused(reason, self.client)

    async def send(self, message: Any) -> None:  # noqa: ANN401 # as uvicorn's
        """Send, and take an answer other than accepting for the end of the handshake, too."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    # What refers to itself is undone, or a crowd's would pile up until the collector looks.

    async def run_asgi(self) -> None:
        """Run the application, and take the offer out of its scope."""
        try:
            await super().run_asgi()
        finally:
            cast("dict[str, object]", self.scope["extensions"]).pop(TAKEOVER_EXTENSION, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and let go of the parser."""
        super().connection_lost(exc)
        self._drop_parser()

    def _drop_parser(self) -> None:
        self.conn.parser = cast("Generator[None]", None)
        failure = self.conn.handshake_exc
        if failure is not None:
            failure.__traceback__ = failure.__context__ = failure.__cause__ = None

    def prepare(self) -> None:
        """Decline compression: a frame is the same bytes for everyone. See ``Takeover``.

        uvicorn's keepalive is not started either; the hub has its own.
        """
        self.ping_interval = None
        self.conn.max_message_size = InboundBudget.MESSAGE_BYTES
        self.conn.extensions = []
        if "Sec-WebSocket-Extensions" in self.response.headers:
            del self.response.headers["Sec-WebSocket-Extensions"]

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
        self.connections.discard(self)
        self.transport = cast("asyncio.Transport", _TakenOver())
        connection = Connection(
            view,
            settings.queue,
            observer,
            transport=transport,
            ticket=ticket,
            connections=self.connections,
            left=left,
            parser=self.conn if self._spoke_early else None,
        )
        if not self._spoke_early:
            self._drop_parser()
        if self.read_paused:
            transport.resume_reading()
        return connection


def _plain_request(data: bytes) -> Request | None:
    """Read an opening request in the form in which uvicorn's HTTP protocols pass it on.

    They have parsed it already, and doing so again line by line is an eighth of the work of a
    handshake. Returns None for whatever is not plain: that is left to the library's parser.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if len(head) > _PLAIN_BYTES or not end or rest or _BODY.search(head):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, target = first.removesuffix(" HTTP/1.1").partition(" ")
    if method != "GET" or not target.isascii() or len(lines) > _PLAIN_LINES:
        return None
    headers = Headers()
    try:
        for line in lines:
            name, _, value = line.partition(":")
            headers[name] = value.strip(" \t")
    except InvalidHeaderValue:
        return None
    return Request(target, headers)


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
