"""WebSocket clients of the feed, well-behaved and otherwise, and what messages look like."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.servers import DEADLINE

__all__ = [
    "DEFAULT_MESSAGE",
    "TIMESTAMP",
    "assert_nothing_lost",
    "client",
    "close_code",
    "handshake",
    "message",
    "receive",
    "reset",
    "reset_on_close",
    "strict_json",
]

TIMESTAMP: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
_NUMBER: Final = r"\d+(\.\d+)?"
DEFAULT_MESSAGE: Final = re.compile(
    rf'{{"cpu":{_NUMBER},"memory":{_NUMBER},"disk":{_NUMBER},"timestamp":"{TIMESTAMP}"}}',
    re.ASCII,
)


@asynccontextmanager
async def client(url: str, source: str = "127.0.0.1") -> AsyncIterator[ClientConnection]:
    """Connect from an address, within a deadline that holds for all that is done meanwhile."""
    with anyio.fail_after(2 * DEADLINE):
        async with connect(
            url,
            compression=None,
            proxy=None,
            close_timeout=2,
            max_queue=None,
            local_addr=(source, 0),
        ) as websocket:
            yield websocket


async def receive(websocket: ClientConnection) -> str:
    """Return the next message, which must be a text message."""
    text = await websocket.recv()
    assert isinstance(text, str)
    return text


async def message(websocket: ClientConnection) -> dict[str, Any]:
    return strict_json(await receive(websocket))


async def close_code(websocket: ClientConnection) -> int:
    """Read until the connection is closed; return the code that the server gave, or 1006."""
    try:
        while True:
            await websocket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def strict_json(text: str) -> dict[str, Any]:
    """Parse an object as RFC 8259 has it: no NaN, no infinity, no duplicate key, no surrogate."""
    text.encode()
    value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_distinct)
    assert isinstance(value, dict)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def assert_nothing_lost(received: Sequence[Sequence[str]]) -> None:
    """Each client's timestamps are a gapless stretch of all that anybody was sent."""
    ticks = sorted(set().union(*received))
    for timestamps in received:
        first = ticks.index(timestamps[0])
        assert list(timestamps) == ticks[first : first + len(timestamps)], ticks


def reset(websocket: ClientConnection) -> None:
    """Vanish: drop the connection with a TCP reset, without a word."""
    reset_on_close(websocket.transport.get_extra_info("socket"))
    websocket.transport.abort()


def reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def handshake(target: str, *extra: str) -> bytes:
    """Return the request with which a WebSocket client begins."""
    lines = (
        f"GET {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *extra,
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
