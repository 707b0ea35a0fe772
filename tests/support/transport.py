"""A transport without a socket, and an event loop whose time a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from hub.feed.subscriber import Subscriber

__all__ = ["FakeTransport", "Recorder", "SteppedLoop"]

T = TypeVar("T")

PEER = ("192.0.2.7", 4711)


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop in which nothing happens but what a test does, and time passes as it says."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def do(self, action: Callable[[], T]) -> T:
        """Perform ``action`` inside the loop, and whatever it has scheduled for at once."""

        async def perform() -> T:
            result = action()
            for _ in range(3):
                await asyncio.sleep(0)
            return result

        return self.run_until_complete(perform())

    def skip(self, seconds: float) -> None:
        """Let time pass, and timers expire."""
        self._now += seconds
        self.do(lambda: None)


class FakeTransport(asyncio.Transport):
    """Does with bytes what asyncio's and uvloop's transports do; the peer is what a test plays.

    The kernel takes what fits into ``room``, all if that is None. The rest waits in a buffer;
    crossing its marks calls ``pause_writing`` from within ``write`` and ``resume_writing`` from
    the event loop. Writing after ``write_eof`` is an error, after the end it is lost.
    """

    def __init__(
        self, loop: SteppedLoop, *, room: int | None = None, half_close: bool = True
    ) -> None:
        super().__init__()
        self.extra: dict[str, object] = {"peername": PEER}
        self.wire = bytearray()  # what the kernel has taken
        self.writes: list[bytes] = []  # every argument of ``write``, as it came
        self.room = room
        self.eof_sent = False
        self.aborted = False
        self.reading = True
        self.lost = False
        self._loop = loop
        self._half_close = half_close
        self._protocol: asyncio.Protocol | None = None
        self._buffer = bytearray()
        self._eof = self._closing = self._paused = False
        self._high, self._low = 64 * 1024, 16 * 1024

    # As the protocol sees it

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.extra.get(name, default)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.writes.append(bytes(data))
        if self.aborted or self.lost or (self._closing and not self._buffer):
            return
        self._buffer += data
        self._send()
        self._pause_if_full()

    def write_eof(self) -> None:
        self._eof = True
        self._send()

    def can_write_eof(self) -> bool:
        return self._half_close

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low
        self._pause_if_full()

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self.reading and not self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._lose_if_done()

    def abort(self) -> None:
        if not self.aborted and not self.lost:
            self._closing = self.aborted = True
            self._buffer.clear()
            self._loop.call_soon(self._lose, None)

    # As the peer and the kernel act, from the event loop

    def take(self, room: int | None = None) -> None:
        """Let the kernel take ``room`` more bytes than what it has taken, or all there will be."""

        def on_writable() -> None:
            self.room = room
            self._send()
            if self._paused and len(self._buffer) <= self._low:
                self._paused = False
                self.get_protocol().resume_writing()
            self._lose_if_done()

        self._loop.do(on_writable)

    def receive(self, data: bytes) -> None:
        """Hand on what the peer has sent."""
        if not self._closing:
            self._loop.do(lambda: self.get_protocol().data_received(data))

    def receive_eof(self) -> None:
        """Let the peer end its side."""

        def on_eof() -> None:
            if not self._closing and not self.get_protocol().eof_received():
                self.close()

        self._loop.do(on_eof)

    def reset(self) -> None:
        """Let the peer break the connection."""

        def on_reset() -> None:
            self._closing = True
            self._buffer.clear()
            self._lose(ConnectionResetError())

        self._loop.do(on_reset)

    # Inside

    def _send(self) -> None:
        fits = len(self._buffer) if self.room is None else min(self.room, len(self._buffer))
        self.wire += self._buffer[:fits]
        del self._buffer[:fits]
        if self.room is not None:
            self.room -= fits
        self.eof_sent = self._eof and not self._buffer

    def _pause_if_full(self) -> None:
        if len(self._buffer) > self._high and not self._paused:
            self._paused = True
            self.get_protocol().pause_writing()

    def _lose_if_done(self) -> None:
        if self._closing and not self._buffer and not self.aborted:
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.get_protocol().connection_lost(error)


class Recorder:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def blocked(self, subscriber: Subscriber) -> None:  # noqa: ARG002 # Observer's
        self.told.append("blocked")

    def flowing(self, subscriber: Subscriber) -> None:  # noqa: ARG002 # Observer's
        self.told.append("flowing")

    def slow(self, subscriber: Subscriber) -> None:
        self.told.append(f"slow {subscriber.ticket}")

    def recovered(self, subscriber: Subscriber, lost: int) -> None:  # noqa: ARG002 # Observer's
        self.told.append(f"recovered {lost}")
