"""Pictures in PNG, read as browsers write them: eight bits a channel, not interlaced."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Colour", "Picture"]

Colour = tuple[int, int, int]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {2: 3, 6: 4}  # by the type of colour: without and with transparency


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture shows.

    Attributes:
        width: in pixels.
        height: in pixels.
        rows: the bytes of each row, from the top.
        channels: how many bytes a pixel has: red, green, blue, and whatever else.
    """

    width: int
    height: int
    rows: tuple[bytes, ...]
    channels: int

    @classmethod
    def read(cls, data: bytes) -> Picture:
        """Read a picture.

        Raises:
            ValueError: it is none, is damaged, or is of another kind.
        """
        if not data.startswith(_SIGNATURE):
            raise ValueError("no PNG")
        chunks = list(_chunks(data))
        width, height, depth, colour, *_, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
        if (depth, interlace) != (8, 0) or colour not in _CHANNELS:
            raise ValueError("another kind of PNG")
        packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
        channels = _CHANNELS[colour]
        rows = tuple(_rows(zlib.decompress(packed), width * channels, channels))
        if len(rows) != height:
            raise ValueError("rows are missing")
        return cls(width, height, rows, channels)

    def at(self, x: int, y: int) -> Colour:
        """Return the colour of a pixel."""
        place = x * self.channels
        red, green, blue = self.rows[y][place : place + 3]
        return red, green, blue

    def colours(self, left: int, top: int, width: int, height: int) -> list[Colour]:
        """Return the colours of the pixels in a part of it, row by row."""
        return [self.at(x, y) for y in range(top, top + height) for x in range(left, left + width)]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (check,) = struct.unpack_from(">I", data, place + 8 + length)
        if check != zlib.crc32(kind + body):
            raise ValueError("damaged")
        yield kind, body
        place += 12 + length


def _rows(data: bytes, length: int, channels: int) -> Iterator[bytes]:
    """Undo the filters of the rows, each of which may build on the row above (PNG, section 9)."""
    above = bytes(length)
    for start in range(0, len(data), 1 + length):
        row = bytearray(data[start + 1 : start + 1 + length])
        for at in range(length):
            left = row[at - channels] if at >= channels else 0
            corner = above[at - channels] if at >= channels else 0
            row[at] = (row[at] + _guess(data[start], left, above[at], corner)) & 0xFF
        above = bytes(row)
        yield above


def _guess(kind: int, left: int, above: int, corner: int) -> int:
    if kind == 4:
        guess = left + above - corner
        return min((left, above, corner), key=lambda one: abs(guess - one))
    return (0, left, above, (left + above) // 2)[kind]
