"""What a server has sent on one connection, read strictly: answers, and frames after a switch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from websockets.frames import Frame
from websockets.streams import StreamReader

__all__ = ["Answer", "Spoken", "read_spoken"]

_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]*")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([ -~\x80-\xff]*)")
_SIZE: Final = re.compile(rb"[0-9a-f]{1,8}")


class _Unfinished(Exception):
    """There is less than a whole of what is being read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``complete`` is False where its connection ended before it did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Spoken:
    """All that was sent: answers, and the frames that came after the switch to WebSocket."""

    answers: Sequence[Answer]
    frames: Sequence[Frame]

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


def read_spoken(data: bytes, methods: Sequence[str] = ()) -> Spoken:
    """Read what a server has sent; only its end may be missing.

    Args:
        data: all of it.
        methods: those of the requests, as far as they are not GET.

    Raises:
        AssertionError: it is not one answer after the other, and then frames.
    """
    reader = _Reader(data)
    answers: list[Answer] = []
    asked: Iterator[str] = iter(methods)
    while reader.left:
        answer = reader.answer(next(asked, "GET"))
        if answer is None:  # there is but a part of its head
            break
        answers.append(answer)
        if answer.status == 101:
            return Spoken(answers, list(_frames(reader.rest())))
    return Spoken(answers, [])


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def rest(self) -> bytes:
        return self._data[self._at :]

    def answer(self, method: str) -> Answer | None:
        try:
            status = _STATUS.fullmatch(self._line())
            assert status, self._context()
            headers = self._headers()
        except _Unfinished:
            assert b"HTTP/1.1 ".startswith(self.rest()[:9]) or self.rest()[:9] == b"HTTP/1.1 "
            return None
        body = bytearray()
        try:
            for piece in self._body(int(status[1]), method, headers):
                body += piece
        except _Unfinished:
            return Answer(int(status[1]), headers, bytes(body), complete=False)
        return Answer(int(status[1]), headers, bytes(body))

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while line := self._line():
            found = _HEADER.fullmatch(line)
            assert found, self._context()
            name = found[1].decode().lower()
            assert name not in headers or name == "vary", self._context()
            headers[name] = found[2].decode("latin-1")
        return headers

    def _body(self, status: int, method: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        if method == "HEAD" or status in {101, 204, 304}:
            return
        if "content-length" in headers:
            assert "transfer-encoding" not in headers, headers
            yield from self._take(int(headers["content-length"]))
            return
        assert headers.get("transfer-encoding") == "chunked", headers
        while True:
            size = self._line()
            assert _SIZE.fullmatch(size), self._context()
            yield from self._take(int(size, 16))
            assert self._line() == b"", self._context()
            if not int(size, 16):
                return

    def _take(self, size: int) -> Iterator[bytes]:
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        yield piece
        if len(piece) < size:
            raise _Unfinished

    def _line(self) -> bytes:
        end = self._data.find(b"\r\n", self._at)
        if end < 0:
            raise _Unfinished
        line = self._data[self._at : end]
        self._at = end + 2
        return line

    def _context(self) -> bytes:
        return self._data[max(0, self._at - 200) : self._at + 100]


def _frames(data: bytes) -> Iterator[Frame]:
    """Read a server's frames; raise where one is none."""
    reader = StreamReader()
    reader.feed_data(data)
    found: list[Frame] = []

    def read() -> Iterator[None]:
        while True:
            found.append((yield from Frame.parse(reader.read_exact, mask=False)))

    next(read())
    yield from found
