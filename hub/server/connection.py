"""A feed connection that has been taken over from the ASGI application.

While there is nothing to queue and nothing to parse it is one small object beside its transport:
no task, no queue, no parser. A frame goes to the transport as it is, the same bytes for everyone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from websockets.extensions import Extension
from websockets.frames import CTRL_OPCODES, Close, CloseCode, Opcode
from websockets.frames import Frame as WebSocketFrame
from websockets.protocol import State
from websockets.server import ServerProtocol

from hub.errors import CloseReason
from hub.feed.subscriber import Observer, Subscriber, Ticket
from hub.feed.subscriber import State as FeedState
from hub.feed.view import Frame, View
from hub.server.deflate import CompressedMessages
from hub.server.message import Message
from hub.web.extensions import InboundBudget

__all__ = ["CompressedConnection", "Connection", "FrameLengths"]

_PING: Final = WebSocketFrame(Opcode.PING, b"").serialize(mask=False)
_PONG: Final = b"\x8a\x80"  # and then the four bytes of a mask that masks nothing
_LINGER_SECONDS: Final = 1.0
_CHUNK: Final = 4096
_LIVE: Final = FeedState.LIVE  # looked up once per frame

# The library would log every connection that ends; the session does that.
_SILENCE: Final = logging.Logger("hub.websocket", logging.CRITICAL)  # noqa: LOG001 # unregistered


class Connection(Subscriber, asyncio.Protocol):
    """A subscriber that is its transport's protocol, as soon as it is made.

    The transport's buffer takes no more than what the kernel refused of one frame; from then on
    frames wait in the subscriber's own queue, until the transport resumes.

    Args:
        transport: of a WebSocket connection whose opening handshake is done.
        connections: the server's own set of connections, which this one is a member of.
        left: called once, when the connection is lost.
    """

    __slots__ = (
        "_alive", "_budget", "_connections", "_deadline", "_left", "_lengths", "_message",
        "_parser", "_ready", "_transport",
    )  # fmt: skip

    _extensions: ClassVar[Sequence[Extension]] = ()  # of what the client says

    def __init__(
        self,
        view: View,
        capacity: int,
        observer: Observer,
        *,
        transport: asyncio.Transport,
        ticket: Ticket,
        connections: set[Any],
        left: Callable[[Subscriber], None],
    ) -> None:
        super().__init__(view, capacity, observer, ticket=ticket)
        self._transport = transport
        self._connections = connections
        self._left = left
        self._parser: ServerProtocol | None = None  # only while a message has begun
        self._lengths: FrameLengths | None = None  # likewise
        self._budget: InboundBudget | None = None  # from the first message on
        self._message: Message | None = None  # that goes on
        self._deadline: asyncio.TimerHandle | None = None  # once it has said the last thing
        self._alive = True  # it has answered the last ping
        self._ready = True  # the transport takes a frame at once
        transport.set_protocol(self)
        # TLS transports pause at the mark, others above it: at 0 TLS would never write.
        transport.set_write_buffer_limits(high=1, low=0)
        if transport.get_write_buffer_size() > 1:  # its last protocol may have been told
            self.pause_writing()
        connections.add(self)

    # Outbound

    def _write(self, frame: Frame) -> bool:
        if not self._ready:
            return False
        self._transport.write(frame.wire)  # which may pause writing: of this frame, not the next
        return True

    def _wake(self) -> None:
        """See ``Subscriber``. The transport says when it takes more."""

    def _is_full(self) -> bool:
        return not self._ready

    def pause_writing(self) -> None:
        """Queue from now on; called by the transport when the kernel takes no more."""
        if self._ready:
            self._ready = False
            self._block()

    def resume_writing(self) -> None:
        """Hand on what is queued, as far as the transport takes it."""
        if not self._blocked:
            return
        self._ready = True
        self._flow()
        while self._ready and (frame := self._dequeue()) is not None:
            self._transport.write(self._encoding(frame))
        self._resume_replay()

    def _encoding(self, frame: Frame) -> bytes:
        return frame.wire

    def _send_probe(self) -> None:
        """See ``Subscriber``. A client that has not answered the last ping is given up."""
        if not self._ready:
            return
        if not self._alive:
            self.close(CloseReason.KEEPALIVE_LOST)
            return
        self._alive = False
        self._transport.write(_PING)

    # Inbound: read and ignored, but for what the protocol demands

    def data_received(self, data: bytes) -> None:
        """Answer pings and closes, and swallow messages within the client's budget."""
        answered, self._alive = not self._alive, True
        if answered and self._parser is None and len(data) == 6 and data.startswith(_PONG):
            return  # nearly all that clients ever say, and not worth a parser
        for first in range(0, len(data), _CHUNK):
            if self._deadline is not None:
                return
            self._parse(data[first : first + _CHUNK])

    def _parse(self, data: bytes) -> None:
        parser, lengths = self._parser, self._lengths
        if parser is None or lengths is None:
            parser = ServerProtocol(
                state=State.OPEN, max_size=InboundBudget.MESSAGE_BYTES, logger=_SILENCE
            )
            parser.extensions = list(self._extensions)
            lengths = FrameLengths()
        if lengths.follow(data):
            parser.receive_data(data)
        else:  # the library does not mind
            parser.fail(CloseCode.PROTOCOL_ERROR, "length of a frame is not minimal")
        frames = [event for event in parser.events_received() if isinstance(event, WebSocketFrame)]
        output = b"".join(parser.data_to_send())
        if parser.state is not State.OPEN:
            self.end()
            self._finish(output)
            return
        if output and self._ready:  # pongs; a client that does not read gets none
            self._transport.write(output)
        self._check_budget(frames)
        if lengths.between and parser.current_size is None:  # nothing more of any message
            parser = lengths = None
        self._parser, self._lengths = parser, lengths

    def _check_budget(self, frames: Sequence[WebSocketFrame]) -> None:
        now = asyncio.get_running_loop().time()
        for frame in frames:
            if self._budget is None:
                self._budget = InboundBudget()
            reason = self._budget.check(len(frame.data), now) or self._check(frame)
            if reason is not None:
                self.close(reason)
                return

    def _check(self, frame: WebSocketFrame) -> CloseReason | None:
        """Say what is wrong with what a frame says, if anything is."""
        if frame.opcode in CTRL_OPCODES:
            return None
        message = self._message
        if message is None or frame.opcode is not Opcode.CONT:
            message = Message(frame)
        self._message = None if frame.fin else message
        return message.check(frame)

    # The end

    def shutdown(self) -> None:
        """Close because the server stops; called by uvicorn."""
        self.close(CloseReason.RESTART)

    def _send_close(self, reason: CloseReason) -> None:
        """See ``Subscriber``. A client that takes nothing cannot be told why: it is cut off."""
        if self._blocked:
            self._flow()
            self._transport.abort()
        elif self._ready:
            farewell = Close(reason.code, reason.phrase).serialize()
            self._finish(WebSocketFrame(Opcode.CLOSE, farewell).serialize(mask=False))

    def _finish(self, output: bytes) -> None:
        """Say the last thing, then give the client a moment to hear it and hang up."""
        self._ready = False
        self._flow()
        self._parser = self._lengths = None
        self._transport.write(output)
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the peer has just gone, as will be told soon
                self._transport.write_eof()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take leave; called once by the transport, whichever side ended the connection."""
        self._ready = False
        self._flow()
        if isinstance(exc, TimeoutError):  # the kernel's verdict
            self.close(CloseReason.TOO_SLOW)
        else:
            self.end()
        if self._deadline is not None:
            self._deadline.cancel()
        self._connections.discard(self)
        self._left(self)


class CompressedConnection(Connection):
    """A connection whose client takes compressed messages, and may send such.

    What is only for this client, as a replay is, is not compressed: it would take a third more of
    processor time than to encode it, for each client.
    """

    __slots__ = ()

    _extensions = (CompressedMessages(),)

    def _write(self, frame: Frame) -> bool:
        if not self._ready:
            return False
        self._transport.write(frame.compressed if self._state is _LIVE else frame.wire)
        return True

    def _encoding(self, frame: Frame) -> bytes:
        return frame.compressed if self._state is _LIVE else frame.wire


class FrameLengths:
    """Follows where a client's frames begin, and how their lengths are written.

    Attributes:
        closes: whether a close frame has begun; what comes after it is of no meaning.
    """

    __slots__ = ("_begun", "_remaining", "closes")

    _LEAST: Final = {0: 0, 2: 126, 8: 1 << 16}
    """What a length in so many further bytes is at least (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self._begun = b""  # of a frame's header
        self._remaining = 0  # bytes of a frame whose header has come
        self.closes = False

    @property
    def between(self) -> bool:
        """Whether what has come are whole frames."""
        return not (self._begun or self._remaining or self.closes)

    def follow(self, data: bytes) -> bool:
        """Take the next bytes; return False where a length is written in more than it takes."""
        data, self._begun = self._begun + data, b""
        at, end = self._remaining, len(data)
        while at < end and not self.closes:
            further = 0 if end - at < 2 else {126: 2, 127: 8}.get(data[at + 1] & 0x7F, 0)
            start = at + 2 + further
            if start > end:
                self._begun, self._remaining = data[at:], 0
                return True
            size = int.from_bytes(data[at + 2 : start]) if further else data[at + 1] & 0x7F
            if size < self._LEAST[further]:
                return False
            self.closes = data[at] & 0x0F == Opcode.CLOSE
            at = start + (4 if data[at + 1] & 0x80 else 0) + size
        self._remaining = at - end
        return True
