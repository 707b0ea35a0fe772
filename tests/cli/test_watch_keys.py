"""Keys: how they are read, and what they do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.watch.keys import Key, KeyReader
from tests.support.watched import Picture, busy_machine


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"q", Key.QUIT), (b"Q", Key.QUIT), (b"?", Key.HELP), (b"x", Key.OTHER),
        (b"\x1b[A", Key.UP), (b"\x1bOA", Key.UP), (b"\x1b[B", Key.DOWN), (b"\x1bOB", Key.DOWN),
        (b"\x1b[1;5A", Key.UP), (b"\x1b[5~", Key.PAGE_UP), (b"\x1b[6~", Key.PAGE_DOWN),
        (b"\x1b[6;2~", Key.PAGE_DOWN), (b"\x1b[H", Key.HOME), (b"\x1bOH", Key.HOME),
        (b"\x1b[1~", Key.HOME), (b"\x1b[7~", Key.HOME), (b"\x1b[F", Key.END), (b"\x1bOF", Key.END),
        (b"\x1b[4~", Key.END), (b"\x1b[8~", Key.END), (b"\x1b[3~", Key.OTHER),
        (b"\x1b[q", Key.OTHER), (b"\x1b[200~", Key.OTHER), (b"\x1bOq", Key.OTHER),
    ],
)  # fmt: skip
def test_a_key_is_known_by_what_the_terminal_sends(data: bytes, key: Key) -> None:
    assert KeyReader().feed(data) == [key]


def test_keys_that_come_together_are_as_many() -> None:
    data = b"x\x1b[A\x1b[6~\x1bOF?\x1b[<0;1;1Mq"
    assert KeyReader().feed(data) == [
        Key.OTHER, Key.UP, Key.PAGE_DOWN, Key.END, Key.HELP, Key.OTHER, Key.QUIT,
    ]  # fmt: skip


@given(st.lists(st.sampled_from([b"q", b"?", b"\x1b[A", b"\x1b[6~", b"\x1bOF", b"x"])))
def test_a_key_may_come_in_pieces(keys: list[bytes]) -> None:
    together, apart = KeyReader().feed(b"".join(keys)), KeyReader()
    assert [key for byte in b"".join(keys) for key in apart.feed(bytes([byte]))] == together
    assert len(together) == len(keys)


def test_escape_before_a_key_does_not_hide_it() -> None:
    reader = KeyReader()
    assert reader.feed(b"\x1b") == []
    assert reader.feed(b"q")[-1] is Key.QUIT


@given(st.lists(st.binary(max_size=60)))
def test_whatever_is_typed_is_keys_and_is_not_kept(pieces: list[bytes]) -> None:
    reader = KeyReader()
    for piece in pieces:
        assert all(isinstance(key, Key) for key in reader.feed(piece))
        assert len(reader._begun) <= 32


# What they do


def test_the_list_of_keys_is_shown_and_hidden() -> None:
    picture = Picture(80, 24)
    before = picture.show(busy_machine())
    shown = picture.press(Key.HELP)
    picture.assert_fits()
    text = "\n".join(shown)
    for keys in ("q, Ctrl-C  quit", "?  ", "↑ ↓  ", "PgUp PgDn  ", "Home End  ", "Ctrl-Z  "):
        assert f"\n{keys}" in text
    assert shown[0] == before[0], "the heading stays"
    assert picture.press(Key.HELP) == before
    picture.press(Key.HELP)
    assert picture.press(Key.DOWN) == before, "any key hides it, and does nothing else"


def first(lines: list[str]) -> int:
    """Return the number of the first line that is seen, as the last one says."""
    found = re.search(r"lines (\d+)-(\d+) of (\d+)$", lines[-1])
    assert found is not None, lines[-1]
    assert int(found[2]) - int(found[1]) == 21
    return int(found[1])


def test_the_page_is_scrolled_and_never_beyond_its_ends() -> None:
    picture = Picture(80, 24)
    start = picture.show(busy_machine())
    assert first(start) == 1
    assert picture.press(Key.UP) == start
    down = picture.press(Key.DOWN)
    assert first(down) == 2
    assert down[1:-2] == start[2:-1]
    assert down[0] == start[0]
    assert first(picture.press(Key.PAGE_DOWN)) == 23
    assert first(picture.press(Key.PAGE_UP, Key.UP)) == 1
    end = picture.press(Key.END)
    assert picture.press(Key.DOWN, Key.PAGE_DOWN, Key.END) == end
    last = re.search(r"-(\d+) of (\d+)$", end[-1])
    assert last is not None
    assert last[1] == last[2]
    assert end[-2]
    assert picture.press(Key.HOME) == start
    assert picture.press(Key.OTHER) == start


def test_what_fits_is_not_scrolled() -> None:
    picture = Picture(80, 24)
    start = picture.show({"cpu": 1.0, "load": [1.0, 1.0, 1.0]})
    assert start[-1] == "q quit, ? keys"
    for key in Key:
        if key not in {Key.HELP, Key.QUIT}:
            assert picture.press(key) == start


def test_a_page_that_becomes_shorter_is_seen_to_its_end() -> None:
    picture = Picture(80, 24)
    picture.show(busy_machine())
    picture.press(Key.END)
    lines = picture.show({"cpu": 1.0})
    assert lines[1].startswith("cpu ")
    picture.show(busy_machine())
    picture.press(Key.END)
    lines = picture.resize(200, 120)
    assert lines[1].startswith("cpu ")


def test_without_keys_none_are_named() -> None:
    lines = Picture(80, 24, keys=False).show(busy_machine())
    assert "q quit" not in lines[-1]
    assert re.fullmatch(r" +lines 1-22 of \d+", lines[-1])
