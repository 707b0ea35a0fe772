"""Sharing what was just read of the machine among the families that need the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = ["Recent"]

_T = TypeVar("_T")


class Recent(Generic[_T]):
    """Reads something once for all who ask within a moment, so that they also agree.

    Args:
        read: reads it; what it raises is not kept.
        clock: monotonic time in seconds.
    """

    SECONDS: Final = 0.005

    def __init__(
        self, read: Callable[[], _T], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        # When it was read last, and what that was; one pair, as more than one thread may ask.
        self._last: tuple[float, _T] | None = None

    def __call__(self) -> _T:
        """Return what was read within the last moment, or else is read now."""
        last = self._last
        if last is not None and self._clock() - last[0] < self.SECONDS:
            return last[1]
        value = self._read()
        self._last = self._clock(), value
        return value
