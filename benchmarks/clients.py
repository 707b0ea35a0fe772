"""Thousands of clients on one thread, with as little work for each frame as Python allows."""

from __future__ import annotations

import base64
import collections
import itertools
import os
import re
import select
import socket
import struct
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, final

from benchmarks.wire import (
    CLOSE,
    COMPRESSED,
    DEFAULT,
    PING,
    TEXT,
    Frame,
    WrongBytesError,
    accept_key,
    inflate,
    pong_frame,
    read_frame,
    read_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

_BUFFER: Final = 65536
_EVENTS: Final = 1024
# Edge-triggered: a socket that was read empty is not looked at again by the next poll.
_INTEREST: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_STATUS: Final = b"HTTP/1.1 101 "
_ACCEPT: Final = re.compile(rb"\r\nsec-websocket-accept:[ \t]*(\S+)[ \t]*\r\n", re.IGNORECASE)
_UPGRADE: Final = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_METRICS: Final = re.compile(r"[?&]metrics=([a-z_,]+)")
_EXTENSIONS: Final = re.compile(rb"\r\nsec-websocket-extensions:[ \t]*([^\r]*)", re.IGNORECASE)
_OFFER: Final = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
_AGREED: Final = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class LostClientsError(Exception):
    """A client could not be connected, or not in time."""


@dataclass(slots=True)
class Tick:
    """One message as all clients get it: its frame, its sample's Unix time, when it arrived."""

    frame: bytes
    stamp: float
    failed: bool = False
    arrivals: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class _View:
    """What the clients of one path share: the metrics of their messages, and the newest message."""

    metrics: tuple[str, ...]
    tick: Tick = field(default_factory=lambda: Tick(b"", 0.0))


@dataclass(slots=True)
class _Handshake:
    view: _View
    request: bytes
    accept: bytes
    sent: bool = False
    received: bytes = b""


@final
class Clients:
    """Clients of one server that check every frame they get.

    Each message is parsed when the first client receives it; for the others it is enough to compare
    their bytes with it. All other data takes a slower path: partial frames, several frames at once,
    pings, closes, and late copies of an earlier message.

    Clients take `paths` in turn. `receive_buffer` is each socket's SO_RCVBUF in bytes, the
    system's default if None. With `compression` they offer it as browsers do, and insist on it.
    """

    def __init__(
        self,
        port: int,
        paths: Sequence[str],
        receive_buffer: int | None = None,
        *,
        compression: bool = False,
    ) -> None:
        self.ticks: Final[dict[bytes, Tick]] = {}
        self.lost = 0
        self._address: Final = ("127.0.0.1", port)
        self._paths: Final = paths
        self._offer: Final = _OFFER if compression else ""
        self._agreed: Final = [_AGREED] if compression else []
        self._receive_buffer: Final = receive_buffer
        self._epoll: Final = select.epoll()
        self._buffer: Final = bytearray(_BUFFER)
        self._views: Final[dict[int, _View]] = {}
        self._sockets: Final[dict[int, socket.socket]] = {}
        self._receive: Final[dict[int, Callable[[bytearray], int]]] = {}
        self._latest: Final[dict[int, float]] = {}
        self._partial: Final[dict[int, bytes]] = {}
        self._opening: Final[dict[int, _Handshake]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._sockets.values():
            # A reset leaves no port in TIME_WAIT, of which the next case needs thousands.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        self._epoll.close()

    def open(self, count: int, in_flight: int, timeout: float = 60.0) -> float:
        """Connect clients, at most `in_flight` at a time; return how many seconds that took.

        Raises `LostClientsError` if one is refused, or if they are not all connected within
        `timeout` seconds.
        """
        waiting = collections.deque(_handshakes(self._paths, count, self._offer))
        started = time.monotonic()
        while waiting or self._opening:
            while waiting and len(self._opening) < in_flight:
                self._connect(waiting.popleft())
            self._handle_events(self._epoll.poll(1.0, _EVENTS))
            if self.lost or time.monotonic() > started + timeout:
                raise LostClientsError(f"{len(waiting) + len(self._opening)} never connected")
        return time.monotonic() - started

    def release(self) -> list[socket.socket]:
        """Return all that are connected, for a caller that reads them from now on instead of `run`.

        They wake this process no more: that would be work for the senders, under one lock.
        """
        for number in self._sockets:
            self._epoll.unregister(number)
        return list(self._sockets.values())

    def run(self, until: float, *, enough: Callable[[], bool] = lambda: False) -> None:
        """Receive until a Unix time in seconds, or until `enough` is true between two batches."""
        while (left := until - time.time()) > 0 and not enough():
            self._handle_events(self._epoll.poll(left, _EVENTS))

    def _connect(self, handshake: _Handshake) -> None:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if self._receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        number = client.fileno()
        self._sockets[number] = client
        self._receive[number] = client.recv_into
        self._latest[number] = 0.0
        self._views[number] = handshake.view
        self._opening[number] = handshake
        client.connect_ex(self._address)
        self._epoll.register(number, _INTEREST)

    def _handle_events(self, events: Iterable[tuple[int, int]]) -> None:
        # The measured loop: all names in it are local, and all functions it calls are written in C.
        now, buffer, receive = time.time, self._buffer, self._receive
        latest, partial = self._latest, self._partial
        same, views = buffer.startswith, self._views
        for number, _ in events:
            tick = views[number].tick
            try:
                size = receive[number](buffer)
            except OSError as error:
                self._handle_socket_error(number, error)
                continue
            if (
                size == len(tick.frame)
                and same(tick.frame)
                and latest[number] < tick.stamp
                and number not in partial
            ):
                latest[number] = tick.stamp
                tick.arrivals.append(now())
            else:
                self._handle_data(number, size)

    def _handle_socket_error(self, number: int, error: OSError) -> None:
        handshake = self._opening.get(number)
        if not isinstance(error, BlockingIOError):
            self._disconnect(number)
        elif handshake and not handshake.sent:
            self._sockets[number].send(handshake.request)
            handshake.sent = True

    def _handle_data(self, number: int, size: int) -> None:
        arrived = time.time()
        if size == 0:
            self._disconnect(number)
            return
        data = bytes(memoryview(self._buffer)[:size])
        if number in self._opening:
            data = self._finish_handshake(number, data)
        self._handle_frames(number, self._partial.pop(number, b"") + data, arrived)
        if size == _BUFFER and number in self._sockets:
            self._handle_events([(number, select.EPOLLIN)])

    def _finish_handshake(self, number: int, data: bytes) -> bytes:
        """Return the bytes after the server's response head; empty until the head is complete."""
        handshake = self._opening[number]
        handshake.received += data
        head, end, rest = handshake.received.partition(b"\r\n\r\n")
        if not end:
            return b""
        _check_answer(head + b"\r\n", handshake.accept, self._agreed)
        del self._opening[number]
        return rest

    def _handle_frames(self, number: int, data: bytes, arrived: float) -> None:
        compression = bool(self._agreed)
        while (frame := read_frame(data, compression=compression)) is not None:
            whole, data = data[: frame.size], data[frame.size :]
            if frame.head in (TEXT, COMPRESSED):
                self._handle_text(number, whole, frame, arrived)
            elif frame.head == PING:
                self._sockets[number].send(pong_frame(frame.payload))
            elif frame.head == CLOSE:
                self._disconnect(number)
                return
        if data:
            self._partial[number] = data

    def _handle_text(self, number: int, whole: bytes, frame: Frame, arrived: float) -> None:
        tick, view = self.ticks.get(whole), self._views[number]
        if tick is None:
            payload = inflate(frame.payload) if frame.head == COMPRESSED else frame.payload
            message = read_message(payload, (view.metrics,))
            tick = self.ticks[whole] = Tick(whole, message.stamp, message.failed)
        view.tick = tick
        if self._latest[number] >= tick.stamp:
            raise WrongBytesError(f"not later than the message before: {frame.payload!r}")
        self._latest[number] = tick.stamp
        tick.arrivals.append(arrived)

    def _disconnect(self, number: int) -> None:
        self.lost += 1
        self._opening.pop(number, None)
        self._partial.pop(number, None)
        self._epoll.unregister(number)
        self._sockets.pop(number).close()


def _metrics_of(path: str) -> tuple[str, ...]:
    found = _METRICS.search(path)
    return tuple(found[1].split(",")) if found else DEFAULT


def _handshakes(paths: Sequence[str], count: int, more: str) -> list[_Handshake]:
    # Made before the measured time begins; each client has its own key.
    handshakes = []
    views = [(path, _View(_metrics_of(path))) for path in paths]
    for path, view in itertools.islice(itertools.cycle(views), count):
        key = base64.b64encode(os.urandom(16))
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\n"
            f"Sec-WebSocket-Version: 13\r\n{more}\r\n"
        )
        handshakes.append(_Handshake(view, request.encode(), accept_key(key)))
    return handshakes


def _check_answer(head: bytes, accept: bytes, agreed: Sequence[bytes]) -> None:
    if not head.startswith(_STATUS) or not _UPGRADE.search(head):
        raise WrongBytesError(f"not a switch to WebSocket: {head!r}")
    if _ACCEPT.findall(head) != [accept]:
        raise WrongBytesError(f"wrong Sec-WebSocket-Accept: {head!r}")
    if _EXTENSIONS.findall(head) != agreed:
        raise WrongBytesError(f"other extensions than the client insists on: {head!r}")
