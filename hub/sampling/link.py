"""What passes between the process that samples and one that serves: letters over a stream socket.

Each letter is its length in four bytes, most significant first, one byte that says what it is, and
its body.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from enum import IntEnum
from typing import Final

__all__ = ["Letter", "Link", "LinkLost", "UnfitLetter"]

_LONGEST: Final = 2**28
"""Bytes of a letter. A snapshot has some thousand; of very many devices, some hundred thousand."""


_FULL: Final = 2**16
"""Bytes that wait: what is only news for a moment is not added to more."""


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
    HELLO = 7
    """To hubs of other programs, before all else: see ``Hello``."""
    STANDING = 8
    """To hubs of other programs: how the sampler does, see ``Standing``."""


_KNOWN: Final = frozenset(Letter)


class LinkLost(ConnectionError):
    """The other process has ended, or is about to."""


class UnfitLetter(LinkLost):
    """The other process has sent what it may not; the text says what."""


class Link:
    """One end of the connection between two processes; see ``Letter``.

    Args:
        reader: of a stream socket.
        writer: of the same.
        longest: how many bytes a letter that comes may have.
        is_strict: whether a letter of no known kind ends the link; else it is passed over.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        longest: int = _LONGEST,
        is_strict: bool = False,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._longest = longest
        self._is_strict = is_strict

    @classmethod
    async def over(cls, sock: socket.socket) -> Link:
        """Return a link over a connected socket, which is closed with it."""
        return cls(*await asyncio.open_connection(sock=sock))

    @classmethod
    async def to(cls, path: str) -> Link:
        """Return a link to the process that listens on a Unix socket.

        Raises:
            OSError: none does, or this one may not open it.
        """
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, letter: Letter, body: bytes = b"") -> None:
        """Send a letter; it waits for nothing, and what the other does not take is kept.

        On a link that is lost it does nothing.
        """
        if not self._writer.is_closing():
            self._writer.write(b"%b%c%b" % (len(body).to_bytes(4), letter, body))

    @property
    def is_full(self) -> bool:
        """Whether the other has yet to take much of what was sent."""
        return self._writer.transport.get_write_buffer_size() > _FULL

    async def flush(self) -> None:
        """Wait until the other has taken most of what was sent.

        Raises:
            LinkLost: it takes no more.
        """
        try:
            await self._writer.drain()
        except OSError as error:
            raise LinkLost(str(error)) from None

    async def letters(self) -> AsyncGenerator[tuple[Letter, bytes], None]:
        """Iterate over the letters that come.

        Raises:
            LinkLost: no more come.
            UnfitLetter: one is too long, or on a strict link of no known kind.
        """
        while True:
            try:
                header = await self._reader.readexactly(5)
                body = await self._reader.readexactly(self._length(header))
            except asyncio.IncompleteReadError:
                raise LinkLost("the other end has closed the link") from None
            except UnfitLetter:
                raise
            except OSError as error:
                raise LinkLost(str(error)) from None
            if header[4] in _KNOWN:
                yield Letter(header[4]), body
            elif self._is_strict:
                raise UnfitLetter(f"a letter of the unknown kind {header[4]}")

    def _length(self, header: bytes) -> int:
        length = int.from_bytes(header[:4])
        if length > self._longest:
            raise UnfitLetter(f"a letter of {length} bytes")
        return length

    def close(self) -> None:
        """Close it once the other has taken what was sent; its end may come before."""
        self._writer.close()

    def abort(self) -> None:
        """Close it at once, whatever was not taken yet."""
        self._writer.transport.abort()
