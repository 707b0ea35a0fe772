"""What a screen is made of. Text reaches the terminal through this module alone, and clean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Final, TypeAlias

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from hub.cli.watch.level import Level
from hub.text import one_line

__all__ = ["Block", "Keep", "Line", "Pen", "Point", "measure"]

_RAMPS: Final = ("▁▂▃▄▅▆▇█", "_.-=+*#@")
_BARS: Final = ("━─", "#-")
_MARKS: Final = str.maketrans("…●↑↓°", "~*^v'")
"""What stands for this program's own signs where there is no Unicode."""

_MOST: Final = 200
"""Characters of a text that are looked at: more than a line of a wide terminal shows."""


class Keep(Enum):
    """Which part of a name tells it from others, and stays where it has to be cut."""

    START = "start"
    END = "end"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a graph.

    Attributes:
        share: of the graph's height, from 0 to 1.
        level: gives its colour.
    """

    share: float
    level: Level = Level.NORMAL


Line: TypeAlias = Text
"""A line of the screen or a part of one; there is no plain ``str``, which may hold anything."""

Block: TypeAlias = Group
"""Lines one below the other."""


def measure(shown: str) -> int:
    """Return how many cells of a terminal a text takes, as it may be shown."""
    return cell_len(one_line(shown, _MOST))


class Pen:
    """Makes lines of texts and figures.

    Args:
        ascii_only: whether the terminal shows no other letters than those of ASCII.
    """

    def __init__(self, *, ascii_only: bool) -> None:
        self._ascii_only = ascii_only
        self._ramp = _RAMPS[ascii_only]
        self._bar = _BARS[ascii_only]

    def text(
        self,
        shown: str,
        width: int | None = None,
        style: str = "",
        *,
        keep: Keep = Keep.START,
        right: bool = False,
    ) -> Line:
        """Return a text of any origin as it may be shown: in one line, without control characters.

        Args:
            shown: the text; it is no markup.
            width: cells that it takes exactly; by default as many as it needs.
            style: of all of it.
            keep: what stays of a text that is too wide.
            right: whether it stands at the right of its place.
        """
        clean = self._plain(one_line(_nearest(shown, keep), _MOST))
        if width is None:
            return _line(clean, style)
        cut = self._cut(clean, max(0, width), keep)
        space = " " * (width - cell_len(cut))
        return _line(space + cut if right else cut + space, style)

    def wrap(self, shown: str, width: int, most: int, style: str = "") -> list[Line]:
        """Return a text of any origin in as many lines as it takes, but no more than ``most``."""
        rest = self._plain(one_line(shown, _MOST))
        lines: list[Line] = []
        while len(lines) < most - 1 and width > 1 and cell_len(rest) > width:
            start = _first(rest, width)
            lines.append(self.text(start, width, style))
            rest = rest[len(start) :]
        return [*lines, self.text(rest, width, style)]

    def graph(self, points: Sequence[Point], width: int, height: int) -> list[Line]:
        """Return lines of blocks, for each point a column: the newest, as many as there is room.

        Args:
            points: oldest first.
            width: columns.
            height: lines.
        """
        shown = points[-width:] if width > 0 else ()
        rows = reversed(range(height))
        return [self._graph_row(shown, width, row, height) for row in rows]

    def blocks(self, points: Sequence[Point], width: int) -> Line:
        """Return one line of blocks, from the left."""
        line = self._graph_row(points[:width], 0, 0, 1)
        return self.join(line, self.text("", max(0, width - len(points))))

    def bar(self, percent: float | None, width: int) -> Line:
        """Return a bar that is full at 100 percent."""
        full = round(width * min(1.0, max(0.0, (percent or 0.0) / 100)))
        line = _line(self._bar[0] * full, Level.of(percent).graph_style)
        return line.append(self._bar[1] * (width - full), "dim")

    def join(self, *cells: Line, width: int | None = None) -> Line:
        """Return texts side by side, cut where they are wider than that."""
        line = _line("", "")
        for cell in cells:
            line.append_text(cell)
        if width is not None:
            line.truncate(max(0, width), overflow="crop")
        return line

    def fit(self, line: Line, width: int) -> Line:
        """Return a line that takes so many cells exactly."""
        room = max(0, width)
        missing = room - line.cell_len
        return self.join(line, self.text("", max(0, missing)), width=room)

    def stack(self, lines: Iterable[Line]) -> Block:
        """Return lines one below the other."""
        return Group(*lines)

    def _graph_row(self, points: Sequence[Point], width: int, row: int, height: int) -> Line:
        line = _line(" " * (width - len(points)), "")
        for level, run in groupby(points, key=lambda point: point.level):
            blocks = "".join(self._block(point.share, row, height) for point in run)
            line.append(blocks, level.graph_style)
        return line

    def _block(self, share: float, row: int, height: int) -> str:
        """Return what a column shows in a row, which are counted from the bottom."""
        steps = len(self._ramp)
        top = min(steps * height - 1, int(steps * height * min(1.0, max(0.0, share))))
        over = top - steps * row
        return " " if over < 0 else self._ramp[min(over, steps - 1)]

    def _plain(self, clean: str) -> str:
        if not self._ascii_only:
            return clean
        return clean.translate(_MARKS).encode("ascii", "replace").decode()

    def _cut(self, clean: str, width: int, keep: Keep) -> str:
        if cell_len(clean) <= width:
            return clean
        mark = self._plain("…")[:width]
        room = width - len(mark)
        before = {Keep.START: room, Keep.END: 0, Keep.BOTH: (room + 1) // 2}[keep]
        return _first(clean, before) + mark + _last(clean, room - before)


def _line(shown: str, style: str) -> Line:
    return Text(shown, style, no_wrap=True, overflow="crop")


def _nearest(shown: str, keep: Keep) -> str:
    """Return what of a long text may be seen at all."""
    if len(shown) <= _MOST or keep is Keep.START:
        return shown
    if keep is Keep.END:
        return shown[-_MOST:]
    return f"{shown[: _MOST // 2 - 1]}…{shown[-_MOST // 2 + 1 :]}"


def _first(clean: str, width: int) -> str:
    """Return as much of the beginning as has room in so many cells."""
    end = min(len(clean), width)
    while cell_len(clean[:end]) > width:
        end -= 1
    return clean[:end]


def _last(clean: str, width: int) -> str:
    """Return as much of the end as has room in so many cells."""
    start = max(0, len(clean) - width)
    while cell_len(clean[start:]) > width:
        start += 1
    return clean[start:]
