"""What a viewer of a feed is told: messages, and the state of the connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Message", "Phase", "State", "Viewer"]


class Phase(StrEnum):
    """The state of the connection in one word."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    RECONNECTING = "reconnecting"


@dataclass(frozen=True, slots=True)
class State:
    """The state of the connection.

    Attributes:
        phase: the state in one word.
        reason: why there is no connection, in one line; empty while there is one.
        seconds: time until the next attempt to connect, or 0 where none is due.
    """

    phase: Phase
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the feed.

    Attributes:
        text: the message as it came.
        content: what it says, by name of the family.
    """

    text: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> Message:
        """Read a message.

        Raises:
            ValueError: the text is no message of a metrics hub.
        """
        try:
            message = cls(text, dict(json.loads(text)))
            known = message.time.utcoffset() is not None
        except (TypeError, KeyError):
            known = False
        if not known:
            raise ValueError("no message of a metrics hub")
        return message

    @property
    def timestamp(self) -> str:
        """When the sample was taken, as the hub writes it."""
        return str(self.content["timestamp"])

    @property
    def time(self) -> datetime:
        """When the sample was taken, in UTC."""
        return datetime.fromisoformat(self.timestamp)


class Viewer(Protocol):
    """Shows a feed, or hands it on."""

    def show(self, message: Message) -> None:
        """Take the next message; they come in the order of time."""
        ...

    def on_state(self, state: State) -> None:
        """Take the state of the connection, at the start and whenever it has changed."""
        ...
