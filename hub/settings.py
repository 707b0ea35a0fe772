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
        queue: frames held for a subscriber that does not keep up, 1 to 1024; when one more
            comes, the oldest goes.
        stall_timeout: seconds, 1 to 3600, after which a subscriber that takes nothing is cut off.

    Raises:
        InvalidValue: a value breaks its rule.
    """

    interval: float = 1.0
    disk_path: str = field(default_factory=_system_root)
    queue: int = 8
    stall_timeout: float = 15.0

    def __post_init__(self) -> None:
        _check_seconds("interval", self.interval, low=0.1, high=60)
        _check_seconds("stall_timeout", self.stall_timeout, low=1, high=3600)
        if type(self.queue) is not int or not 1 <= self.queue <= 1024:
            raise InvalidValue("queue", "a whole number from 1 to 1024", self.queue)
        path: object = self.disk_path
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidValue("disk_path", "a path", self.disk_path)


def _check_seconds(name: str, value: object, *, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidValue(name, f"a number of seconds from {low:g} to {high:g}", value)
