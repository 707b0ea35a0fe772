"""What a hub reads itself, beside what another process samples for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hub.sampling.collector import Collector
from hub.sampling.failure_log import FailureLog
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot

__all__ = ["OwnReadings"]


class OwnReadings:
    """Reads metrics once for every snapshot that comes, and adds them to it.

    So each reading is in one snapshot, and rates stay exact. The snapshot waits for them, for as
    long as the collector lets them take.

    Args:
        collector: reads them.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._log = FailureLog()
        self._has_any = False  # whether there were some the last time
        self.failures: Counter[str] = Counter()
        """In how many snapshots a metric could not be read, by its name."""

    async def add_to(self, snapshot: Snapshot, metrics: Sequence[Metric]) -> Snapshot:
        """Return a snapshot with the readings of these metrics too."""
        if not metrics and not self._has_any:
            return snapshot
        self._has_any = bool(metrics)
        readings = await self._collector.collect(metrics)
        own = replace(snapshot, readings=readings)
        self.failures.update({name.partition("/")[0] for name in own.failures})
        self._log.note(own)
        resting = frozenset(metric.name for metric in metrics if metric.is_at_rest)
        return replace(
            snapshot,
            readings={**snapshot.readings, **readings},
            resting=snapshot.resting | resting if resting else snapshot.resting,
        )

    def close(self) -> None:
        """Release the collector's threads."""
        self._collector.close()
