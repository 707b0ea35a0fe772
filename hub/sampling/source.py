"""Where a hub's snapshots come from: this machine, or another process that samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from hub.clock import Clock
from hub.sampling.collector import Collector
from hub.sampling.metric import Metric
from hub.sampling.sampler import Sampler, SamplerStatistics
from hub.sampling.siblings import SiblingWatch
from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Rounding

__all__ = ["Demand", "LocalSource", "SnapshotSink", "SnapshotSource"]

Demand: TypeAlias = Callable[[], Sequence[Metric]]
"""Returns the metrics to sample: those that are wanted, and the ``resting`` ones of others."""


class SnapshotSink(Protocol):
    """What takes snapshots: no method blocks or raises."""

    @property
    def interval(self) -> float:
        """Seconds between two snapshots."""
        ...

    def precisions(self) -> Mapping[str, Rounding]:
        """Return how the values of families are rounded, by name; of those that are."""
        ...

    def restore(self, past: Iterable[Snapshot]) -> None:
        """Take what was sampled before, oldest first, without handing it out."""
        ...

    def publish(self, snapshot: Snapshot) -> None:
        """Take the newest snapshot, and hand it out."""
        ...


class SnapshotSource(Protocol):
    """Delivers snapshots, each later than the one before, to one sink at a time."""

    async def run(self, sink: SnapshotSink, demand: Demand) -> None:
        """Deliver until cancelled: first what the source remembers of the past, if anything.

        Args:
            sink: takes the snapshots.
            demand: says what they should hold; asked at every tick.

        Raises:
            Exception: there will be no more snapshots.
        """
        ...

    def demand_changed(self) -> None:
        """Learn that the demand may be for more than it was; it need not wait for the next tick."""
        ...

    def statistics(self) -> SamplerStatistics | None:
        """Return what the sampler behind it has done; None before that is known."""
        ...

    def failure(self) -> str:
        """Return in a few words why no snapshots come; "" if they do, or none knows why not."""
        ...


class LocalSource:
    """Samples the machine that it runs on.

    Args:
        interval: seconds between snapshots.
        collector: reads the metrics; it is closed whenever the source ends.
        clock: tells and passes the time.
        watch: warns if other processes of the same server sample too.
    """

    def __init__(
        self,
        *,
        interval: float,
        collector: Collector,
        clock: Clock,
        watch: SiblingWatch | None = None,
    ) -> None:
        self._watch = watch
        self._interval = interval
        self._collector = collector
        self._clock = clock
        self._sampler: Sampler | None = None  # of the present or else the last run

    async def run(self, sink: SnapshotSink, demand: Demand) -> None:
        """See ``SnapshotSource``; it remembers nothing of the past."""
        self._sampler = Sampler(
            interval=self._interval, demand=demand, publish=sink.publish,
            collector=self._collector, clock=self._clock,
        )  # fmt: skip
        if self._watch is not None:
            self._watch.start()
        try:
            await self._sampler.run()
        finally:
            self._collector.close()
            if self._watch is not None:
                self._watch.stop()

    def demand_changed(self) -> None:
        """See ``SnapshotSource``: it asks at the next tick anyway."""

    def statistics(self) -> SamplerStatistics | None:
        """See ``SnapshotSource``."""
        return None if self._sampler is None else self._sampler.statistics()

    def failure(self) -> str:
        """See ``SnapshotSource``: it ends where it fails."""
        return ""
