from __future__ import annotations

import json
import zlib
from hashlib import shake_128

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.deflate import THRESHOLD, WINDOW_BITS, deflate
from hub.feed.view import Frame
from tests.support.stage import inflated, server_frames

FAMILY = json.dumps({f"eth{number}": {"received": 1234 * number} for number in range(60)}).encode()


def test_a_large_message_becomes_much_smaller() -> None:
    deflated = deflate(FAMILY)
    assert deflated is not None
    assert len(deflated) < 0.4 * len(FAMILY)
    assert inflated(deflated) == FAMILY


def test_a_client_with_the_window_that_was_agreed_can_read_it() -> None:
    message = FAMILY * 20  # longer than any window
    deflated = deflate(message)
    assert deflated is not None
    small = zlib.decompressobj(wbits=-WINDOW_BITS)
    assert small.decompress(deflated + b"\x00\x00\xff\xff") == message


@pytest.mark.parametrize(("size", "worth_it"), [(THRESHOLD - 1, False), (THRESHOLD, True)])
def test_a_small_message_is_not_compressed(size: int, *, worth_it: bool) -> None:
    frame = Frame(FAMILY[:size])
    assert (deflate(frame.payload) is not None) == worth_it
    assert (frame.compressed is frame.wire) != worth_it


def test_what_does_not_become_smaller_is_not_compressed() -> None:
    assert deflate(shake_128(b"noise").digest(THRESHOLD)) is None


def test_a_frame_is_compressed_once_and_only_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    compressobj = zlib.compressobj

    def counted(level: int, *, wbits: int) -> object:
        made.append(wbits)
        return compressobj(level, wbits=wbits)

    monkeypatch.setattr(zlib, "compressobj", counted)
    frame = Frame(FAMILY)
    assert frame.wire.endswith(FAMILY)
    assert made == []
    assert frame.compressed is frame.compressed
    assert made == [-WINDOW_BITS]
    assert frame == Frame(FAMILY)  # whichever of them has been compressed


def test_without_memory_to_compress_it_goes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("Can't allocate memory for compression object")

    monkeypatch.setattr(zlib, "compressobj", fail)
    frame = Frame(FAMILY)
    assert frame.compressed is frame.wire


@given(st.text(min_size=1, max_size=8), st.integers(0, 400))
def test_a_client_reads_the_same_message_of_either_frame(word: str, count: int) -> None:
    frame = Frame(f"[{word * count}]".encode())
    for wire in (frame.wire, frame.compressed):
        (read,) = server_frames(wire)
        assert read.data == frame.payload
    assert len(frame.compressed) <= len(frame.wire)
