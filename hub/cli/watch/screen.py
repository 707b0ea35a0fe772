"""The feed on a terminal's screen: bars, and sparklines of the past."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, Self

from rich.console import Console
from rich.live import Live

from hub.cli.watch.cells import (
    Block,
    Cell,
    Column,
    Row,
    Sparkline,
    bar,
    grid,
    stack,
    text,
)
from hub.cli.watch.message import Message, Value
from hub.cli.watch.viewer import Phase, State
from hub.clock import Clock, Timer

__all__ = ["Screen"]

_PERCENTAGES: Final = ("cpu", "memory", "swap", "disk")
_NOT_IN_TABLE: Final = frozenset({"processes", "timestamp", "seq", "errors"})
_RATES: Final = {
    "network": {"received_bytes_per_second": "received", "sent_bytes_per_second": "sent"},
    "disk_io": {"read_bytes_per_second": "read", "write_bytes_per_second": "written"},
}
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_STYLES: Final = {
    Phase.CONNECTING: "dim",
    Phase.LIVE: "green",
    Phase.UNREADABLE: "red",
    Phase.STALE: "red",
    Phase.RECONNECTING: "red",
}
_DRAW_SECONDS: Final = 0.05
_TREND_POINTS: Final = 500
"""Values kept for a sparkline: more than the widest terminal shows."""

_MAX_TRENDS: Final = 256
"""Sparklines of which the past is kept, whatever names a server thinks of."""

_LABEL_LENGTH: Final = 40
_MEMBER_LENGTH: Final = 24
_PROCESS_LENGTH: Final = 60
_FIGURE_LENGTH: Final = 24
_TITLE_LENGTH: Final = 80


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
        # The newest message, or None until there is one.
        self._message: Message | None = None
        # Values of the past, oldest first, by the name of the row that shows them.
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
        self._message = message
        for name, value in islice(_numbers(message.content), _MAX_TRENDS):
            self._remember(name, value)
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

    def _remember(self, name: str, value: float) -> None:
        trend = self._trends.pop(name, None) or deque(maxlen=_TREND_POINTS)
        self._trends[name] = trend  # at the end: the first has not been heard of for longest
        trend.append(value)
        if len(self._trends) > _MAX_TRENDS:
            del self._trends[next(iter(self._trends))]

    def render(self) -> Block:
        """Return the whole screen as of now."""
        columns = [
            Column(style="bold", no_wrap=True),
            Column(ratio=1),
            Column(justify="right", no_wrap=True, min_width=12),
        ]
        content = self._message.content if self._message else {}
        rows = (row for name, value in content.items() for row in self._rows(name, value))
        # Rows below the terminal's end would only cost time, and a server may send thousands.
        table = grid(columns, islice(rows, self._console.height))
        processes = _processes(content.get("processes"), self._console.height)
        below = [_process_table(processes)] if processes else []
        return stack(*self._head(), table, text(""), *below)

    def _head(self) -> Iterator[Block]:
        """Show what is followed, the connection's state and the values' time; below, a reason."""
        state = self._state
        time = f"{self._message.time:%H:%M:%S} UTC" if self._message else ""
        mark = "*" if self._console.options.ascii_only else "●"
        columns = [
            Column(ratio=1, no_wrap=True),
            Column(no_wrap=True),
            Column(justify="right", no_wrap=True),
        ]
        title = text(self._title, "bold", length=_TITLE_LENGTH)
        phase = text(f"{mark} {state.phase.capitalize()}", _STYLES[state.phase])
        yield grid(columns, [(title, phase, text(time))])
        soon = f"; next try in {math.ceil(state.seconds)} s" if state.seconds else ""
        yield text(state.reason + soon, "red", wrap=False)

    def _rows(self, name: str, value: Value) -> Iterator[Row]:
        """Show a family in as many rows as it takes."""
        if value is None:
            yield _label(name), text(self._failure(name), "red"), text("-")
        elif name == "error":
            yield _label(name), text(str(value), "red"), text("")
        elif name not in _NOT_IN_TABLE:
            known = self._known(name, value)
            unknown = _label(name), text(json.dumps(value)), text("")
            first = next(known, unknown)
            yield from (first, *known)

    def _known(self, name: str, value: Value) -> Iterator[Row]:
        """Show a family whose value has the shape that its name promises, else nothing."""
        match name, value:
            case _, int() | float():
                share = name in _PERCENTAGES
                figure = _percent(value) if share else f"{value:,.4g}"
                yield _label(name), self._trend(name, 100.0 if share else None), _figure(figure)
            case "load", [int() | float(), int() | float(), int() | float()]:
                figure = " ".join(f"{one:.2f}" for one in value)
                yield _label(name), self._trend(name), _figure(figure)
            case "memory_bytes", {"total": int(total), "used": int(used)} if total > 0:
                figure = f"{_bytes(used)} of {_bytes(total)}"
                yield _label(name), bar(100 * (float(used) / total)), _figure(figure)
            case (("network" | "disk_io"), dict()):
                for key, label in _RATES[name].items():
                    rate = f"{_bytes(_number(value.get(key)) or 0)}/s"
                    yield _label(f"{name} {label}"), self._trend(f"{name} {key}"), _figure(rate)
            case "cores", list():
                yield from _bars((f"core {number}", share) for number, share in enumerate(value))
            case "disks", dict():
                yield from _bars(value.items())

    def _failure(self, name: str) -> str:
        errors = self._message.content.get("errors") if self._message else None
        return str(errors.get(name, "")) if isinstance(errors, dict) else ""

    def _trend(self, name: str, top: float | None = None) -> Sparkline:
        return Sparkline(self._trends.get(name, ()), top)


def _label(name: str) -> Cell:
    return text(name, length=_LABEL_LENGTH)


def _figure(figure: str) -> Cell:
    return text(figure, length=_FIGURE_LENGTH)


def _numbers(content: Mapping[str, Value]) -> Iterator[tuple[str, float]]:
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


def _number(value: Value) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _bars(shares: Iterable[tuple[str, Value]]) -> Iterator[Row]:
    for name, share in shares:
        yield (
            text(name, length=_MEMBER_LENGTH),
            bar(_number(share) or 0.0),
            _figure(_percent(share)),
        )


def _processes(value: Value, most: int) -> list[dict[str, Value]]:
    if not isinstance(value, list):
        return []
    return [process for process in value[:most] if isinstance(process, dict)]


def _process_table(processes: Iterable[Mapping[str, Value]]) -> Block:
    columns = [
        Column(justify="right"),
        Column(ratio=1, no_wrap=True),
        Column(justify="right"),
        Column(justify="right"),
    ]
    heading = [text(title, "dim") for title in ("pid", "name", "cpu", "memory")]
    return grid(columns, [heading, *map(_process_row, processes)])


def _process_row(process: Mapping[str, Value]) -> Row:
    return (
        _figure(str(process.get("pid", ""))),
        text(str(process.get("name", "")), length=_PROCESS_LENGTH),
        _figure(_percent(process.get("cpu"))),
        _figure(_percent(process.get("memory"))),
    )


def _percent(value: Value) -> str:
    share = _number(value)
    return "-" if share is None else f"{share:.1f} %"


def _bytes(count: float) -> str:
    power = min(len(_UNITS) - 1, int(math.log10(max(count, 1)) / 3))
    return f"{count / 1000**power:.3g} {_UNITS[power]}"
