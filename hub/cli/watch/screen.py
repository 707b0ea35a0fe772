"""The feed on a terminal's screen: bars, and sparklines of the past."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hub.cli.watch.viewer import Message, Phase, State
from hub.clock import Clock, Timer
from hub.text import one_line

__all__ = ["Screen"]

_PERCENTAGES: Final = ("cpu", "memory", "swap", "disk")
_NOT_IN_TABLE: Final = frozenset({"processes", "timestamp", "seq", "errors"})
_RATES: Final = {
    "network": {"received_bytes_per_second": "received", "sent_bytes_per_second": "sent"},
    "disk_io": {"read_bytes_per_second": "read", "write_bytes_per_second": "written"},
}
_RAMPS: Final = ("▁▂▃▄▅▆▇█", "_.-=+*#@")
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_STYLES: Final = {
    Phase.CONNECTING: "dim",
    Phase.LIVE: "green",
    Phase.STALE: "red",
    Phase.RECONNECTING: "red",
}
_DRAW_SECONDS: Final = 0.05
_TREND_POINTS: Final = 500
"""Values kept for a sparkline: more than the widest terminal shows."""

_NAME_LENGTH: Final = 24

_Row: TypeAlias = tuple[str, RenderableType, str]


class Screen:
    """A viewer that fills the terminal while its context is entered.

    Messages that come in a burst are drawn once.

    Args:
        title: heading of the screen.
        clock: runs the timer that ends a burst.
        console: where to draw; by default standard output.
    """

    def __init__(self, title: str, *, clock: Clock, console: Console | None = None) -> None:
        self._title = title
        self._clock = clock
        self._console = console or Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        # State of the connection as of the last change.
        self._state = State(Phase.CONNECTING)
        # What the newest message says; empty until there is one.
        self._content: Mapping[str, Any] = {}
        # Values of the past by the name of the row that shows them, oldest first.
        self._trends: dict[str, deque[float]] = {}
        # Runs from the first change that is not drawn yet until it is.
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        self._live.start()
        self.draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._live.stop()

    def show(self, message: Message) -> None:
        """See ``Viewer``."""
        self._content = message.content
        for name, value in _numbers(message.content):
            self._trends.setdefault(name, deque(maxlen=_TREND_POINTS)).append(value)
        self._draw_soon()

    def on_state(self, state: State) -> None:
        """See ``Viewer``."""
        self._state = state
        self._draw_soon()

    def draw(self) -> None:
        """Draw the screen as of now, whether or not anything has changed."""
        self._timer = None
        self._live.update(self.render(), refresh=True)

    def _draw_soon(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(_DRAW_SECONDS, self.draw)

    def render(self) -> RenderableType:
        """Return the whole screen as of now."""
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(justify="right", no_wrap=True, min_width=12)
        for name, value in self._content.items():
            for label, picture, figure in self._rows(name, value):
                table.add_row(Text(label), picture, figure)
        processes = self._content.get("processes")
        below = [_processes(processes)] if processes else []
        return Group(self._head(), table, Text(), *below)

    def _head(self) -> RenderableType:
        """Show what is followed, the connection's state and the values' time; below, a reason."""
        state = self._state
        time = str(self._content.get("timestamp", ""))[11:19]
        soon = f"; next try in {math.ceil(state.seconds)} s" if state.seconds else ""
        head = Table.grid(padding=(0, 2, 0, 0), expand=True)
        head.add_column(ratio=1, no_wrap=True)
        head.add_column(no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        mark = "*" if self._console.options.ascii_only else "●"
        phase = Text(f"{mark} {state.phase.capitalize()}", _STYLES[state.phase])
        head.add_row(Text(_clean(self._title, 80), "bold"), phase, f"{time} UTC" if time else "")
        return Group(head, Text(_clean(state.reason + soon, 200), "red", no_wrap=True))

    def _rows(self, name: str, value: object) -> Iterator[_Row]:
        """Show a family in as many rows as it takes."""
        if value is None:
            yield name, Text(self._failure(name), "red"), "-"
        elif name == "error":
            yield name, Text(_clean(str(value), 200), "red"), ""
        elif name not in _NOT_IN_TABLE:
            known = list(self._known(name, value))
            yield from known or [(name, Text(_clean(json.dumps(value), 200)), "")]

    def _known(self, name: str, value: object) -> Iterator[_Row]:
        """Show a family whose value has the shape that its name promises, else nothing."""
        match name, value:
            case _, int() | float():
                share = name in _PERCENTAGES
                figure = _percent(value) if share else f"{value:,.4g}"
                yield name, self._spark(name, 100 if share else None), figure
            case "load", [int() | float(), int() | float(), int() | float()]:
                yield name, self._spark(name), " ".join(f"{one:.2f}" for one in value)
            case "memory_bytes", {"total": int(total), "used": int(used)} if total > 0:
                yield name, _bar(100 * used / total), f"{_bytes(used)} of {_bytes(total)}"
            case (("network" | "disk_io"), dict()):
                for key, label in _RATES[name].items():
                    rate = f"{_bytes(_number(value.get(key)) or 0)}/s"
                    yield f"{name} {label}", self._spark(f"{name} {key}"), rate
            case "cores", list():
                yield from _bars((f"core {number}", share) for number, share in enumerate(value))
            case "disks", dict():
                yield from _bars(value.items())

    def _failure(self, name: str) -> str:
        return _clean(str(self._content.get("errors", {}).get(name, "")), 200)

    def _spark(self, name: str, top: float | None = None) -> RenderableType:
        return _Spark(self._trends.get(name, ()), top)


class _Spark:
    """A line of blocks, each as high as a value: the newest, as many as the column is wide.

    Args:
        values: oldest first.
        top: the value of the highest block; by default the highest value shown.
    """

    def __init__(self, values: Sequence[float], top: float | None) -> None:
        self._values = values
        self._top = top

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ramp = _RAMPS[options.ascii_only]
        shown = list(self._values)[-options.max_width :]
        top = self._top or max(shown, default=0) or 1
        steps = [min(len(ramp) - 1, int(len(ramp) * max(0, value) / top)) for value in shown]
        line = "".join(ramp[step] for step in steps)
        yield Text(line.rjust(options.max_width), "cyan", no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)


def _numbers(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Find the numbers that have a sparkline, by the name of its row."""
    for name, value in content.items():
        found = {name: value}
        if name in _RATES and isinstance(value, dict):
            found = {f"{name} {key}": value.get(key) for key in _RATES[name]}
        elif name == "load" and isinstance(value, list) and value:
            found = {name: value[0]}
        for key, one in found.items():
            number = _number(one)
            if number is not None:
                yield key, number


def _number(value: object) -> float | None:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_one else None  # type: ignore[arg-type] # just checked


def _bars(shares: Iterable[tuple[str, object]]) -> Iterator[_Row]:
    for name, share in shares:
        yield _clean(name, _NAME_LENGTH), _bar(share), _percent(share)


def _bar(value: object) -> RenderableType:
    return ProgressBar(total=100, completed=_number(value) or 0, complete_style="cyan")


def _processes(processes: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("pid", "name", "cpu", "memory"):
        side = "left" if title == "name" else "right"
        table.add_column(title, justify=side, ratio=1 if title == "name" else None)  # type: ignore[arg-type]
    for one in processes:
        name = Text(_clean(str(one.get("name", "")), 60), no_wrap=True)
        shares = _percent(one.get("cpu")), _percent(one.get("memory"))
        table.add_row(str(one.get("pid", "")), name, *shares)
    return table


def _percent(value: object) -> str:
    share = _number(value)
    return "-" if share is None else f"{share:.1f} %"


def _bytes(count: float) -> str:
    power = min(len(_UNITS) - 1, int(math.log10(max(count, 1)) / 3))
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


def _clean(text: str, length: int) -> str:
    """Make a name from the hub fit for a terminal, which it could command otherwise."""
    return one_line(text, length)
