"""Attacks on what comes before the feed: requests that do not end, or are not what they seem."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.servers.feed import PATH

__all__ = ["HTTP_ATTACKS", "HttpAttack", "attack_http"]

_NUMBER: Final = "@"  # in what is sent: 2 on the first connection, 3 on the next, up to 3,600
_SILENT: Final = 5.0
_PATIENCE: Final = 10.0
_TWENTY: Final = 20
_TAIL: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class HttpAttack:
    """What an attacker sends on every connection, until it is cut off.

    Attributes:
        title: what it is.
        begin: bytes that are sent once.
        again: bytes that are sent from then on; none for an attacker that waits to be answered.
        ends: how the server may end it; see ``attack_http``.
        pause: seconds between two times that ``again`` is sent.
        attackers: how many do so at the same time.
        stays: whether a client that is let in stays, and another one comes.
    """

    title: str
    begin: bytes
    again: bytes
    ends: frozenset[str]
    pause: float = 0.0
    attackers: int = 1
    stays: bool = False


def _request(target: str, *headers: str, method: str = "GET") -> bytes:
    lines = (f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", "")
    return "\r\n".join(lines).encode()


_WEBSOCKET: Final = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
_UPGRADE: Final = _request(PATH, *_WEBSOCKET)
_CHUNKED: Final = _request(f"{PATH}/stream", "Transfer-Encoding: chunked")
_STREAM: Final = _request(f"{PATH}/stream")
_WINDOW: Final = _request(f"{PATH}?interval=3600")
_BODY: Final = frozenset({"413", "reset"})
_LATE: Final = frozenset({"200", "closed", "reset"})

_ALONE: Final = {
    "trailer": HttpAttack(
        "a trailer without end", _CHUNKED + b"0\r\nX: ", b"a" * (1 << 16), _BODY
    ),
    "chunks": HttpAttack("chunks of one byte", _CHUNKED, b"1\r\nx\r\n" * 1000, _BODY),
    "body": HttpAttack(
        "a body of 1 GB",
        _request("/livez", f"Content-Length: {10**9}", method="POST"),
        bytes(1 << 16),
        _BODY,
    ),
    "behind": HttpAttack(
        "bytes behind a stream's request", _STREAM, b"a" * 1000, _LATE | {"431"}
    ),
    "trickle": HttpAttack(
        "20 bytes a second behind a stream's request", _STREAM, b"a", _LATE, 0.05
    ),
    "head": HttpAttack(
        "a head of 20 bytes a second", _request("/livez")[:-2] + b"X: ", b"a",
        frozenset({"408", "reset"}), 0.05,
    ),
    "mingled": HttpAttack(
        "a request and an upgrade in one segment", _request("/livez") + _UPGRADE, b"",
        frozenset({"429"}),
    ),
    "pipeline": HttpAttack(
        "seven requests for the longest window in one segment",
        _WINDOW * 6 + _request(f"{PATH}?interval=3600", "Connection: close"),
        b"",
        frozenset({"200", "503"}),
    ),
    "guess": HttpAttack(
        "wrong tokens",
        _request("/api/system/ws", *_WEBSOCKET, f"Authorization: Bearer guess-{_NUMBER}"), b"",
        frozenset({"401", "429"}),
    ),
    "views": HttpAttack(
        "as many different views as there may be",
        _request(f"{PATH}?metrics=cpu&interval={_NUMBER}", *_WEBSOCKET), b"",
        frozenset({"429"}), stays=True,
    ),
    "windows": HttpAttack(
        "the latest of ever other windows",
        _request(f"{PATH}?interval={_NUMBER}", "Connection: close"), b"",
        frozenset({"200", "503"}),
    ),
    "format": HttpAttack(
        "figures in a format that is none",
        _request(
            "/metrics", "Accept: application/openmetrics-text;version=x.y", "Connection: close"
        ), b"",
        frozenset({"200"}),
    ),
}  # fmt: skip

HTTP_ATTACKS: Final = _ALONE | {
    f"{name}-{_TWENTY}": replace(one, title=f"{one.title}, {_TWENTY} times", attackers=_TWENTY)
    for name, one in _ALONE.items()
}


def attack_http(kind: HttpAttack, port: int, over: threading.Event) -> Counter[str]:
    """Attack until it is over; return how the connections ended, and how often.

    They end with the status of the last answer on them, as `closed` where that is long past, or as
    `reset` where what was said last could not be read. `not cut off` is what must not be.
    """
    ends: Counter[str] = Counter()
    numbers = itertools.cycle(range(2, 3601))
    inside: dict[int, socket.socket] = {}

    def work() -> None:
        while not over.is_set():
            # Of a view that it has, an attacker may have any number of clients: that is no attack.
            number = next(number for number in numbers if number not in inside)
            begin = kind.begin.replace(_NUMBER.encode(), b"%d" % number)
            if kind.stays:
                ends[_stay(begin, port, number, inside)] += 1
            else:
                ends[_once(kind, begin, port, over)] += 1

    workers = [threading.Thread(target=work) for _ in range(kind.attackers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for sock in inside.values():
        sock.close()
    ends.pop("over", None)
    return ends


def _stay(begin: bytes, port: int, number: int, inside: dict[int, socket.socket]) -> str:
    sock = socket.create_connection(("127.0.0.1", port), _SILENT)
    sock.sendall(begin)
    status = sock.recv(1 << 16)[9:12].decode()
    if status == "101":
        inside[number] = sock
        return "over"
    sock.close()
    return status


def _once(kind: HttpAttack, begin: bytes, port: int, over: threading.Event) -> str:
    with socket.create_connection(("127.0.0.1", port), _SILENT) as sock:
        said, unsent = b"", begin
        deadline = time.monotonic() + _PATIENCE
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                wants = [sock] if unsent else []
                readable, writable, _ = select.select([sock], wants, [], kind.pause or 1.0)
                if readable:
                    said = said[-_TAIL:] + (more := sock.recv(1 << 16))
                    if not more:
                        return _end(said)
                if writable:
                    unsent = unsent[sock.send(unsent) :]
                if over.is_set():
                    return "over"
                if not unsent and kind.again:
                    time.sleep(kind.pause)
                    unsent = kind.again
            return "not cut off"
        return "reset"


def _end(said: bytes) -> str:
    """Return the status of the last answer, as far as it is among what was said last."""
    status = said.rpartition(b"HTTP/1.1 ")[2][:3]
    return status.decode() if status.isdigit() else "closed"
