"""A message of the feed, read from what a server sends, of which nothing is taken for granted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn, Self, TypeAlias

__all__ = ["Message", "Value", "read_object"]

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
"""A value of JSON: its numbers are finite, its lists and objects nested in bounds."""

_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 300
"""Digits of a whole number, so that it is a finite ``float`` as well."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the feed.

    Attributes:
        text: the message in one line of printable characters: as it came, or if it came with
            others, the same JSON with those escaped.
        content: what it says, by name of the family. Names and texts in it are the server's.
        time: when the sample was taken, in UTC.
    """

    text: str
    content: Mapping[str, Value]
    time: datetime

    @classmethod
    def read(cls, data: str | bytes) -> Self:
        """Read a message.

        Raises:
            ValueError: the data is no message of a metrics hub.
        """
        text = data if isinstance(data, str) else data.decode()
        content = read_object(text)
        line = text if text.isprintable() else json.dumps(content)
        return cls(line, content, _read_time(content.get("timestamp")))

    @property
    def timestamp(self) -> str:
        """The time as the hub writes it."""
        return self.time.isoformat(timespec="microseconds")


def read_object(text: str | bytes) -> dict[str, Value]:
    """Read an object of JSON by RFC 8259: without NaN and infinity.

    Raises:
        ValueError: the text is none, its numbers are no finite ``float``, or it is nested too
            deeply.
    """
    try:
        value = json.loads(
            text, parse_int=_whole, parse_float=_finite, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 # of the text, whose type is right
    _check_depth(value)
    return value


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        raise ValueError("too large a number")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("too large a number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _check_depth(value: Value) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _members(outer)]
    if level:
        raise ValueError("nested too deeply")


def _members(value: Value) -> Iterable[Value]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _read_time(timestamp: Value) -> datetime:
    if not isinstance(timestamp, str):
        raise ValueError("no timestamp")  # noqa: TRY004 # of the message, whose type is right
    time = datetime.fromisoformat(timestamp)
    if time.utcoffset() != timedelta(0):
        raise ValueError("a time that is not UTC")
    return time.replace(tzinfo=UTC)
