"""uvicorn's WebSocket protocol, which hands feed connections over to the hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, cast
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from websockets.http11 import Request
from websockets.protocol import Protocol

from hub.errors import RefusalReason
from hub.feed.subscriber import Observer, Subscriber, Ticket
from hub.feed.view import View
from hub.server.connection import CompressedConnection, Connection, FrameLengths
from hub.server.deflate import negotiate
from hub.server.listener import limit_kernel_buffers
from hub.server.opening import Opening, names_subprotocols, read_opening
from hub.server.uvicorn_compat import Base
from hub.settings import Settings
from hub.web.extensions import TAKEOVER_EXTENSION, InboundBudget

__all__ = ["TakeoverProtocol"]

_logger = logging.getLogger("hub")

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 "
_EARLY_BYTES: Final = 16 * 1024
_EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_EXTENSIONS_LINE: Final = b"\r\nSec-WebSocket-Extensions: "
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)
_ACCESS: Final = logging.INFO  # of uvicorn's lines about handshakes


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
    _opening: Opening | None = None  # one that the library has not looked at
    _key = b""  # that answers it
    _agreed = ""  # the extension that the hub has agreed on
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

    def _begin(self, opening: Opening, key: bytes) -> None:
        """Start the application as ``handle_connect`` does, where nothing more is to be looked at.

        The library's answer is made only for an application that wants the library's connection.
        """
        self._opening, self._key = opening, key
        self.handshake_initiated = True
        raw_path, _, query_string = opening.target.partition(b"?")
        root_path: str = self.root_path
        extensions: dict[str, object] = {"websocket.http.response": {}, TAKEOVER_EXTENSION: self}
        self.scope = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": root_path,
            "path": root_path + unquote(raw_path.decode("ascii")),
            "raw_path": root_path.encode("ascii") + raw_path,
            "query_string": query_string,
            "headers": opening.headers,
            "subprotocols": [],
            "state": self.app_state.copy(),
            "extensions": cast("Any", extensions),
        }
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def handle_connect(self, event: Request) -> None:
        """Start the application, with the offer in its scope."""
        if not names_subprotocols(event.headers):
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
        opening = read_opening(data)
        if opening is not None:
            self.conn.parser = Protocol.parse(self.conn)  # of frames, past the request
            next(self.conn.parser)
            is_library_s = self.conn.available_extensions and opening.offers_extensions
            key = b"" if is_library_s else opening.accept_key()
            if key:
                self._begin(opening, key)
            else:
                self.handle_connect(opening.request())
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
        if self._key and message["type"] == "websocket.accept" and not self.handshake_complete:
            if self._prepared and self.writable.is_set() and not self.logger.isEnabledFor(_ACCESS):
                self._accept(message)
                return
            self._make_response()
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True
        elif self._early and self.handshake_complete and not self._prepared:
            self._hear()

    def _accept(self, message: Any) -> None:  # noqa: ANN401 # as uvicorn's
        """Answer a handshake that is about to be handed over; see ``send``."""
        if self.disconnected:
            raise ClientDisconnected
        if self.transport.is_closing():
            return
        lines = [_SWITCHING, self._key]
        if self._agreed:
            lines += [_EXTENSIONS_LINE, self._agreed.encode()]
        for name, value in (*self.default_headers, *message.get("headers", ())):
            lines += [b"\r\n", name, b": ", value]
        self.handshake_complete = True
        self.transport.write(b"".join((*lines, b"\r\n\r\n")))

    def _make_response(self) -> None:
        """Have the library answer, whose connection is wanted."""
        opening, self._key = self._opening, b""
        assert opening is not None  # noqa: S101 # there was a key in it
        self.response = self.conn.accept(opening.request())
        if self._prepared:
            self._agree(self._agreed)

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
        self._agreed = (negotiate(self._offers()) if compression else None) or ""
        self._compresses = bool(self._agreed)
        if not self._key:
            self._agree(self._agreed)

    def _agree(self, extension: str) -> None:
        """Have the library's answer name this extension, if any, and no other."""
        self.conn.extensions = []
        headers = self.response.headers
        if _EXTENSIONS in headers:
            del headers[_EXTENSIONS]
        if extension:
            headers[_EXTENSIONS] = extension

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


class _TakenOver:
    """Stands in for a transport that has another protocol now; it can be closed, to no effect."""

    def close(self) -> None:
        """Leave the connection alone; uvicorn calls this when the application returns."""
