"""Which families are wanted, beside those of live views: what was asked for a little while ago."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from hub.clock import Clock

__all__ = ["Demand"]


class Demand:
    """Keeps families in demand for a while after they were asked for, so that polling works.

    Args:
        clock: measures the while.
        changed: told whenever families are wanted, perhaps such as were not before.
    """

    SECONDS: Final = 60.0

    def __init__(self, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self.changed: Final = changed
        self._until: dict[str, float] = {}  # when the demand for a family ends, by its name

    def want(self, names: Iterable[str]) -> None:
        """Want these families from now on, for a while."""
        end = self._clock.monotonic() + self.SECONDS
        self._until.update(dict.fromkeys(names, end))
        self.changed()

    @property
    def names(self) -> set[str]:
        """The names of the families that are still wanted."""
        now = self._clock.monotonic()
        return {name for name, end in self._until.items() if end > now}
