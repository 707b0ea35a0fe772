"""Sampling that goes on whatever happens to it."""

from __future__ import annotations

import logging

from hub.clock import Clock
from hub.sampling.sampler import Sampler, SamplerStatistics
from hub.sampling.snapshot import Failure

__all__ = ["LastingSampler"]

_logger = logging.getLogger("hub")


class LastingSampler:
    """Has a sampler begin again an interval after it has failed; ticks until then are missed.

    Args:
        sampler: samples.
        interval: seconds between its ticks.
        clock: passes the time.
    """

    def __init__(self, sampler: Sampler, interval: float, clock: Clock) -> None:
        self._sampler = sampler
        self._interval = interval
        self._clock = clock
        self._failure = ""  # why it has failed the last time
        self._ticks = -1  # how many it had taken by then

    @property
    def failure(self) -> str:
        """Why there is no new snapshot, in a few words; "" if there is."""
        return self._failure if self._sampler.statistics().ticks == self._ticks else ""

    def statistics(self) -> SamplerStatistics:
        """Return the counters as they are now."""
        return self._sampler.statistics()

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            try:
                await self._sampler.run()
            except Exception as error:
                _logger.exception("Sampling has failed; it begins again")
                self._failure = f"sampling has failed: {Failure.of(error).cause}"
                self._ticks = self._sampler.statistics().ticks
            await self._clock.sleep_until(self._clock.monotonic() + self._interval)
