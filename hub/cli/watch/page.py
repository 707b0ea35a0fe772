"""The page of which a window shows a part: the overview, and below it all members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Protocol

from hub.cli.watch.cells import Line, Pen
from hub.cli.watch.columns import Columns
from hub.cli.watch.sections import Section

__all__ = ["Details", "Page"]

_TWO_COLUMNS: Final = 160
"""Columns of a window from which on the page stands in two halves side by side."""

_GAP: Final = 3
"""Columns between the halves."""


class Details(Protocol):
    """A table below the overview."""

    @property
    def rank(self) -> int:
        """Where it stands among others; the lowest is the first."""
        ...

    def height(self, width: int) -> int:
        """Return how many lines it takes."""
        ...

    def draw(self, pen: Pen, width: int) -> list[Line]:
        """Return all its lines."""
        ...


@dataclass(frozen=True, slots=True)
class _Overview:
    """Sections one below the other, and how many lines each of them has."""

    columns: Columns
    sections: Sequence[Section]
    heights: Sequence[int]

    @property
    def height(self) -> int:
        return sum(self.heights)

    def tables(self) -> Iterator[Details]:
        asked = (section.details(self.columns) for section in self.sections)
        return (table for table in asked if table is not None)

    def draw(self, pen: Pen) -> Iterator[Line]:
        for section, height in zip(self.sections, self.heights, strict=True):
            yield from section.draw(pen, self.columns, height)


@dataclass(frozen=True, slots=True)
class _Tables:
    """Tables one below the other, each after so many empty lines."""

    width: int
    gap: int
    tables: Sequence[Details]

    @property
    def height(self) -> int:
        return sum(table.height(self.width) + self.gap for table in self.tables)

    def draw(self, pen: Pen, start: int, count: int) -> list[Line]:
        """Return so many lines from there on; tables that have none of them are not drawn."""
        lines: list[Line] = []
        place = 0
        for table in self.tables:
            height = table.height(self.width) + self.gap
            if start < place + height and place < start + count:
                drawn = [pen.text("")] * self.gap + table.draw(pen, self.width)
                lines += drawn[max(0, start - place) : start + count - place]
            place += height
        return lines


class Page:
    """The page as it is arranged for a window.

    The overview needs a line or two for each family. Where a window is taller, graphs get a part
    of the room, and more of it if the tables do not need it; empty lines stand between these only
    if that hides nothing.

    Args:
        sections: the overview.
        more: tables besides those of the sections.
        width: columns of the window.
        height: lines of the window.
    """

    def __init__(
        self, sections: Sequence[Section], more: Sequence[Details], width: int, height: int
    ) -> None:
        parts = _parts(sections, 2 if width >= _TWO_COLUMNS else 1)
        self._half = (width - _GAP * (len(parts) - 1)) // len(parts)
        least = [_least(part, self._half) for part in parts]
        found = sorted((*more, *_all_tables(least)), key=lambda table: table.rank)
        spare = max(0, height - _highest(least))
        growth = spare // 3
        airy = _placed(found, self._half, 1, len(parts))
        fits = _highest(airy) <= spare - growth
        self._tables = airy if fits else _placed(found, self._half, 0, len(parts))
        most = _highest(least) + max(growth, spare - _highest(self._tables))
        self._overview = [_grown(one, most) for one in least]

    @property
    def height(self) -> int:
        """Lines of the whole page."""
        return _highest(self._overview) + _highest(self._tables)

    def draw(self, pen: Pen, start: int, count: int) -> list[Line]:
        """Return so many lines, or as many as there are from there on."""
        above = _highest(self._overview)
        lines: list[Line] = []
        if start < above:
            lines = self._beside(pen, [list(one.draw(pen)) for one in self._overview])
            lines = lines[start : start + count]
        first, left = max(0, start - above), count - len(lines)
        return lines + self._beside(pen, [one.draw(pen, first, left) for one in self._tables])

    def _beside(self, pen: Pen, halves: Sequence[Sequence[Line]]) -> list[Line]:
        """Return lines side by side."""
        empty, gap = pen.text(""), pen.text("", _GAP)
        return [
            pen.join(*(part for line in row for part in (pen.fit(line, self._half), gap)))
            for row in zip_longest(*halves, fillvalue=empty)
        ]


def _highest(halves: Iterable[_Overview | _Tables]) -> int:
    return max((half.height for half in halves), default=0)


def _parts(sections: Sequence[Section], count: int) -> list[Sequence[Section]]:
    """Return the sections of each half of the page, as they stand one below the other."""
    middle = -(-len(sections) // count)
    return [sections[:middle], sections[middle:]] if count == 2 else [sections]


def _least(sections: Sequence[Section], width: int) -> _Overview:
    columns = Columns.of(width, (section.label for section in sections))
    return _Overview(columns, sections, [section.height(columns) for section in sections])


def _all_tables(overview: Iterable[_Overview]) -> Iterator[Details]:
    for half in overview:
        yield from half.tables()


def _placed(tables: Sequence[Details], width: int, gap: int, count: int) -> list[_Tables]:
    """Put each table where there is the most room above."""
    halves: list[list[Details]] = [[] for _ in range(count)]
    for table in tables:
        least = min(halves, key=lambda half: sum(one.height(width) + gap for one in half))
        least.append(table)
    return [_Tables(width, gap, half) for half in halves]


def _grown(half: _Overview, most: int) -> _Overview:
    """Give graphs more lines, one after the other, while there are some."""
    heights = list(half.heights)
    spare = most - half.height
    while spare > 0:
        places = range(len(heights))
        growing = [one for one in places if heights[one] < half.sections[one].tallest][:spare]
        if not growing:
            break
        for place in growing:
            heights[place] += 1
        spare -= len(growing)
    return _Overview(half.columns, half.sections, heights)
