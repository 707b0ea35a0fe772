"""The client's end of a connection within the process, for a trial of the protocol classes.

Both ends are served by one event loop. So what has not come after some turns of the loop never
will, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol

from websockets.frames import Frame, Opcode

__all__ = [
    "CLIENT_ADDRESS", "SERVER_ADDRESS", "Mismatch", "TrialClient", "Witness", "compare",
    "frame_of_client", "socket_pair", "until",
]  # fmt: skip

SERVER_ADDRESS: Final = ("192.0.2.1", 80)
CLIENT_ADDRESS: Final = ("192.0.2.2", 4711)

_TURNS: Final = 100
_SLOW_TURNS: Final = 100  # of a millisecond each, where the system hands on with a delay


class Witness(Protocol):
    """Is told how a trial goes."""

    step: str
    """The step that is under way."""

    def note(self, complaint: object) -> None:
        """Write down an exception that the server may not pass on."""
        ...

    def check(self) -> None:
        """Raise what has been written down, if anything has."""
        ...


class Mismatch(Exception):
    """Something is not as it has to be. The text says what."""


def compare(what: str, found: object, expected: object) -> None:
    """Raise ``Mismatch`` if the two are not equal."""
    if found != expected:
        raise Mismatch(f"{what}: {found!r}, not {expected!r}")


async def until(witness: Witness, condition: Callable[[], object], what: str) -> None:
    """Let the event loop turn until ``condition`` holds.

    Raises:
        Mismatch: ``what`` does not come, or the witness has been told of an error.
    """
    for turn in range(_TURNS + _SLOW_TURNS):
        witness.check()
        if condition():
            return
        await asyncio.sleep(0 if turn < _TURNS else 0.001)
    raise Mismatch(f"no {what}")


def frame_of_client(opcode: Opcode, data: bytes, *, compressed: bool = False) -> bytes:
    """Return a frame of a WebSocket as a client sends it."""
    frame = bytearray(Frame(opcode, data).serialize(mask=True))
    frame[0] |= 0x40 * compressed  # RSV1
    return bytes(frame)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return a client's socket and one that is like the server's end of its TCP connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, _AcceptedSocket(fileno=theirs.detach())


class _AcceptedSocket(socket.socket):
    """One end of a socket pair, which has addresses nevertheless."""

    def getsockname(self) -> tuple[str, int]:
        """Return the server's address."""
        return SERVER_ADDRESS

    def getpeername(self) -> tuple[str, int]:
        """Return the client's address."""
        return CLIENT_ADDRESS


class TrialClient:
    """A client that says something and expects something."""

    def __init__(self, sock: socket.socket, witness: Witness) -> None:
        self._sock = sock
        self._witness = witness
        self._received = bytearray()  # and not expected yet
        self._ended = False  # the server has closed its side

    def send(self, data: bytes) -> None:
        """Send so little that the kernel takes it at once."""
        self._sock.sendall(data)

    async def expect(self, data: bytes) -> None:
        """Receive exactly this."""
        await until(self._witness, lambda: self._has(len(data)), "answer")
        compare("the answer", self._take(len(data)), data)

    async def expect_frame(self, opcode: Opcode, data: bytes) -> None:
        """Receive a frame of a WebSocket."""
        await self.expect(Frame(opcode, data).serialize(mask=False))

    async def expect_head(self, status: int, header: bytes = b"") -> None:
        """Receive the head of an HTTP response, which has a header with this value."""
        await until(
            self._witness, lambda: self._has(1 << 30) or b"\r\n\r\n" in self._received, "answer"
        )
        start = b"HTTP/1.1 %d " % status
        size = self._received.find(b"\r\n\r\n") + 4
        head = self._take(max(size, len(start)))
        compare("the answer", head[: len(start)], start)
        if header not in head:
            raise Mismatch(f"the answer: {header!r} is missing")

    async def expect_end(self) -> None:
        """Receive what is left, such as a body, and then the end of the stream."""
        await until(self._witness, lambda: self._has(1 << 30), "end of the connection")

    def _has(self, size: int) -> bool:
        """Say whether so many bytes have come, or all that there will ever be."""
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            pass
        except ConnectionError:
            self._ended = True
        else:
            self._received += data
            self._ended = not data
        return self._ended or len(self._received) >= size

    def _take(self, size: int) -> bytes:
        data = bytes(self._received[:size])
        del self._received[:size]
        return data
