"""Parses the bytes of the feed strictly, so that only correct frames are counted."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

DEFAULT: Final = ("cpu", "memory", "disk")
TEXT: Final = 0x81
COMPRESSED: Final = 0xC1  # text
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASKED: Final = 0x80
_PERCENTAGES: Final = frozenset((*DEFAULT, "swap"))
_FLUSHED: Final = b"\x00\x00\xff\xff"
_EMPTY_END: Final = b"\x03\x00"  # the last block, of nothing
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", re.ASCII)


class WrongBytesError(Exception):
    """The server sent something that the feed must never contain."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket frame: its first byte, its payload and its size on the wire in bytes."""

    head: int
    payload: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the feed: Unix time of its sample in seconds, and whether it is an error."""

    stamp: float
    failed: bool


def read_frame(data: bytes, *, compression: bool = False) -> Frame | None:
    """Return the first frame in `data`, or None while it is incomplete.

    Raises `WrongBytesError` as soon as the bytes cannot become an unmasked, unfragmented text,
    ping, pong or close frame with its length in the shortest form. Text may be compressed where
    `compression` was agreed.
    """
    if not data:
        return None
    if data[0] not in (TEXT, CLOSE, PING, PONG) and not (compression and data[0] == COMPRESSED):
        raise WrongBytesError(f"frame begins with 0x{data[0]:02x}")
    if len(data) < 2:
        return None
    start, length = _payload_span(data)
    if length is None or len(data) < start + length:
        return None
    return Frame(data[0], data[start : start + length], start + length)


def _payload_span(data: bytes) -> tuple[int, int | None]:
    """Return where the payload starts, and its length unless that has not arrived yet."""
    short = data[1]
    if short & _MASKED:
        raise WrongBytesError("frame from the server is masked")
    if short < 126:
        return 2, short
    if short == 127 or data[0] not in (TEXT, COMPRESSED):
        raise WrongBytesError("frame is too long for its kind")
    if len(data) < 4:
        return 4, None
    length = int.from_bytes(data[2:4], "big")
    if length < 126:
        raise WrongBytesError("frame length is not in its shortest form")
    return 4, length


def inflate(payload: bytes) -> bytes:
    """Return what the payload of a compressed frame stands for, without any message before it.

    Raises `WrongBytesError` if it is not compressed, or does not end with a whole block.
    """
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(payload + _FLUSHED)
        ended = inflater.decompress(_EMPTY_END)
    except zlib.error as error:
        raise WrongBytesError(f"cannot be inflated: {payload!r}") from error
    if ended or not inflater.eof:
        raise WrongBytesError(f"does not end with a block: {payload!r}")
    return inflated


def read_message(payload: bytes, views: Collection[Sequence[str]] = (DEFAULT,)) -> Message:
    """Return the message in a text frame's payload; raises `WrongBytesError` unless it is exact.

    `views` are the metrics that a message may have, in this sequence; it may also have a `seq`.
    Those of the default view, and `swap`, are percentages.
    """
    try:
        pairs = json.loads(
            payload.decode(), object_pairs_hook=tuple, parse_constant=_refuse_constant
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WrongBytesError(f"not JSON: {payload!r}") from error
    match _keys_of(pairs):
        case (*names, "timestamp") | (*names, "timestamp", "seq") if tuple(names) in views:
            return Message(_read_metrics(names, dict(pairs), payload), failed=False)
        case ("error", "timestamp") if isinstance(pairs[0][1], str):
            return Message(_read_stamp(pairs[1][1], payload), failed=True)
        case _:
            raise WrongBytesError(f"wrong keys or types: {payload!r}")


def _refuse_constant(name: str) -> NoReturn:
    raise WrongBytesError(f"{name} is not JSON")


def _keys_of(pairs: object) -> tuple[object, ...]:
    if not isinstance(pairs, tuple):
        return ()
    return tuple(pair[0] for pair in pairs if isinstance(pair, tuple))


def _read_metrics(names: Iterable[Any], values: dict[str, Any], payload: bytes) -> float:
    if not isinstance(values.get("seq", 0), int):
        raise WrongBytesError(f"seq is not a whole number: {payload!r}")
    for name in names:
        value = values[name]
        if name not in _PERCENTAGES:
            if value is None or isinstance(value, str):
                raise WrongBytesError(f"{name} is no figure: {payload!r}")
            continue
        if not isinstance(value, float) or not math.isfinite(value) or not 0 <= value <= 100:
            raise WrongBytesError(f"{name} is not a percentage: {payload!r}")
    return _read_stamp(values["timestamp"], payload)


def _read_stamp(value: object, payload: bytes) -> float:
    if not isinstance(value, str) or not _STAMP.fullmatch(value):
        raise WrongBytesError(f"timestamp is not UTC with six digits: {payload!r}")
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError as error:
        raise WrongBytesError(f"no such time: {payload!r}") from error


def text_frame(text: str) -> bytes:
    """Return the unmasked text frame a server sends for a text of at most 125 bytes."""
    payload = text.encode()
    if len(payload) > 125:
        raise ValueError(f"{len(payload)} bytes do not fit a short frame")
    return bytes((TEXT, len(payload))) + payload


def pong_frame(payload: bytes) -> bytes:
    """Return a client's answer to a ping; its mask is zero, which leaves the payload as it is."""
    return bytes((PONG, _MASKED | len(payload), 0, 0, 0, 0)) + payload


def accept_key(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
