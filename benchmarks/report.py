"""The report of a comparison: tables in Markdown and one chart in SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from benchmarks.targets import FLOOR, HUB, PLAIN, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measurement import Measurement

_HEAD: Final = (
    "server",
    "CPU µs/frame",
    "vs C floor",
    "vs plain Starlette",
    "lag p50 ms",
    "p99",
    "max",
    "KiB/client",
    "handshakes/s",
    "drops",
    "load µs/frame",
)
_TERMS: Final = """\
One message a second to every client. Server and load are separate processes on this machine,
over loopback. **CPU** is the server's user and system time in the window over the frames received
in it. **Lag** runs from the timestamp in a message to its arrival at each client; it contains the
load's own work, which the last column shows. **KiB/client** is the server's resident memory for
waiting clients; socket buffers in the kernel are not in it. **Handshakes** come from one burst of
all clients, at most 512 at a time. **Drops** are messages that a client was owed and never got.
Every frame counted was checked: framing, JSON, keys, types, and a later timestamp than the last.
Only the hub samples the machine; the other servers send made-up figures."""

_STYLE: Final = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.heading { font-weight: 600 }
.other { fill: #8c959f } .hub { fill: #0969da } .floor { fill: #bf8700 }
.axis { stroke: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .other { fill: #6e7681 } .hub { fill: #58a6ff } .floor { fill: #d29922 }
}"""
_WIDTH: Final = 760
_LEFT: Final = 200
_LONGEST: Final = 470
_PITCH: Final = 24
_DISTURBED: Final = 0.1  # cores


@dataclass(frozen=True, slots=True)
class Row:
    """The measurement of one server with one number of clients."""

    target: Target
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Report:
    """A whole comparison: its rows, notes for the reader, and the machine it ran on."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    machine: tuple[str, ...]

    def markdown(self) -> str:
        """Return the report, which shows the chart from `chart.svg` next to it."""
        parts = ["# Benchmarks", "![CPU per frame and lag of each server](chart.svg)", _TERMS]
        for count in sorted({row.measurement.clients for row in self.rows}, reverse=True):
            rows = self._with(count)
            parts += [f"## {count:,} clients", "\n".join(_table(rows))]
        notes = (*self.notes, *incidents(self.rows), *self.machine)
        return "\n\n".join((*parts, "## Notes", "\n".join(f"- {note}" for note in notes))) + "\n"

    def chart(self) -> str:
        """Return bars of CPU per frame and p99 lag with the most clients, for light and dark."""
        most = max(row.measurement.clients for row in self.rows)
        rows = self._with(most)
        top = 24 + _PITCH * (len(rows) + 2)
        panels = (
            _panel(f"CPU per frame, µs, {most:,} clients", rows, _cpu(rows), 24),
            _panel(f"Lag, 99th percentile, ms, {most:,} clients", rows, _lag(rows), top),
        )
        height = 2 * top - 24
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" role="img">\n'
            f"<title>CPU per frame and lag with {most:,} clients; less is better</title>\n"
            f"<style>\n{_STYLE}\n</style>\n{''.join(panels)}</svg>\n"
        )

    def _with(self, clients: int) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.measurement.clients == clients)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table: the first column to the left, figures to the right."""
    rule = [":--", *("--:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *lines)]


def _table(rows: Sequence[Row]) -> list[str]:
    floor, plain = _cpu_of(rows, FLOOR), _cpu_of(rows, PLAIN)
    return table(_HEAD, [_cells(row, floor, plain) for row in rows])


def _cells(row: Row, floor: float | None, plain: float | None) -> tuple[str, ...]:
    found = row.measurement
    return (
        f"**{row.target.title}**" if row.target.key == HUB else row.target.title,
        f"{found.cpu_us:.1f}",
        _ratio(found.cpu_us, floor),
        _ratio(found.cpu_us, plain),
        f"{found.lag_p50_ms:.1f}",
        f"{found.lag_p99_ms:.1f}",
        f"{found.lag_max_ms:.1f}",
        f"{found.rss_kib:.1f}",
        f"{found.handshakes:,.0f}",
        f"{found.drops:,}",
        f"{found.load_us:.1f}",
    )


def _cpu_of(rows: Sequence[Row], key: str) -> float | None:
    return next((row.measurement.cpu_us for row in rows if row.target.key == key), None)


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base else "-"


def incidents(rows: Sequence[Row]) -> list[str]:
    """Return the events during the measurements that a reader has to know of."""
    notes = []
    if busy := [row for row in rows if row.measurement.others > _DISTURBED]:
        most = max(row.measurement.others for row in busy)
        notes.append(
            f"Something else ran during {len(busy)} of {len(rows)} measurements, "
            f"on up to {most:.2f} cores: figures of this run are too high."
        )
    for row in rows:
        where, found = (
            f"{row.target.title}, {row.measurement.clients:,} clients",
            row.measurement,
        )
        if found.lost:
            notes.append(f"{where}: the server disconnected {found.lost:,} clients.")
        if found.failed:
            notes.append(f"{where}: {found.failed:,} of the messages were error messages.")
    return notes


def _cpu(rows: Sequence[Row]) -> list[float]:
    return [row.measurement.cpu_us for row in rows]


def _lag(rows: Sequence[Row]) -> list[float]:
    return [row.measurement.lag_p99_ms for row in rows]


def _panel(heading: str, rows: Sequence[Row], values: Sequence[float], top: int) -> str:
    lines = [f'<text class="heading" x="{_LEFT}" y="{top}">{escape(heading)}</text>\n']
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        lines.append(_bar(row.target, value, max(values), top + 10 + place * _PITCH))
    bottom = top + 10 + len(rows) * _PITCH
    lines.append(f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="{top + 8}" y2="{bottom}"/>\n')
    return "".join(lines)


def _bar(target: Target, value: float, longest: float, top: int) -> str:
    kinds = {HUB: "hub", "pump": "hub", FLOOR: "floor", "floor-python": "floor"}
    width = _LONGEST * value / longest if longest else 0
    return (
        f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(target.title)}</text>'
        f'<rect class="{kinds.get(target.key, "other")}" x="{_LEFT}" y="{top}" '
        f'width="{width:.1f}" height="{_PITCH - 6}" rx="2"/>'
        f'<text x="{_LEFT + width + 6:.1f}" y="{top + 13}">{value:,.1f}</text>\n'
    )
