"""Where in a line of the overview its name, its graph and its figure stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from hub.cli.watch.cells import measure

__all__ = ["Columns", "fitting"]

_ROOMY: Final = 72
"""Columns of a line from which on figures may be longer."""

_WIDE: Final = 100
"""Columns of a line from which on names may be longer."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a line: its whole width, that of its name, and that of its figure."""

    width: int
    label: int
    figure: int

    @classmethod
    def of(cls, width: int, labels: Iterable[str]) -> Self:
        """Return the columns of lines with these names."""
        longest = max(map(measure, labels), default=0)
        most = 24 if width >= _WIDE else max(4, min(16, 2 * width // 5))
        return cls(width, min(longest, most), 16 if width >= _ROOMY else 12)

    @property
    def middle(self) -> int:
        """The room between name and figure."""
        return max(0, self.width - self.label - self.figure - 2)

    @property
    def rest(self) -> int:
        """The room after the name."""
        return max(0, self.width - self.label - 1)


def fitting(texts: Sequence[str], width: int) -> str:
    """Return the first text that has room in so many cells, else the last."""
    return next((text for text in texts if measure(text) <= width), texts[-1])
