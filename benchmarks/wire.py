"""Parses the bytes of the feed strictly, so that only correct frames are counted."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

DEFAULT: Final = ("cpu", "memory", "disk")
TEXT: Final = 0x81
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASKED: Final = 0x80
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


def read_frame(data: bytes) -> Frame | None:
    """Return the first frame in `data`, or None while it is incomplete.

    Raises `WrongBytesError` as soon as the bytes cannot become an unmasked, unfragmented text,
    ping, pong or close frame with its length in the shortest form.
    """
    if not data:
        return None
    if data[0] not in (TEXT, CLOSE, PING, PONG):
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
    if short == 127 or data[0] != TEXT:
        raise WrongBytesError("frame is too long for its kind")
    if len(data) < 4:
        return 4, None
    length = int.from_bytes(data[2:4], "big")
    if length < 126:
        raise WrongBytesError("frame length is not in its shortest form")
    return 4, length


def read_message(payload: bytes, views: Collection[Sequence[str]] = (DEFAULT,)) -> Message:
    """Return the message in a text frame's payload; raises `WrongBytesError` unless it is exact.

    `views` are the metrics that a message may have, in this sequence; it may also have a `seq`.
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
