"""What a metric may be worth, and how exact that is."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

__all__ = ["Precision", "PrecisionByMember", "Rounding", "Value", "clean_names", "plain_value"]

_DEPTH: Final = 64  # orjson would go to 254

Value: TypeAlias = "bool | int | float | str | list[Value | None] | dict[str, Value | None]"
"""Anything that strict JSON can say, but not null by itself."""


class Rounding(Protocol):
    """How a family's values are rounded when they are encoded."""

    def round(self, value: Value) -> Value:
        """Return a value with the numbers in it rounded."""
        ...


class Precision(Enum):
    """What a family's numbers mean, and so how they are rounded when they are encoded.

    Only then: what is kept and reduced stays exact. Numbers that are whole stay as they are.
    """

    TENTH = "tenth"
    """Percent and degrees: to 0.1."""
    HUNDREDTH = "hundredth"
    """Load: to 0.01."""
    WHOLE = "whole"
    """Bytes: to whole ones."""
    RATE = "rate"
    """Of so many per second: to whole ones, below 10 to three significant digits."""
    MICRO = "micro"
    """Short times: to a millionth of a second."""

    def round(self, value: Value) -> Value:
        """Return a value with every number in it rounded."""
        return _rounded(value, _RULES[self])


def _to_whole(number: float) -> float:
    """Round a number; one of more than 64 bits is whole, and as an ``int`` could not be encoded."""
    return round(number) if abs(number) < 2**63 else number


def _rate(number: float) -> float:
    short = float(f"{number:.3g}")
    return short if abs(short) < 10 else _to_whole(number)


_RULES: Final[dict[Precision, Callable[[float], float]]] = {
    Precision.TENTH: lambda number: round(number, 1),
    Precision.HUNDREDTH: lambda number: round(number, 2),
    Precision.WHOLE: _to_whole,
    Precision.RATE: _rate,
    Precision.MICRO: lambda number: round(number, 6),
}


@dataclass(frozen=True, slots=True)
class PrecisionByMember:
    """How the members of an object are rounded, which mean different things; others are not."""

    members: Mapping[str, Precision]

    def round(self, value: Value) -> Value:
        """Return an object with the numbers of its members rounded, and anything else as it is."""
        if not isinstance(value, dict):
            return value
        members = self.members
        return {
            name: members[name].round(one) if name in members and one is not None else one
            for name, one in value.items()
        }


def _rounded(value: Value, rule: Callable[[float], float]) -> Value:
    if isinstance(value, float):
        return rule(value) + 0  # which makes -0.0 none
    if isinstance(value, dict):
        return {key: None if one is None else _rounded(one, rule) for key, one in value.items()}
    if isinstance(value, list):
        return [None if one is None else _rounded(one, rule) for one in value]
    return value


def plain_value(raw: object, depth: int = 0) -> Value:
    """Copy what a collector returned as plain JSON values, so that encoding it cannot fail.

    Numbers of other libraries become ``int`` and ``float``; text is made encodable. ``depth``
    is how many containers the value lies in.

    Raises:
        ValueError: there is no value, or one that strict JSON cannot say.
    """
    if depth > _DEPTH:
        raise ValueError(f"nested more than {_DEPTH} deep")
    match raw:
        case None:
            raise ValueError("no value")
        case bool():
            return raw
        case str():
            return _replaced(raw)
        case numbers.Integral():
            return _whole(int(raw))
        case numbers.Real():
            return _finite(raw)
        case Mapping():
            names = _clean(raw, _replaced)
            return {names[key]: _nullable(item, depth) for key, item in raw.items()}
        case list() | tuple():
            return [_nullable(item, depth) for item in raw]
    raise ValueError(f"a {type(raw).__name__} is not a JSON value")


def clean_names(raw: Iterable[object]) -> dict[object, str]:
    """Return what each device is called in a message: encodable, and different from all others.

    Bytes that are no UTF-8 are spelled out, so that a name depends on no other.

    Raises:
        ValueError: one is no text.
    """
    return _clean(raw, _spelled)


def _clean(raw: Iterable[object], encodable: Callable[[str], str]) -> dict[object, str]:
    names: dict[object, str] = {}
    taken: set[str] = set()
    for name in raw:
        if not isinstance(name, str):
            raise ValueError(f"a {type(name).__name__} is not a JSON key")  # noqa: TRY004 # as the rest
        # Many snapshots have the same names.
        names[name] = clean = sys.intern(_unused(encodable(name), taken))
        taken.add(clean)
    return names


def _unused(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free


def _replaced(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _spelled(name: str) -> str:
    try:  # also of plain names, which may be of a class of an application's own, such as StrEnum
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return _replaced(name)


def _nullable(raw: object, depth: int) -> Value | None:
    return None if raw is None else plain_value(raw, depth + 1)


def _whole(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    return number


def _finite(raw: numbers.Real) -> float:
    try:
        number = float(raw)
    except OverflowError:  # a fraction, for instance
        raise ValueError("a number that is too large") from None
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number
