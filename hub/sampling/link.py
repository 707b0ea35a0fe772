"""What passes between the process that samples and one that serves: letters over a stream socket.

Each letter is its length in four bytes, most significant first, one byte that says what it is, and
its body.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Final

__all__ = ["Letter", "Link", "LinkLost"]

_LONGEST: Final = 2**28
"""Bytes of a letter. A snapshot has some thousand; of very many devices, some hundred thousand."""


class Letter(IntEnum):
    """What a letter is."""

    SNAPSHOT = 1
    """To those that serve: a snapshot in its wire form."""
    PRESENT = 2
    """To those that serve: what came until now was the past."""
    SERVICE = 3
    """To workers: what is to be known of the whole service."""
    DEMAND = 4
    """To the process that samples: the names of the families that are wanted, as a JSON list."""
    REPORT = 5
    """Of a worker: what it has done."""
    RETIRE = 6
    """To workers: another one takes over."""


class LinkLost(ConnectionError):
    """The other process has ended, or is about to."""


class Link:
    """One end of the connection between two processes; see ``Letter``.

    Args:
        reader: of a stream socket.
        writer: of the same.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Link:
        """Return a link over a connected socket, which is closed with it."""
        return cls(*await asyncio.open_connection(sock=sock))

    def send(self, letter: Letter, body: bytes = b"") -> None:
        """Send a letter; it waits for nothing, and what the other does not take is kept.

        On a link that is lost it does nothing.
        """
        if not self._writer.is_closing():
            self._writer.write(b"%b%c%b" % (len(body).to_bytes(4), letter, body))

    async def flush(self) -> None:
        """Wait until the other has taken most of what was sent.

        Raises:
            LinkLost: it takes no more.
        """
        try:
            await self._writer.drain()
        except OSError as error:
            raise LinkLost(str(error)) from None

    async def letters(self) -> AsyncIterator[tuple[Letter, bytes]]:
        """Iterate over the letters that come.

        Raises:
            LinkLost: no more come.
        """
        while True:
            try:
                header = await self._reader.readexactly(5)
                length = int.from_bytes(header[:4])
                if length > _LONGEST:
                    raise LinkLost(f"a letter of {length} bytes")
                body = await self._reader.readexactly(length)
                letter = Letter(header[4])
            except (OSError, asyncio.IncompleteReadError) as error:
                raise LinkLost(str(error)) from None
            except ValueError:
                continue  # of a later version
            yield letter, body

    def close(self) -> None:
        """Close it; what was sent may be lost."""
        self._writer.close()
