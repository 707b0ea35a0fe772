"""What an operator or an embedding application may choose about a hub."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from hub.errors import InvalidValue

__all__ = ["Settings"]


def _system_root() -> str:
    return Path(os.sep).resolve().anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a hub samples and what it allows each subscriber.

    Attributes:
        interval: seconds between two samples, 0.1 to 60; every message follows this beat.
        disk_path: any path on the file system whose usage is the metric ``disk``. It need not
            exist yet: until it does, the feed carries the error.
        history: seconds of the past that are kept, 0 to 86400, for clients that ask for it.
        views: how many different views may be live at once, 1 to 65536; each costs an encoding
            at every tick, however many subscribers share it.
        queue: frames held for a subscriber that does not keep up, 1 to 1024; when one more
            comes, the oldest goes.
        stall_timeout: seconds, 1 to 3600, after which a subscriber that takes nothing is cut off.

    Raises:
        InvalidValue: a value breaks its rule.
    """

    interval: float = 1.0
    disk_path: str = field(default_factory=_system_root)
    history: float = 3600.0
    views: int = 256
    queue: int = 8
    stall_timeout: float = 15.0

    def __post_init__(self) -> None:
        _check_seconds("interval", self.interval, low=0.1, high=60)
        _check_seconds("stall_timeout", self.stall_timeout, low=1, high=3600)
        _check_seconds("history", self.history, low=0, high=86400)
        _check_count("queue", self.queue, high=1024)
        _check_count("views", self.views, high=65536)
        path: object = self.disk_path
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidValue("disk_path", "a path", self.disk_path)


def _check_seconds(name: str, value: object, *, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidValue(name, f"a number of seconds from {low:g} to {high:g}", value)


def _check_count(name: str, value: object, *, high: int) -> None:
    if type(value) is not int or not 1 <= value <= high:
        raise InvalidValue(name, f"a whole number from 1 to {high}", value)
