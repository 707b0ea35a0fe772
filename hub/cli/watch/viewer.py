"""What a viewer of a feed is told: messages, and the state of the connection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hub.cli.watch.message import Message

__all__ = ["Phase", "State", "Viewer"]


class Phase(StrEnum):
    """The state of the connection in one word."""

    CONNECTING = "connecting"
    LIVE = "live"
    UNREADABLE = "unreadable"
    STALE = "stale"
    RECONNECTING = "reconnecting"


@dataclass(frozen=True, slots=True)
class State:
    """The state of the connection.

    Attributes:
        phase: the state in one word.
        reason: what is wrong, partly in the server's own words, which may hold anything; empty
            while nothing is.
        seconds: time until the next attempt to connect, or 0 where none is due.
    """

    phase: Phase
    reason: str = ""
    seconds: float = 0.0


class Viewer(Protocol):
    """Shows a feed, or hands it on.

    What it is given was written by a server that may want to command the terminal: a viewer
    cleans every text before it shows it.
    """

    def show(self, message: Message) -> None:
        """Take the next message; they come in the order of time."""
        ...

    def on_state(self, state: State) -> None:
        """Take the state of the connection, at the start and whenever it has changed."""
        ...
