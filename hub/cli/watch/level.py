"""How serious a share is, so that a colour is never the only sign of it."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Level"]

_WARNING: Final = 80.0
_CRITICAL: Final = 95.0


class Level(Enum):
    """How serious a share is: its sign before a figure, and the styles of figure and graph."""

    NORMAL = ("", "", "cyan")
    WARNING = ("! ", "yellow", "yellow")
    CRITICAL = ("!! ", "bold red", "bold red")

    def __init__(self, sign: str, style: str, graph_style: str) -> None:
        self.sign = sign
        self.style = style
        self.graph_style = graph_style

    @classmethod
    def of(cls, percent: float | None) -> Level:
        """Return the level of a share in percent; of an unknown one it is the lowest."""
        if percent is None or percent < _WARNING:
            return cls.NORMAL
        return cls.WARNING if percent < _CRITICAL else cls.CRITICAL
