"""Memory that the worker processes of a service share, and what is where in it."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self, TypeVar

__all__ = ["LINE", "WORD", "Area", "Layout", "Segment"]

WORD: Final = 8
"""Bytes of a word. Words are aligned, so that each is read and written as a whole."""

LINE: Final = struct.Struct("8Q")
"""Eight words, a processor's cache line, in native form: it copies each word as a whole."""

_MAGIC: Final = b"hubseg1\0"
_HEADER: Final = struct.Struct("=8s4I32s")
_TAKEN: Final = 7  # the word of a part's totals that says whether a process has taken it
_HEADER_BYTES: Final = 128  # so that the parts begin at a cache line


_Part = TypeVar("_Part", memoryview, "memoryview[float]")


class Area(Enum):
    """What a part has, in this order."""

    TOTALS = "totals"
    VIEWS = "views"
    ADDRESSES = "addresses"
    ADDRESS_VIEWS = "address_views"
    CONNECT_COUNTS = "connect_counts"
    CONNECT_ENDS = "connect_ends"
    TOKEN_COUNTS = "token_counts"  # noqa: S105 # how many wrong ones there were
    TOKEN_ENDS = "token_ends"  # noqa: S105 # when a window of those ends

    @property
    def is_of_clients(self) -> bool:
        """Whether it says what a worker's clients have, which is nothing once the worker ended."""
        return self in {Area.TOTALS, Area.VIEWS, Area.ADDRESSES, Area.ADDRESS_VIEWS}


@dataclass(frozen=True, slots=True)
class Layout:
    """How large everything is; sizes are in words, and whole cache lines.

    Attributes:
        parts: how many there are, one for each worker.
        table: slots of a table, a power of two.
        views: views of which a worker can tell the others that they are live.
        windows: windows in which a worker counts how often clients come, a power of two.
    """

    parts: int
    table: int
    views: int
    windows: int

    def words(self, area: Area) -> int:
        """Return the size of an area."""
        if area is Area.TOTALS:
            return 8
        if area is Area.VIEWS:
            return (self.views + 7) // 8 * 8
        return self.table if area.is_of_clients else self.windows

    def offset(self, area: Area) -> int:
        """Return where in a part an area begins."""
        areas = list(Area)
        return sum(self.words(before) for before in areas[: areas.index(area)])

    @property
    def part(self) -> int:
        """The size of a part."""
        return sum(self.words(area) for area in Area)

    @property
    def bytes(self) -> int:
        """The size of it all, in bytes."""
        return _HEADER_BYTES + self.parts * self.part * WORD


class Segment:
    """One part for each worker, which alone writes to it and whose words all others may read.

    There are no locks. What one word says changes at once; nothing may lean on the order in which
    several words change, for a processor may show it differently to another.

    Args:
        fd: of the memory; it stays the caller's, and may be closed.

    Raises:
        ValueError: it is none, or of another version.
    """

    def __init__(self, fd: int) -> None:
        header = os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0")
        magic, *sizes, secret = _HEADER.unpack(header)
        self.layout = Layout(*sizes)
        if magic != _MAGIC or self.layout.bytes != os.fstat(fd).st_size:
            raise ValueError("this is no segment, or that of another version of the hub")
        self._memory = mmap.mmap(fd, self.layout.bytes)
        self._empty_hash = hashlib.blake2b(key=secret, digest_size=WORD)
        self._given: list[memoryview | memoryview[float]] = []  # are released before the memory is

    @classmethod
    def create(cls, layout: Layout) -> tuple[Self, int]:
        """Make a segment, and a descriptor that other processes may inherit.

        Raises:
            OSError: there is no room for it.
        """
        fd = _allocate(layout.bytes)
        sizes = (layout.parts, layout.table, layout.views, layout.windows)
        try:
            os.pwrite(fd, _HEADER.pack(_MAGIC, *sizes, secrets.token_bytes(32)), 0)
            return cls(fd), fd
        except BaseException:
            os.close(fd)
            raise

    def words(self, area: Area) -> list[memoryview]:
        """Return an area of each part, as unsigned words."""
        return [self._keep(part.cast("Q")) for part in self._areas(area)]

    def times(self, area: Area) -> list[memoryview[float]]:
        """Return an area of each part, as floating-point numbers of a word each."""
        return [self._keep(part.cast("d")) for part in self._areas(area)]

    def _areas(self, area: Area) -> Iterator[memoryview]:
        offset, size = self.layout.offset(area) * WORD, self.layout.words(area) * WORD
        with memoryview(self._memory) as memory:
            for index in range(self.layout.parts):
                start = self._start(index) + offset
                yield memory[start : start + size]

    def _keep(self, part: _Part) -> _Part:
        self._given.append(part)
        return part

    def _start(self, index: int) -> int:
        if not 0 <= index < self.layout.parts:
            raise IndexError(f"there are {self.layout.parts} parts, and none is {index}")
        return _HEADER_BYTES + index * self.layout.part * WORD

    def hash(self, text: str) -> int:
        """Return a word that stands for a text, alike in all workers of this service only.

        No client can tell which texts have similar ones.
        """
        found = self._empty_hash.copy()
        found.update(text.encode())
        return int.from_bytes(found.digest(), "little")

    def take(self, index: int) -> None:
        """Make a part this process's own, clean.

        Raises:
            IndexError: there is no such part.
        """
        at = self._start(index) + _TAKEN * WORD
        if any(self._memory[at : at + WORD]):  # to write zeros over zeros would take memory
            self.clear(index)
        self._memory[at] = 1

    def clear(self, index: int) -> None:
        """Forget what the clients of a worker had that has ended.

        How often clients came to it is kept: that stays true, and is over by itself.

        Raises:
            IndexError: there is no such part.
        """
        start = self._start(index)
        words = sum(self.layout.words(area) for area in Area if area.is_of_clients)
        self._memory[start : start + words * WORD] = bytes(words * WORD)

    def close(self) -> None:
        """Let go of the memory; again is a no-op."""
        for view in self._given:
            view.release()
        self._given.clear()
        self._memory.close()


def _allocate(size: int) -> int:
    """Return a descriptor of memory that is all zeros and has no name."""
    try:
        fd = os.memfd_create("hub-limits")
    except (AttributeError, OSError):  # not on Linux, or a sandbox does not let us
        return _unlinked_file(size)
    os.ftruncate(fd, size)  # what is never used takes no memory
    return fd


def _unlinked_file(size: int) -> int:
    """Return a descriptor of a file that is written out: a full disk is to be found out now."""
    block = bytes(1 << 20)
    with tempfile.TemporaryFile() as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
        file.flush()
        return os.dup(file.fileno())
