"""What a metric may be worth, and how exact that is."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

__all__ = ["Precision", "Value"]

Value: TypeAlias = "bool | int | float | str | list[Value | None] | dict[str, Value | None]"
"""Anything that strict JSON can say, but not null by itself."""


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

    def round(self, value: Value) -> Value:
        """Return a value with every number in it rounded."""
        return _rounded(value, _RULES[self])


def _rate(number: float) -> float:
    short = float(f"{number:.3g}")
    return short if abs(short) < 10 else round(number)


_RULES: Final[dict[Precision, Callable[[float], float]]] = {
    Precision.TENTH: lambda number: round(number, 1),
    Precision.HUNDREDTH: lambda number: round(number, 2),
    Precision.WHOLE: round,
    Precision.RATE: _rate,
}


def _rounded(value: Value, rule: Callable[[float], float]) -> Value:
    if isinstance(value, float):
        return rule(value) + 0  # which makes -0.0 none
    if isinstance(value, dict):
        return {key: None if one is None else _rounded(one, rule) for key, one in value.items()}
    if isinstance(value, list):
        return [None if one is None else _rounded(one, rule) for one in value]
    return value
