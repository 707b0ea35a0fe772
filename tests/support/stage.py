"""A feed connection between a fake transport and a hub, as a test plays them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.frames import Close, Opcode
from websockets.frames import Frame as WebSocketFrame

from hub.errors import CloseReason
from hub.feed.reader import HostTicket
from hub.feed.subscriber import Outcome, Subscriber
from hub.feed.view import Frame, View
from hub.server.connection import Connection
from tests.support.transport import FakeTransport, Recorder, SteppedLoop

__all__ = [
    "CAPACITY", "PING", "Stage", "client_frame", "inflated", "message", "server_frames", "staged",
    "texts",
]  # fmt: skip

VIEW = View(("cpu",))
CAPACITY = 3
PING = WebSocketFrame(Opcode.PING, b"").serialize(mask=False)


def message(number: int, size: int = 0) -> Frame:
    return Frame(f'{{"n":{number}}}'.encode().ljust(size))


def client_frame(
    opcode: Opcode, data: bytes = b"", *, fin: bool = True, mask: bool = True, rsv1: bool = False
) -> bytes:
    frame = WebSocketFrame(opcode, data, fin=fin).serialize(mask=mask)
    return bytes((frame[0] | 0x40 * rsv1,)) + frame[1:]


def inflated(data: bytes) -> bytes:
    """Inflate a compressed message, as a client without any state does."""
    return zlib.decompressobj(wbits=-15).decompress(data + b"\x00\x00\xff\xff")


def server_frames(wire: bytes) -> list[WebSocketFrame]:
    """Read a server's bytes; all of them must be whole frames. What is compressed is inflated."""
    frames = []
    while wire:
        size = wire[1]
        start = 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(wire[2:start])
        assert len(wire) >= start + size, "a frame that is cut off"
        assert wire[0] & 0x80, "a fragment"
        payload = wire[start : start + size]
        frames.append(
            WebSocketFrame(Opcode(wire[0] & 0x0F), inflated(payload) if wire[0] & 0x40 else payload)
        )
        wire = wire[start + size :]
    return frames


def texts(wire: bytes) -> list[bytes]:
    return [bytes(f.data) for f in server_frames(wire) if f.opcode is Opcode.TEXT]


class Stage:
    """A connection between a fake transport and a hub that writes down what it is told."""

    def __init__(
        self,
        *,
        room: int | None = None,
        half_close: bool = True,
        live: bool = True,
        kind: type[Connection] = Connection,
    ) -> None:
        self.loop = SteppedLoop()
        self.transport = FakeTransport(self.loop, room=room, half_close=half_close)
        self.observer = Recorder()
        self.connections: set[Any] = set()
        self.leavers: list[Subscriber] = []
        self.connection = kind(
            VIEW,
            CAPACITY,
            self.observer,
            transport=self.transport,
            ticket=HostTicket("192.0.2.7:4711"),
            connections=self.connections,
            left=self.leavers.append,
        )
        self.transport.set_protocol(self.connection)
        if live:
            self.connection.go_live()

    def offer(self, number: int, size: int = 0) -> Outcome:
        return self.loop.do(lambda: self.connection.offer(message(number, size)))

    def close(self, close_reason: CloseReason) -> None:
        self.loop.do(lambda: self.connection.close(close_reason))

    def probe(self) -> None:
        self.loop.do(self.connection.probe)

    def fill(self, frames: int = CAPACITY) -> None:
        """Let the kernel take nothing more, and queue messages 1 to ``frames``."""
        self.transport.room = 0
        for number in range(frames + 1):
            self.offer(number)

    @property
    def wire(self) -> bytes:
        return bytes(self.transport.wire)

    @property
    def farewell(self) -> Close | None:
        """What the last frame says, if it is a close frame."""
        frames = server_frames(self.wire)
        last = frames[-1] if frames else None
        return Close.parse(last.data) if last and last.opcode is Opcode.CLOSE else None


@contextmanager
def staged(
    *, room: int | None = None, half_close: bool = True, kind: type[Connection] = Connection
) -> Iterator[Stage]:
    stage = Stage(room=room, half_close=half_close, kind=kind)
    try:
        yield stage
    finally:
        stage.loop.close()
