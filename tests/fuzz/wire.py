"""What the hub reads beside the library, and has to read as the library does."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from websockets.exceptions import InvalidHeader, NegotiationError, ProtocolError
from websockets.extensions.permessage_deflate import _extract_parameters
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import ExtensionParameter

from hub.feed.deflate import WINDOW_BITS
from hub.server.connection import FrameLengths
from hub.server.deflate import TooLargeError, inflate, negotiate
from hub.server.opening import read_opening
from tests.fuzz.target import Target

__all__ = ["TARGETS"]


def read_requests(data: bytes) -> None:
    """What the plain reader takes, the library takes, whole, and as the same."""
    opening = read_opening(data)
    if opening is None:
        return
    request = opening.request()
    reader = StreamReader()
    reader.feed_data(data)
    try:
        next(Request.parse(reader.read_line))
    except StopIteration as end:
        expected: Request = end.value
    assert not reader.buffer
    assert (request.method, request.path, request.protocol) == (
        expected.method,
        expected.path,
        expected.protocol,
    )
    assert list(request.headers.raw_items()) == list(expected.headers.raw_items())
    assert request.headers == expected.headers
    if key := opening.accept_key():  # whatever the hub accepts by itself, the library accepts
        answer = ServerProtocol().accept(expected)
        assert answer.status_code == 101
        assert answer.headers["Sec-WebSocket-Accept"] == key.decode()


@dataclass(frozen=True, slots=True)
class _Whole:
    """One frame as the library reads it."""

    size: int  # in bytes
    minimal: bool
    closes: bool


_PADDING: Final = bytes(70_000)  # more than any length that may be written shorter


def follow_lengths(data: bytes) -> None:
    cuts, stream = data[:2], data[2:]
    whole = _follow([stream])
    for pieces in ([stream[at : at + 1] for at in range(len(stream))], _cut(stream, cuts)):
        assert _follow(pieces) == whole
    _check_against_library(stream, whole)


def _cut(stream: bytes, cuts: bytes) -> list[bytes]:
    ends = [*sorted(cuts), len(stream)]
    return [stream[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def _follow(pieces: Iterable[bytes]) -> tuple[bool, bool] | None:
    """Return whether a close frame has begun, and whether frames are whole; None if refused."""
    lengths = FrameLengths()
    if all(lengths.follow(piece) for piece in pieces):
        assert not (lengths.closes and lengths.between)
        return lengths.closes, lengths.between
    return None


def _check_against_library(stream: bytes, found: tuple[bool, bool] | None) -> None:
    at = 0
    while at < len(stream):
        try:
            frame = _library_frame(stream[at:])
        except ProtocolError:  # it closes the connection, whatever the lengths
            return
        if frame is None:
            _check_rest(stream[at:], found)
            return
        if not frame.minimal:
            assert found is None
            return
        if frame.closes:
            assert found == (True, False)
            return
        at += frame.size
    assert found == (False, True)


def _check_rest(rest: bytes, found: tuple[bool, bool] | None) -> None:
    """Check what is found of a frame that is not whole yet, by what it may become."""
    if len(rest) < 2 or len(rest) < 2 + {126: 2, 127: 8}.get(rest[1] & 0x7F, 0):
        assert found == (False, False)
        return
    try:
        frame = _library_frame(rest + _PADDING)
    except ProtocolError:
        return
    if frame is not None and not frame.minimal:
        assert found is None
    else:
        assert found == (rest[0] & 0x0F == Opcode.CLOSE, False)


def _library_frame(data: bytes) -> _Whole | None:
    """Return the first frame, or None if it is not whole; raises ProtocolError."""
    reader = StreamReader()
    reader.feed_data(data)
    try:
        next(Frame.parse(reader.read_exact, mask=True))
    except StopIteration as end:
        frame: Frame = end.value
        size = len(data) - len(reader.buffer)
        return _Whole(size, len(frame.serialize(mask=True)) == size, frame.opcode is Opcode.CLOSE)
    return None


_ANSWER: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_WITH_BITS: Final = f"{_ANSWER}; server_max_window_bits={WINDOW_BITS}"


def read_offers(data: bytes) -> None:
    """What the library reads as a list of offers, the hub does, and takes the same of them."""
    offers = data.decode("latin-1")
    answer = negotiate(offers)
    assert answer in {None, _ANSWER, _WITH_BITS}
    if len(offers) > 1024:
        assert answer is None
        return
    try:
        found = parse_extension(offers)
    except InvalidHeader:
        return
    taken = [_library_answer(them) for name, them in found if name == "permessage-deflate"]
    assert answer == next(filter(None, taken), None)


def _library_answer(parameters: Sequence[ExtensionParameter]) -> str | None:
    try:
        _, _, bits, _ = _extract_parameters(parameters, is_server=True)
    except NegotiationError:
        return None
    if bits is None:
        return _ANSWER
    return _WITH_BITS if bits >= WINDOW_BITS else None


_LIMIT: Final = 300


def inflate_message(data: bytes) -> None:
    """A message is refused, or inflated within the limit as the library would."""
    try:
        found = inflate(data, _LIMIT)
    except (TooLargeError, zlib.error):
        return
    assert len(found) <= _LIMIT
    assert found == zlib.decompressobj(wbits=-15).decompress(data + b"\x00\x00\xff\xff")


TARGETS: Final = (
    Target(
        "offers",
        read_offers,
        [
            *(b"permessage-deflate", b"server_no_context_takeover", b"client_no_context_takeover"),
            *(b"server_max_window_bits=", b"client_max_window_bits", b"12", b"8", b"15", b"16"),
            *(b";", b"=", b",", b" ", b"\t", b'"', b"\\", b"\0", b"\xff", b"another"),
        ],
    ),
    Target(
        "inflate",
        inflate_message,
        [
            *(b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
            *(b"\x00\x05\x00\xfa\xffHello", b"\x00\x00\x00\xff\xff", b"\x03\x00", b"\x06"),
            *(b"\x4b\x4c\x1a\x05\xa3\x60\x14\x8c\x02", b"\xed\xc1\x01", bytes(8), b"\xff" * 8),
        ],
    ),
    Target(
        "plain_request",
        read_requests,
        [
            *(b"GET / HTTP/1.1\r\n", b"GET ", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n"),
            *(b"Host: localhost\r\n", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"),
            *(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"Sec-WebSocket-Version: 13\r\n"),
            *(
                b"Content-Length: 0\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"POST ",
                b"?metrics=cpu",
            ),
            *(b":", b" ", b"\t", b"\n", b"\r", b"\0", b"\x0b", b"\x7f", b"\x85", b"\xa0", b"\xff"),
        ],
    ),
    Target(
        "frame_lengths",
        follow_lengths,
        [
            *(b"\x81\x85\0\0\0\0hello", b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", b"\x88\x80"),
            *(b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\xfe\x00\x7e", b"\x81\xfe\x00\x7d", b"\x01\x81"),
            *(
                b"\x82\xff" + bytes(5) + b"\x01\0\0",
                b"\x82\xff" + bytes(6) + b"\xff\xff",
                b"\x80\x81",
            ),
            *(b"\x82\xff" + b"\xff" * 8, b"\x81\x01x", b"\xf1\x80\0\0\0\0", bytes(126)),
        ],
    ),
)
