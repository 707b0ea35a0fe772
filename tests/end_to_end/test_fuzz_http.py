"""Strangers who say anything, in any order and split anywhere, to a real hub.

``HUB_FUZZ_STEPS`` is how many things they do, on each of the event loops (default: 600).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.answers import read_spoken
from tests.support.clients import handshake, reset_on_close
from tests.support.inspected import Held, held, start_inspected
from tests.support.loops import LOOPS, environ_for
from tests.support.servers import DEADLINE, PATH, ServerProcess

pytestmark = pytest.mark.long

_T = TypeVar("_T")

_STEPS: Final = int(os.environ.get("HUB_FUZZ_STEPS", "600"))
_AT_ONCE: Final = 25  # steps with the same strangers
_TURNS: Final = 4
_CLIENTS: Final = 4

_TARGETS: Final = (
    "/livez", "/readyz", "/", "/metrics", "/openapi.json", "/nothing", "//livez", "*", "/%00/%ff",
    PATH, f"{PATH}?metrics=cpu&interval=0.2", f"{PATH}?metrics=nothing", f"{PATH}?%ff=%",
    f"{PATH}/stream", f"{PATH}/stream?metrics=memory&history=1", f"{PATH}/stream?interval=0.7",
    f"{PATH}/history?seconds=2", "/api/system/ws", "http://localhost/livez",
    f"http://localhost{PATH}/stream", "http://other.example/livez", "localhost:80",
)  # fmt: skip
_METHODS: Final = ("GET", "GET", "GET", "POST", "OPTIONS", "DELETE", "CONNECT", "BREW")
_VERSIONS: Final = ("1.1", "1.1", "1.1", "1.0", "0.9", "2.0", "9.9")
_HEADERS: Final = (
    "Host: localhost", "Host: other.example", "Host:", "Connection: close", "Connection: Upgrade",
    "Connection: keep-alive", "Upgrade: websocket", "Upgrade: h2c", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: bearer.a/b, x",
    "Sec-WebSocket-Extensions: permessage-deflate", "Content-Length: 0", "Content-Length: 5",
    "Content-Length: -1", "Transfer-Encoding: chunked", "Transfer-Encoding: x", "TE: trailers",
    "Expect: 100-continue", "Origin: http://localhost", "Origin: http://other.example",
    "Authorization: Bearer x", "Last-Event-ID: x", 'If-None-Match: "x", *', "Range: bytes=0-1",
    "Accept-Encoding: gzip", "X-Forwarded-For: 192.0.2.7", "X: " + "y" * 9000, "X : y", " folded",
)  # fmt: skip
_BODIES: Final = (
    b"hello", b"5\r\nhello\r\n", b"1;x=y\r\nz\r\n" * 50, b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n",
    b"0\r\nX: " + b"y" * 9000, b"\r\n", b"\r\n\r\n", b"\n", b"\r\n" * 3000, b"x" * 20_000,
)  # fmt: skip
_FRAMES: Final = (
    b"\x81\x85\0\0\0\0hello", b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", b"\x88\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\xfe\x00\x01\0\0\0\0x", b"\x81\x01x", b"\xf1\x80\0\0\0\0",
    b"\x01\x81\0\0\0\0x", b"\x80\x81\0\0\0\0y", b"\x82\xfe\x13\x88\0\0\0\0" + bytes(5000),
    b"\x82\xff" + bytes(7) + b"\x01", b"\x81\x80\0\0\0\0" * 100,
)  # fmt: skip


def _one_of(values: Sequence[_T]) -> st.SearchStrategy[_T]:
    """Draw one of the values, without repeating them all in every report."""
    return st.integers(0, len(values) - 1).map(lambda number: values[number])


def _head(method: str, target: str, version: str, headers: list[str]) -> bytes:
    lines = (f"{method} {target} HTTP/{version}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


_PLAIN: Final = _one_of(_TARGETS).map(
    lambda target: _head("GET", target, "1.1", ["Host: localhost"])
)
_ODD: Final = st.builds(
    _head,
    _one_of(_METHODS),
    _one_of(_TARGETS),
    _one_of(_VERSIONS),
    st.lists(_one_of(_HEADERS), max_size=6).map(lambda more: ["Host: localhost", *more]),
)
_UPGRADES: Final = st.builds(
    lambda target, version, more: handshake(target, *more).replace(b"1.1", version, 1),
    _one_of((PATH, PATH, f"{PATH}?metrics=cpu", "/nothing", "/api/system/ws", "/livez")),
    _one_of((b"1.1", b"1.1", b"1.1", b"1.0")),
    st.lists(_one_of(_HEADERS), max_size=2),
)
_PIECES: Final = st.one_of(
    _PLAIN,
    _ODD,
    _UPGRADES,
    _one_of(_BODIES),
    _one_of(_FRAMES),
    st.binary(min_size=1, max_size=20),
)
_SENT: Final = st.lists(_PIECES, min_size=1, max_size=5).map(b"".join)
_CUTS: Final = st.lists(st.integers(0, 600), max_size=4)


def _be_served(port: int) -> None:
    """Be answered oneself: by then the hub has read what was sent before."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
        sock.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        while sock.recv(4096):
            continue


class Stranger:
    """One connection, and all that was heard on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.heard = b""

    def say(self, data: bytes, cuts: list[int]) -> None:
        ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
        with contextlib.suppress(OSError):  # the server may have hung up, or not read
            begin = 0
            for end in ends:
                self.sock.send(data[begin:end])
                begin = end

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def hear(self) -> None:
        for _ in range(_TURNS):
            _be_served(self._port)
        self._take()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while more := self.sock.recv(1 << 16):
                self.heard += more

    def leave(self, *, rudely: bool) -> None:
        self._take()
        if rudely:
            with contextlib.suppress(OSError):
                reset_on_close(self.sock)
        self.sock.close()

    def check(self) -> None:
        """What was heard are answers, one after the other, none of them a server's error."""
        spoken = read_spoken(self.heard)
        for number, answer in enumerate(spoken.answers):
            assert answer.status < 500 or answer.status == 503, answer
            is_last = number == len(spoken.answers) - 1
            assert is_last or answer.complete, spoken
            assert is_last or answer.headers.get("connection") != "close", spoken


class Strangers(RuleBasedStateMachine):
    """A few strangers who come, say and hear something, and leave."""

    server: ClassVar[ServerProcess]
    alone: ClassVar[Held]

    def __init__(self) -> None:
        super().__init__()
        self._here: list[Stranger] = []
        self._gone: list[Stranger] = []
        self._mark = self.server.log.mark

    @initialize()
    def one_is_here(self) -> None:
        self._come()

    @precondition(lambda self: len(self._here) < _CLIENTS)
    @rule()
    def come(self) -> None:
        self._come()

    @precondition(lambda self: self._here)
    @rule(which=st.integers(0), data=_SENT, cuts=_CUTS)
    def say(self, which: int, data: bytes, cuts: list[int]) -> None:
        self._one(which).say(data, cuts)

    @precondition(lambda self: self._here)
    @rule(which=st.integers(0), count=st.integers(2, 12), data=_PLAIN, last=_UPGRADES)
    def say_a_lot(self, which: int, count: int, data: bytes, last: bytes) -> None:
        self._one(which).say(data * count + last, [])

    @precondition(lambda self: self._here)
    @rule(which=st.integers(0))
    def hear(self, which: int) -> None:
        self._one(which).hear()

    @precondition(lambda self: self._here)
    @rule(which=st.integers(0))
    def half_close(self, which: int) -> None:
        self._one(which).half_close()

    @precondition(lambda self: self._here)
    @rule(which=st.integers(0), rudely=st.booleans())
    def leave(self, which: int, *, rudely: bool) -> None:
        stranger = self._one(which)
        self._here.remove(stranger)
        self._gone.append(stranger)
        stranger.leave(rudely=rudely)

    def teardown(self) -> None:
        for stranger in self._here:
            stranger.hear()
            stranger.leave(rudely=False)
        self._until_alone()
        for stranger in (*self._here, *self._gone):
            stranger.check()
        lines = self.server.log.since(self._mark)
        assert not [line for line in lines if " ERROR " in line or "Traceback" in line], lines

    def _until_alone(self) -> None:
        """Wait until the server holds no more than before the first stranger."""
        deadline = time.monotonic() + DEADLINE
        while (now := held(self.server)) != self.alone:
            assert time.monotonic() < deadline, (now, self.alone)
            time.sleep(0.02)

    def _come(self) -> None:
        self._here.append(Stranger(self.server.port))

    def _one(self, which: int) -> Stranger:
        return self._here[which % len(self._here)]


@pytest.mark.parametrize("loop", LOOPS)
def test_whatever_strangers_say_answers_do_not_mingle_and_nothing_is_left(
    loop: str, tmp_path: Path
) -> None:
    with start_inspected(environ_for(loop, tmp_path)) as server:

        class Bound(Strangers):
            pass

        Bound.server = server
        Bound.alone = _settled(server)
        run_state_machine_as_test(
            Bound,
            settings=settings(
                max_examples=max(1, _STEPS // _AT_ONCE),
                stateful_step_count=_AT_ONCE,
                deadline=None,
                phases=[Phase.generate],  # what has been left would be left again, however small
                derandomize="HUB_FUZZ_STEPS" not in os.environ,
                database=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )


def _settled(server: ServerProcess) -> Held:
    """Return what the server holds when nobody is there, once it has begun in earnest."""
    stranger = Stranger(server.port)
    stranger.say(_head("GET", f"{PATH}/stream", "1.1", ["Host: localhost"]), [])
    before: Held = {}
    stranger.leave(rudely=True)
    deadline = time.monotonic() + DEADLINE
    while (now := held(server)) != before or now['clients{transport="events"}']:
        assert time.monotonic() < deadline, now
        before = now
        time.sleep(0.2)
    return now
