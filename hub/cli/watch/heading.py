"""The first line and the last: whose figures these are, of when, and which keys there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hub.cli.watch.cells import Line, Pen, measure
from hub.cli.watch.figures import duration, number
from hub.cli.watch.keys import HELP
from hub.cli.watch.machine import Machine
from hub.cli.watch.message import Message
from hub.cli.watch.viewer import Phase, State

__all__ = ["Heading", "footing", "key_list"]

_STYLES: Final = {
    Phase.CONNECTING: "dim",
    Phase.LIVE: "green",
    Phase.UNREADABLE: "red",
    Phase.STALE: "red",
    Phase.RECONNECTING: "red",
}
_GAP: Final = 2
_LONGEST_NAME: Final = 32


@dataclass(frozen=True, slots=True)
class Heading:
    """Whose figures are shown, and of when.

    Attributes:
        title: the address that is followed.
        machine: what the hub says of its machine; None where it says nothing.
        state: of the connection.
        message: the newest; None until there is one.
    """

    title: str
    machine: Machine | None
    state: State
    message: Message | None

    def draw(self, pen: Pen, width: int) -> Line:
        """Return it as one line."""
        right = self._right(pen)
        room = width - right.cell_len - _GAP
        left = pen.text(self.title, max(0, min(room, measure(self.title))), "bold")
        for part in self._parts():
            if left.cell_len + _GAP + measure(part) <= room:
                left = pen.join(left, pen.text("", _GAP), pen.text(part))
        return pen.join(pen.fit(left, max(0, room)), pen.text("", _GAP), right, width=width)

    def _right(self, pen: Pen) -> Line:
        phase = pen.text(f"● {self.state.phase.capitalize()}", None, _STYLES[self.state.phase])
        time = f"{self.message.time:%H:%M:%S} UTC" if self.message else ""
        return pen.join(phase, pen.text("", _GAP), pen.text(time))

    def _parts(self) -> Sequence[str]:
        """Return what is said of the machine, the most important first."""
        machine = self.machine or Machine()
        name, system = machine.name[:_LONGEST_NAME], machine.system
        seconds = self._uptime()
        up = "" if seconds is None else f"up {duration(seconds)}"
        return [part for part in (name, up, system) if part]

    def _uptime(self) -> float | None:
        """Return for how long the machine has been running, in seconds."""
        if self.message is None:
            return None
        told = number(self.message.content.get("uptime"))
        if told is None and self.machine and self.machine.boot_time:
            return (self.message.time - self.machine.boot_time).total_seconds()
        return told


def footing(pen: Pen, state: State, keys: str, place: str, width: int) -> Line:
    """Return the last line: what is wrong, else which keys there are; and what is seen of what.

    Args:
        pen: makes the line.
        state: of the connection.
        keys: the most important keys.
        place: which lines of how many are seen; empty where all are.
        width: columns of the window.
    """
    soon = f"; next try in {math.ceil(state.seconds)} s" if state.seconds else ""
    reason = state.reason + soon
    room = width - measure(place) - (_GAP if place else 0)
    left = pen.text(reason or keys, max(0, room), "red" if reason else "dim")
    end = [pen.text("", _GAP), pen.text(place, style="dim")] if place else []
    return pen.join(left, *end, width=width)


def key_list(pen: Pen) -> list[Line]:
    """Return the list of keys."""
    wide = max(measure(keys) for keys, _ in HELP) + _GAP
    return [
        pen.text("keys", style="bold"),
        *(pen.join(pen.text(keys, wide), pen.text(what)) for keys, what in HELP),
    ]
