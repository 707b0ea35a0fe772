from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.server.opening import Opening, read_opening

SOUND = [
    (b"host", b"localhost"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]
ANSWER = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of RFC 6455, section 1.3


def opening(*changes: tuple[bytes, bytes | None]) -> Opening:
    """Make an opening that is sound but for some headers; of a name that is new, one more."""
    changed = dict(changes)
    kept = [(name, changed.pop(name, value)) for name, value in SOUND]
    headers = [(name, value) for name, value in (*kept, *changed.items()) if value is not None]
    return Opening(b"/feed?x=1", headers)


def library(request: Request) -> tuple[int, str | None]:
    answer = ServerProtocol().accept(request)
    return answer.status_code, answer.headers.get("Sec-WebSocket-Accept")


@pytest.mark.parametrize(
    "change",
    [
        (b"upgrade", b"WebSocket"),
        (b"connection", b"keep-alive, Upgrade"),
        (b"connection", b"upgrade"),
        (b"origin", b"https://example.com"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
        (b"cookie", b"a=b"),
    ],
)
def test_a_usual_handshake_is_answered_as_the_library_would(change: tuple[bytes, bytes]) -> None:
    found = opening(change)
    assert found.accept_key() == ANSWER
    assert library(found.request()) == (101, ANSWER.decode())


@pytest.mark.parametrize(
    "change",
    [
        (b"upgrade", b"h2c"),
        (b"upgrade", b"websocket, h2c"),
        (b"upgrade", None),
        (b"connection", b"keep-alive"),
        (b"connection", b"close, upgrade, x"),
        (b"connection", None),
        (b"sec-websocket-key", None),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ="),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZR=="),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==\n"),
        (b"sec-websocket-version", b"8"),
        (b"sec-websocket-version", b" 13"),
        (b"sec-websocket-version", None),
        (b"sec-websocket-protocol", b"metrics.v1"),
        (b"Upgrade", b"websocket"),
    ],
)
def test_an_unusual_handshake_is_the_library_s(change: tuple[bytes, bytes | None]) -> None:
    name, value = change
    found = opening(*[(b"upgrade", None)] * (name == b"Upgrade"), (name, value))
    assert found.accept_key() == b""


@pytest.mark.parametrize("header", SOUND)
def test_a_header_that_comes_twice_is_the_library_s(header: tuple[bytes, bytes]) -> None:
    assert Opening(b"/", [*SOUND, header]).accept_key() == b""


_keys = st.binary(min_size=0, max_size=30) | st.from_regex(rb"[A-Za-z0-9+/]{22}==", fullmatch=True)


@given(_keys)
def test_a_key_is_answered_only_if_the_library_takes_it(key: bytes) -> None:
    found = opening((b"sec-websocket-key", key))
    if answer := found.accept_key():
        assert library(found.request()) == (101, answer.decode())


def test_an_opening_is_read_out_of_what_a_server_passes_on() -> None:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in SOUND)
    assert read_opening(b"GET /feed?x=1 HTTP/1.1\r\n" + lines + b"\r\n") == opening()
