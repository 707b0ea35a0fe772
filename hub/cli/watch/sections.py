"""The kinds of lines that the overview is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hub.cli.watch.cells import Keep, Line, Pen, Point, measure
from hub.cli.watch.columns import Columns, fitting
from hub.cli.watch.level import Level
from hub.cli.watch.tables import Entry, Figure, Table

__all__ = ["Bar", "Cores", "Flow", "Gauge", "Section", "Words"]

_CORE_LINES: Final = 2
"""Lines that all processors take together; where there are more, several share a block."""

_LONGEST_ITEM: Final = 24
_GAP: Final = 2
"""Columns between items of a line."""


class Section(ABC):
    """A family, or a part of one, in as many lines as there is room for."""

    __slots__ = ()

    label: str
    """Its name, which stands at the left."""

    @property
    def tallest(self) -> int:
        """Lines from which on more would show nothing more."""
        return 1

    def height(self, columns: Columns) -> int:  # noqa: ARG002 # one that is wider may need less
        """Return how many lines it needs."""
        return 1

    def details(self, columns: Columns) -> Table | None:  # noqa: ARG002
        """Return the members for which its lines have no room."""
        return None

    @abstractmethod
    def draw(self, pen: Pen, columns: Columns, height: int) -> list[Line]:
        """Return so many lines."""


@dataclass(frozen=True, slots=True)
class Gauge(Section):
    """A figure and its past as a graph.

    Attributes:
        label: its name.
        figures: the value of now, the longest text first.
        past: the values that the graph shows, oldest first.
        top: the value of the graph's upper end, which is as bad as 100 percent; None for the
            highest value shown, which says nothing of how bad it is.
        level: of the value of now.
        notes: what else is to be said, the longest text first.
        scale: writes the value at the graph's upper end, where that changes.
        tallest: lines of the graph at the most.
        members: its parts.
    """

    label: str
    figures: Sequence[str]
    past: Sequence[float]
    top: float | None = None
    level: Level = Level.NORMAL
    notes: Sequence[str] = ()
    scale: Callable[[float], str] | None = None
    tallest: int = 1
    members: Table | None = None

    def details(self, _columns: Columns) -> Table | None:
        """See ``Section``."""
        return self.members

    def draw(self, pen: Pen, columns: Columns, height: int) -> list[Line]:
        """See ``Section``."""
        shown = self.past[-columns.middle :] if columns.middle else ()
        top = self.top or max(shown, default=0.0)
        points = [self._point(value, top) for value in shown]
        rows = pen.graph(points, columns.middle, height)
        note = self._note(columns)
        if note:
            first = pen.graph(points, columns.middle - measure(note) - _GAP, height)[0]
            rows[0] = pen.join(pen.text(note, measure(note) + _GAP, "dim"), first)
        figure = fitting([self.level.sign + text for text in self.figures], columns.figure)
        sides = [_sides(pen, columns, self.label, figure, style=self.level.style)]
        if height > 1 and top > 0 and self.scale is not None:
            sides.append(_sides(pen, columns, f"to {self.scale(top)}", "", label_style="dim"))
        sides += [_sides(pen, columns, "", "")] * (height - len(sides))
        return [pen.join(left, row, right) for (left, right), row in zip(sides, rows, strict=True)]

    def _note(self, columns: Columns) -> str:
        """Return what has room beside at least as much of the graph."""
        room = columns.middle // 2 - _GAP
        return next((note for note in self.notes if measure(note) <= room), "")

    def _point(self, value: float, top: float) -> Point:
        part = value / top if top > 0 else 0.0
        return Point(part, Level.of(None if self.top is None else 100.0 * min(part, 1.0)))


@dataclass(frozen=True, slots=True)
class Bar(Section):
    """A share of something as a bar.

    Attributes:
        label: its name.
        percent: the share.
        figure: the same in other words.
    """

    label: str
    percent: float
    figure: str

    def draw(self, pen: Pen, columns: Columns, height: int) -> list[Line]:
        """See ``Section``."""
        del height
        level = Level.of(self.percent)
        figure = level.sign + self.figure
        wide = max(columns.figure, measure(figure))
        bar = pen.bar(self.percent, max(0, columns.rest - wide - 1))
        label = pen.text(self.label, columns.label + 1, "bold", keep=Keep.BOTH)
        return [pen.join(label, bar, pen.text(figure, wide + 1, level.style, right=True))]


@dataclass(frozen=True, slots=True)
class Cores(Section):
    """All processors as a block each; a full block is one that has nothing left to give.

    Attributes:
        label: the family's name.
        percents: how busy each is.
        members: the same one by one.
    """

    label: str
    percents: Sequence[float]
    members: Table

    def height(self, columns: Columns) -> int:
        """See ``Section``."""
        needed = -(-len(self.percents) // max(1, columns.middle))
        return min(_CORE_LINES, max(1, needed))

    def details(self, _columns: Columns) -> Table | None:
        """See ``Section``."""
        return self.members

    def draw(self, pen: Pen, columns: Columns, height: int) -> list[Line]:
        """See ``Section``."""
        room = max(1, height * columns.middle)
        together = max(1, -(-len(self.percents) // room))
        percents = [
            max(self.percents[start : start + together])
            for start in range(0, len(self.percents), together)
        ]
        each = max(1, -(-len(percents) // height))
        return [
            pen.join(left, pen.blocks(points, columns.middle), right)
            for (left, right), points in zip(
                self._sides(pen, columns, height, each, together),
                ([_core(one) for one in percents[row * each :][:each]] for row in range(height)),
                strict=True,
            )
        ]

    def _sides(
        self, pen: Pen, columns: Columns, height: int, each: int, together: int
    ) -> Iterator[tuple[Line, Line]]:
        most = max(self.percents, default=0.0)
        level = Level.of(most)
        figures = [f"{level.sign}max {most:.1f} %", f"{level.sign}{most:.1f} %"]
        figure = fitting(figures, columns.figure)
        label = self.label if together == 1 else f"{self.label} by {together}"
        yield _sides(pen, columns, label, figure, style=level.style)
        for row in range(1, height):
            label = f"from {row * each * together}"
            yield _sides(pen, columns, label, "", label_style="dim")


@dataclass(frozen=True, slots=True)
class Flow(Section):
    """Names with a figure each, as many as have room in a line.

    Attributes:
        label: the family's name.
        entries: the most important ones first.
        unit: what all figures are in; it stands at the end if there is room.
        members: more about them; by default the same in a table.
        repeats: whether the members say nothing that the line does not, if all have room in it.
    """

    label: str
    entries: Sequence[Entry]
    unit: str = ""
    members: Table | None = None
    repeats: bool = True

    def details(self, columns: Columns) -> Table | None:
        """See ``Section``."""
        if self.repeats and self._fitting(columns.rest) == len(self.entries):
            return None
        return self.members or Table(self.label, (), self.entries, rank=2)

    def draw(self, pen: Pen, columns: Columns, height: int) -> list[Line]:
        """See ``Section``."""
        del height
        shown = self._fitting(columns.rest)
        cells = [pen.text(self.label, columns.label + 1, "bold", keep=Keep.BOTH)]
        for entry in self.entries[:shown]:
            cells.append(pen.text(entry.name, _item_width(entry), keep=entry.keep))
            for figure in _signed(entry):
                cells += [pen.text("", 1), pen.text(figure.shown, None, figure.level.style)]
            cells.append(pen.text("", _GAP))
        if shown < len(self.entries):
            cells.append(pen.text(f"+{len(self.entries) - shown}", style="dim"))
        elif self.unit:
            cells.append(pen.text(self.unit, style="dim"))
        return [pen.join(*cells, width=columns.width)]

    def _fitting(self, room: int) -> int:
        """Return how many entries have room; one is shown in any case."""
        used = 0
        for count, entry in enumerate(self.entries):
            is_last = count == len(self.entries) - 1
            more = 0 if is_last else len(f"+{len(self.entries) - count - 1}") + _GAP
            used += _item_width(entry) + sum(1 + measure(one.shown) for one in _signed(entry))
            if used + more > room:
                return max(1, count)
            used += _GAP
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class Words(Section):
    """A text instead of figures.

    Attributes:
        label: the family's name.
        text: what is to be said.
        style: of it.
        most: lines that it may take.
    """

    label: str
    text: str
    style: str = ""
    most: int = 1

    def height(self, columns: Columns) -> int:
        """See ``Section``."""
        return max(1, min(self.most, -(-measure(self.text) // max(1, columns.rest - 1))))

    def draw(self, pen: Pen, columns: Columns, height: int) -> list[Line]:
        """See ``Section``."""
        lines = pen.wrap(self.text, columns.rest, height, self.style)
        labels = [self.label, *[""] * (height - 1)]
        lines += [pen.text("")] * (height - len(lines))
        return [
            pen.join(pen.text(label, columns.label + 1, "bold", keep=Keep.BOTH), line)
            for label, line in zip(labels, lines, strict=True)
        ]


def _sides(
    pen: Pen,
    columns: Columns,
    label: str,
    figure: str,
    *,
    style: str = "",
    label_style: str = "bold",
) -> tuple[Line, Line]:
    """Return what stands at the left and at the right of a graph."""
    left = pen.text(label, columns.label + 1, label_style, keep=Keep.BOTH)
    return left, pen.text(figure, columns.figure + 1, style, right=True)


def _core(percent: float) -> Point:
    """Return a processor's block, which is a full one only if it is critical."""
    level = Level.of(percent)
    return Point(1.0 if level is Level.CRITICAL else percent / 95 * 7 / 8, level)


def _item_width(entry: Entry) -> int:
    return min(_LONGEST_ITEM, measure(entry.name))


def _signed(entry: Entry) -> list[Figure]:
    return [Figure(one.level.sign + one.shown, one.level) for one in entry.figures]
