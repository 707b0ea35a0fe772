"""The single background task: the schedule of ticks, also when the machine is late."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hub.clock import Clock
from hub.histogram import Distribution, Histogram
from hub.sampling.collector import Collector
from hub.sampling.failure_log import FailureLog
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Rounding

__all__ = ["Sampler", "SamplerStatistics"]

_FIRST_SECONDS: Final = 1.0
"""How long at most the first measurement lasts, so that long intervals do not start silent."""

_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds, for both histograms."""


@dataclass(frozen=True, slots=True)
class SamplerStatistics:
    """What a sampler has done.

    Attributes:
        ticks: snapshots taken.
        missed: ticks that came due while another was late.
        lateness: seconds by which ticks began after they were due.
        duration: seconds that collecting took.
        failures: ticks in which a metric could not be collected, by its name.
    """

    ticks: int
    missed: int
    lateness: Distribution
    duration: Distribution
    failures: Mapping[str, int]


class Sampler:
    """Takes a snapshot at every tick of a fixed schedule and hands it to ``publish``.

    Ticks are due at ``start + n * interval`` on the monotonic clock: being late once delays no
    later tick. Ticks that have passed altogether, as after a suspend, are counted and left out.

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
        self._demand = demand
        self._publish = publish
        self._collector = collector
        self._clock = clock
        self._log = FailureLog()
        self._start: float | None = None  # the monotonic time of the first tick
        self._due = 0  # how many ticks after the first the next one is due
        self._tick: int | None = None  # the last snapshot's tick and number
        self._number: int | None = None
        self._precisions: Mapping[str, Rounding] = {}  # by the names of metrics
        self._resting: frozenset[str] = frozenset()  # those that no client asked for of late
        # For the statistics, whose attributes say what they are.
        self._ticks = 0
        self._missed = 0
        self._lateness = Histogram(_BOUNDS)
        self._duration = Histogram(_BOUNDS)
        self._failures: Counter[str] = Counter()

    def statistics(self) -> SamplerStatistics:
        """Return the counters as they are now."""
        return SamplerStatistics(
            ticks=self._ticks,
            missed=self._missed,
            lateness=self._lateness.distribution(),
            duration=self._duration.distribution(),
            failures=dict(self._failures),
        )

    async def run(self) -> None:
        """Sample until cancelled. The first collection only primes; it is not published.

        Run again, after it was cancelled or has failed, it goes on with its schedule: the ticks
        that have passed meanwhile are missed ones.
        """
        await self._collector.collect(self._demand())
        if self._start is None:
            self._start = self._clock.monotonic() + min(self._interval, _FIRST_SECONDS)
        while True:
            deadline = self._start + self._due * self._interval
            await self._clock.sleep_until(deadline)
            late = self._clock.monotonic() - deadline
            passed = int(late // self._interval)
            self._missed += passed
            self._lateness.observe(late)
            self._due += passed + 1
            await self._try(passed + 1, late - passed * self._interval)

    async def _try(self, step: int, late: float) -> None:
        """Take a snapshot; where that fails, its tick is a missed one."""
        try:
            await self._sample(step, late)
        except Exception:
            self._missed += 1
            raise

    async def _sample(self, step: int, late: float) -> None:
        """Take the snapshot that comes ``step`` ticks after the last one, ``late`` by seconds."""
        time = self._clock.time()
        self._tick = _tick(self._tick, step, (time - late) / self._interval)
        self._number = self._tick if self._number is None else self._number + step
        begun = self._clock.monotonic()
        metrics = self._demand()
        readings = await self._collector.collect(metrics)
        self._duration.observe(self._clock.monotonic() - begun)
        self._ticks += 1
        precisions, resting = self._precisions_of(metrics), self._resting_of(metrics)
        snapshot = Snapshot(self._tick, self._number, time, readings, precisions, resting)
        self._failures.update({name.partition("/")[0] for name in snapshot.failures})
        self._log.note(snapshot)
        self._publish(snapshot)

    def _resting_of(self, metrics: Iterable[Metric]) -> frozenset[str]:
        """Return those that rest: one object for as long as they are the same."""
        found = frozenset(metric.name for metric in metrics if metric.is_at_rest)
        if found != self._resting:
            self._resting = found
        return self._resting

    def _precisions_of(self, metrics: Iterable[Metric]) -> Mapping[str, Rounding]:
        """Return the precisions of all metrics that there have been, which seldom become more."""
        found = {m.name: m.precision for m in metrics if m.precision is not None}
        if not found.keys() <= self._precisions.keys():
            self._precisions = {**self._precisions, **found}
        return self._precisions


def _tick(last: int | None, step: int, due: float) -> int:
    """Return which tick it is that was due at ``due``, the time of day in intervals.

    Ticks are counted rather than read off the clock, so that one near the turn of its interval is
    neither skipped nor taken twice while the time of day runs a little fast or slow. A clock that
    is off by more than half a tick has been set, and is followed.
    """
    if last is not None and -0.5 <= due - (last + step) < 1.5:
        return last + step
    return math.floor(due)
