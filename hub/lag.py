"""How late the event loop is: what every client feels when something holds it up."""

from __future__ import annotations

from typing import Final

from hub.clock import Clock, Timer
from hub.histogram import Distribution, Histogram

__all__ = ["LagMeter"]


class LagMeter:
    """Measures by how much a timer comes late, twice a second."""

    SECONDS: Final = 0.5
    BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags = Histogram(self.BOUNDS)
        self._due = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to measure on the running event loop."""
        self._schedule()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def distribution(self) -> Distribution:
        """Return how many seconds late it has been."""
        return self._lags.distribution()

    def _schedule(self) -> None:
        self._due = self._clock.monotonic() + self.SECONDS
        self._timer = self._clock.call_later(self.SECONDS, self._measure)

    def _measure(self) -> None:
        self._lags.observe(max(0.0, self._clock.monotonic() - self._due))
        self._schedule()
