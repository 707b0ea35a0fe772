"""What a screen is made of. Text reaches the terminal through this module alone, and clean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from hub.text import one_line

__all__ = ["Block", "Cell", "Column", "Row", "Sparkline", "bar", "grid", "stack", "text"]

_RAMPS: Final = ("▁▂▃▄▅▆▇█", "_.-=+*#@")


class Sparkline:
    """A line of blocks, each as high as a value: the newest, as many as the column is wide.

    Args:
        values: finite numbers, oldest first.
        top: the value of the highest block; by default the highest value shown.
    """

    def __init__(self, values: Iterable[float], top: float | None = None) -> None:
        self._values = tuple(values)
        self._top = top

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ramp = _RAMPS[options.ascii_only]
        shown = self._values[-options.max_width :]
        top = self._top or max(shown, default=0.0)
        line = "".join(_block(ramp, value, top) for value in shown)
        yield Text(line.rjust(options.max_width), "cyan", no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)


def _block(ramp: str, value: float, top: float) -> str:
    height = min(1.0, max(0.0, value) / top) if top > 0 else 0.0
    return ramp[min(len(ramp) - 1, int(len(ramp) * height))]


Cell: TypeAlias = Text | ProgressBar | Sparkline
"""What stands in a row; there is no plain ``str``, which rich would read as markup."""

Row: TypeAlias = Sequence[Cell]
Block: TypeAlias = Text | Table | Group
"""What stands below another: a text, rows, or several of these."""


def text(shown: str, style: str = "", *, length: int = 200, wrap: bool = True) -> Text:
    """Return a text of any origin as it may be shown: one line, cut, without control characters.

    Args:
        shown: the text; it is no markup.
        style: of all of it.
        length: characters at the most.
        wrap: whether what is wider than its column goes on below; else it is cut.
    """
    return Text(one_line(shown, length), style, no_wrap=not wrap)


def bar(percent: float) -> ProgressBar:
    """Return a bar that is full at 100."""
    return ProgressBar(total=100, completed=percent, complete_style="cyan")


def grid(columns: Sequence[Column], rows: Iterable[Row]) -> Table:
    """Return rows as columns that fill the width."""
    table = Table.grid(*columns, padding=(0, 2, 0, 0), expand=True)
    for row in rows:
        table.add_row(*row)
    return table


def stack(*parts: Block) -> Block:
    """Return parts one below the other."""
    return Group(*parts)
