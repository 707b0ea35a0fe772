"""Hostile clients, which offer compression: `python -m benchmarks.attack NAME PORT`."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import sys
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.http_attack import HTTP_ATTACKS, attack_http
from benchmarks.servers.feed import PATH
from benchmarks.wire import CLOSE, read_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

_HANDSHAKE: Final = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
).encode()
_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Attack:
    """What a client sends once it is connected, again and again, until the server cuts it off.

    Attributes:
        title: its name in the report.
        begin: bytes that the client sends once.
        again: bytes that the client then sends repeatedly.
        codes: close codes with which the server may answer.
        reads: whether the client reads what the server sends.
    """

    title: str
    begin: bytes
    again: bytes
    codes: frozenset[int]
    reads: bool = True


def _masked(first: int, payload: bytes) -> bytes:
    """Return a client's frame, with a mask that leaves its payload of under 64 KiB as it is."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes((first,)) + length + bytes(4) + payload


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


_TOO_MANY_MESSAGES: Final = frozenset({1008})

ATTACKS: Final = {
    "pings": Attack(
        "pings, of which no pong is read", b"", 400 * _masked(0x89, bytes(125)), _TOO_MANY_MESSAGES,
        reads=False,
    ),
    "messages": Attack("messages of one byte", b"", 4000 * _masked(0x81, b"x"), _TOO_MANY_MESSAGES),
    "fragments": Attack(
        "a message of endless empty fragments", _masked(0x01, b"x"), 4000 * _masked(0x00, b""),
        _TOO_MANY_MESSAGES,
    ),
    "message": Attack(
        "a message of 16 MiB", b"\x82\xff" + (1 << 24).to_bytes(8) + bytes(4), bytes(1 << 16),
        frozenset({1009}),
    ),
    "text": Attack("text that is no UTF-8", b"", _masked(0x81, b"\xff\xfe"), frozenset({1007})),
    "bomb": Attack(
        "3 MiB in a compressed message of 3 KiB", b"", _masked(0xC1, _deflated(bytes(3 << 20))),
        frozenset({1009}),
    ),
    "deflated": Attack(
        "compressed messages of one byte", b"", 4000 * _masked(0xC1, _deflated(b"x")),
        _TOO_MANY_MESSAGES,
    ),
    "inflated": Attack(
        "messages that cannot be inflated", b"", _masked(0xC1, b"\xff\xff"), frozenset({1007}),
    ),
    "unmasked": Attack("frames without a mask", b"", b"\x81\x01x", frozenset({1002})),
    "reserved": Attack("frames with reserved bits", b"", _masked(0xF1, b"x"), frozenset({1002})),
    "lengths": Attack(
        "frames whose length is not minimal", b"", b"\x81\xfe\x00\x01" + bytes(4) + b"x",
        frozenset({1002}),
    ),
}  # fmt: skip


def attack(kind: Attack, port: int, over: threading.Event) -> Counter[str]:
    """Attack until `over` is set; return how the connections ended, and how often.

    A connection ends with the server's close code, or as `reset` if the client could not read one.
    """
    ends: Counter[str] = Counter()
    while not over.is_set():
        ends[_once(kind, port)] += 1
    return ends


def _once(kind: Attack, port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(_HANDSHAKE)
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(4096)
        if not data.startswith(b"HTTP/1.1 101"):
            return data[:12].decode()
        return _end(kind, sock, data.partition(b"\r\n\r\n")[2])


def _end(kind: Attack, sock: socket.socket, data: bytes) -> str:
    """Send until the server ends the connection; return its close code, or `reset`."""
    deadline = time.monotonic() + _TIMEOUT
    unsent = kind.begin
    try:
        while time.monotonic() < deadline:
            unsent = unsent or kind.again
            readable, writable, _ = select.select(
                [sock] if kind.reads else [], [sock], [], _TIMEOUT
            )
            if readable:
                data += (more := sock.recv(65536))
                if not more:
                    return _code(data)
            if writable:
                unsent = unsent[sock.send(unsent) :]
    except OSError:
        return _code(data + _rest(sock))
    return "not cut off"


def _rest(sock: socket.socket) -> bytes:
    """Return the received bytes that the kernel still holds after the connection was reset."""
    data = b""
    with contextlib.suppress(OSError):
        while more := sock.recv(65536, socket.MSG_DONTWAIT):
            data += more
    return data


def _code(data: bytes) -> str:
    """Return the code of the close frame among the received frames; `reset` if there is none."""
    while (frame := read_frame(data)) is not None:
        if frame.head == CLOSE:
            return str(int.from_bytes(frame.payload[:2], "big"))
        data = data[frame.size :]
    return "reset"


def main(arguments: Sequence[str]) -> int:
    """Attack until a SIGTERM; then print how the connections ended, as JSON."""
    name, port = arguments
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    if name in HTTP_ATTACKS:
        ends = attack_http(HTTP_ATTACKS[name], int(port), over)
    else:
        ends = attack(ATTACKS[name], int(port), over)
    json.dump(ends, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
