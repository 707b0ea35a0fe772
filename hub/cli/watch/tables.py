"""Members of a family in a table, which stands below the overview as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hub.cli.watch.cells import Keep, Line, Pen, measure
from hub.cli.watch.level import Level

__all__ = ["Complaints", "Entry", "Figure", "Table"]

_GAP: Final = 2
_FIGURE_WIDTH: Final = 10
"""Columns of a figure at the least, so that they stay where they are when numbers change."""

_BAR_WIDTH: Final = 10
_NAME_WIDTHS: Final = (24, 40)
"""Columns of the longest name in a narrow and in a wide window."""

_WIDE: Final = 100
_MOST_STRETCH: Final = 30
"""Columns by which bars may be longer than they have to be."""

_LEAST_ROWS: Final = 4
"""Rows for which a table does not begin another column."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a member, and how serious it is."""

    shown: str
    level: Level = Level.NORMAL


@dataclass(frozen=True, slots=True)
class Entry:
    """A member.

    Attributes:
        name: its name.
        figures: what is to be said of it.
        keep: which part of its name tells it from others.
        percent: how full a bar between name and figures is; None for no bar.
    """

    name: str
    figures: Sequence[Figure]
    keep: Keep = Keep.BOTH
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class _Widths:
    """Of the columns of a table, of which there may be several side by side."""

    name: int
    bar: int
    figures: Sequence[int]
    tables: int


@dataclass(frozen=True, slots=True)
class Table:
    """Members, one in a row, in as many columns of rows as there is room for.

    Attributes:
        title: the family's name.
        headings: one for each of the figures, or none.
        entries: the members.
        left_out: how many more there are.
        rank: where it stands among the tables of other families; the lowest is the first.
    """

    title: str
    headings: Sequence[str]
    entries: Sequence[Entry]
    left_out: int = 0
    rank: int = 1

    def height(self, width: int) -> int:
        """Return how many lines it takes."""
        return 1 + self._rows(self._widths(width)) + bool(self.left_out)

    def draw(self, pen: Pen, width: int) -> list[Line]:
        """Return all its lines."""
        widths = self._widths(width)
        rows = self._rows(widths)
        lines = [self._head(pen, widths)]
        for row in range(rows):
            cells = [self._row(pen, widths, entry) for entry in self.entries[row::rows]]
            lines.append(pen.join(*_spaced(pen, cells)))
        if self.left_out:
            lines.append(pen.text(f"and {self.left_out:,} more", style="dim"))
        return lines

    def _rows(self, widths: _Widths) -> int:
        return -(-len(self.entries) // widths.tables)

    def _widths(self, width: int) -> _Widths:
        most = _NAME_WIDTHS[width >= _WIDE]
        name = min(most, max(map(measure, [self.title, *(one.name for one in self.entries)])))
        figures = self._figure_widths()
        others = name + sum(figures) + _GAP * len(figures)
        has_bars = any(one.percent is not None for one in self.entries)
        bar = _BAR_WIDTH if has_bars and others + _GAP + _BAR_WIDTH <= width else 0
        least = others + (_GAP + bar if bar else 0)
        fitting = (width + _GAP) // (least + _GAP)
        tables = max(1, min(fitting, -(-len(self.entries) // _LEAST_ROWS)))
        spare = (width - _GAP * (tables - 1)) // tables - least
        if bar:
            bar += min(_MOST_STRETCH, spare)
        return _Widths(max(1, name + min(0, spare)), bar, figures, tables)

    def _figure_widths(self) -> Sequence[int]:
        count = max((len(one.figures) for one in self.entries), default=0)
        widths = [_FIGURE_WIDTH] * count
        for entry in self.entries:
            for place, figure in enumerate(entry.figures):
                widths[place] = max(widths[place], measure(figure.level.sign + figure.shown))
        return widths

    def _head(self, pen: Pen, widths: _Widths) -> Line:
        return pen.join(
            *_spaced(pen, [self._heading(pen, widths, one) for one in range(widths.tables)])
        )

    def _heading(self, pen: Pen, widths: _Widths, table: int) -> Line:
        title = pen.text("" if table else self.title, widths.name, "bold")
        bar = pen.text("", widths.bar + _GAP if widths.bar else 0)
        columns = zip(self.headings or [""] * len(widths.figures), widths.figures, strict=True)
        return pen.join(
            title, bar, *(pen.text(one, _GAP + room, "dim", right=True) for one, room in columns)
        )

    def _row(self, pen: Pen, widths: _Widths, entry: Entry) -> Line:
        cells = [pen.text(entry.name, widths.name, keep=entry.keep)]
        if widths.bar:
            cells += [pen.text("", _GAP), pen.bar(entry.percent, widths.bar)]
        for place, room in enumerate(widths.figures):
            figure = entry.figures[place] if place < len(entry.figures) else Figure("")
            shown = figure.level.sign + figure.shown
            cells.append(pen.text(shown, _GAP + room, figure.level.style, right=True))
        return pen.join(*cells)


def _spaced(pen: Pen, cells: Sequence[Line]) -> list[Line]:
    """Put a gap between things side by side."""
    spaced = [part for cell in cells for part in (pen.text("", _GAP), cell)]
    return spaced[1:]


@dataclass(frozen=True, slots=True)
class Complaints:
    """Members that could not be measured, and why.

    Attributes:
        title: stands above them.
        reasons: names and reasons.
        left_out: how many more there are.
        rank: see ``Table``.
    """

    title: str
    reasons: Sequence[tuple[str, str]]
    left_out: int = 0
    rank: int = 0

    def height(self, _width: int) -> int:
        """Return how many lines it takes."""
        return 1 + len(self.reasons) + bool(self.left_out)

    def draw(self, pen: Pen, width: int) -> list[Line]:
        """Return all its lines."""
        name = min(width // 2, max((measure(name) for name, _ in self.reasons), default=0))
        lines = [pen.text(self.title, style="bold red")]
        for member, reason in self.reasons:
            shown = pen.text(member, name + _GAP, keep=Keep.BOTH)
            lines.append(pen.join(shown, pen.text(reason, width - name - _GAP, "red")))
        if self.left_out:
            lines.append(pen.text(f"and {self.left_out:,} more", style="dim"))
        return lines
