"""The least a server in Python can do: raw sockets, and one `socket.send` for each client.

It answers any request that has a key, reads nothing afterwards, keeps no buffers and drops a
client whose socket does not accept a frame at once. Nothing in Python that sends to each client
separately can be cheaper; it is the floor, not a server to use.
"""

from __future__ import annotations

import itertools
import re
import select
import socket
import time
from typing import TYPE_CHECKING, Final, final

from benchmarks.servers.feed import INTERVAL, announce, message
from benchmarks.wire import accept_key, text_frame

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY: Final = re.compile(rb"\r\nsec-websocket-key: *(\S+)\r\n", re.IGNORECASE)
_SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
)


@final
class _Floor:
    def __init__(self) -> None:
        self._listener: Final = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._listener.settimeout(0)
        self._epoll: Final = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._sockets: Final[dict[int, socket.socket]] = {}
        self._sends: Final[dict[int, Callable[[bytes], int]]] = {}

    def run(self) -> None:
        """Serve until the process is ended."""
        announce(self._listener.getsockname()[1])
        due = time.monotonic()
        for count in itertools.count():
            due = max(due + INTERVAL, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                self._listen(left)
            self._broadcast(text_frame(message(count)))

    def _broadcast(self, frame: bytes) -> None:
        gone = []
        for number, send in self._sends.items():
            try:
                send(frame)
            except OSError:
                gone.append(number)
        for number in gone:
            self._drop(number)

    def _listen(self, seconds: float) -> None:
        for number, _ in self._epoll.poll(seconds, 1024):
            if number == self._listener.fileno():
                self._accept()
            else:
                self._answer(number)

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self._listener.accept()
                client.settimeout(0)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets[client.fileno()] = client
                self._epoll.register(client, select.EPOLLIN)
        except BlockingIOError:
            return

    def _answer(self, number: int) -> None:
        client = self._sockets[number]
        try:
            request = client.recv(4096)
            if not request:
                self._drop(number)
            elif number not in self._sends and (key := _KEY.search(request)):
                client.send(_SWITCH + accept_key(key[1]) + b"\r\n\r\n")
                self._sends[number] = client.send
        except OSError:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._sends.pop(number, None)
        self._sockets.pop(number).close()


if __name__ == "__main__":
    _Floor().run()
