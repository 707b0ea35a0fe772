"""What the keys of a terminal mean, and the list of them."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

__all__ = ["HELP", "Key", "KeyReader"]


class Key(Enum):
    """A key that means something here."""

    QUIT = "q"
    HELP = "?"
    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    OTHER = "other"


HELP: Final = (
    ("q, Ctrl-C", "quit"),
    ("?", "show or hide this list"),
    ("↑ ↓", "a line up or down, where there is more than fits"),
    ("PgUp PgDn", "a window up or down"),
    ("Home End", "to the beginning, to the end"),
    ("Ctrl-Z", "stop; fg goes on"),
)
"""Keys and what they do."""

_LETTERS: Final = {b"q": Key.QUIT, b"Q": Key.QUIT, b"?": Key.HELP}
_FINALS: Final = {
    b"A": Key.UP, b"B": Key.DOWN, b"H": Key.HOME, b"F": Key.END,
}  # fmt: skip
_NUMBERS: Final = {
    b"1": Key.HOME, b"4": Key.END, b"5": Key.PAGE_UP, b"6": Key.PAGE_DOWN, b"7": Key.HOME,
    b"8": Key.END,
}  # fmt: skip
"""Keys whose sequence ends in ~, by its first number."""

# ECMA-48 (5.4): parameters, intermediate bytes, and one that ends it. ESC O is what keys send in
# the application's mode of xterm.
_KEY: Final = re.compile(rb"\x1b(?:\[(\d*)[0-?]*[ -/]*([@-~])|O([@-~]))|\x1b|[^\x1b]", re.DOTALL)
_BEGUN: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_LONGEST: Final = 32
"""Bytes of a key that is not complete yet; what is longer is none."""


class KeyReader:
    """Reads keys from what a terminal sends, which may come in pieces."""

    def __init__(self) -> None:
        # The beginning of a key, of which the rest has not come yet.
        self._begun = b""

    def feed(self, data: bytes) -> list[Key]:
        """Return the keys that have been pressed."""
        data = self._begun + data
        begun = _BEGUN.search(data)
        self._begun = begun[0] if begun and len(begun[0]) <= _LONGEST else b""
        complete = data[: len(data) - len(self._begun)]
        return [_key(match) for match in _KEY.finditer(complete)]


def _key(match: re.Match[bytes]) -> Key:
    number, final, application = match.groups()
    if final == b"~":
        return _NUMBERS.get(number, Key.OTHER)
    return _FINALS.get(final or application or b"", _LETTERS.get(match[0], Key.OTHER))
