"""Sampling that goes on whatever happens to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from hub.clock import Clock
from hub.sampling.collector import Collector
from hub.sampling.metric import Metric
from hub.sampling.sampler import Sampler, SamplerStatistics
from hub.sampling.snapshot import Failure, Snapshot

__all__ = ["LastingSampler"]

_logger = logging.getLogger("hub")


class LastingSampler:
    """A sampler that begins again an interval after it has failed; ticks until then are missed.

    Args:
        interval: seconds between ticks.
        demand: returns the metrics to sample; called at every tick.
        publish: given every snapshot; must neither block nor raise.
        collector: reads the metrics.
        clock: tells and passes the time.
    """

    def __init__(
        self,
        *,
        interval: float,
        demand: Callable[[], Sequence[Metric]],
        publish: Callable[[Snapshot], None],
        collector: Collector,
        clock: Clock,
    ) -> None:
        self._interval = interval
        self._publish = publish
        self._clock = clock
        self._sampler = Sampler(
            interval=interval, demand=demand, publish=self._take, collector=collector, clock=clock
        )
        self.failure = ""
        """Why there is no new snapshot, in a few words; "" if there is."""

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
                self.failure = f"sampling has failed: {Failure.of(error).cause}"
            await self._clock.sleep_until(self._clock.monotonic() + self._interval)

    def _take(self, snapshot: Snapshot) -> None:
        self.failure = ""
        self._publish(snapshot)
