"""Measures what a tick's sampling takes, family by family: a process that writes JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from hub.clock import SystemClock
from hub.sampling.collector import ThreadCollector
from hub.sampling.metric import Metric
from hub.sampling.system import standard_metrics
from hub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TIMEOUT: Final = 0.5
_END: Final = "end"


@dataclass(frozen=True, slots=True)
class TickCost:
    """Medians over many ticks, in µs.

    Attributes:
        families: the sampler thread's processor time for each family, in their order.
        cpu: its processor time for all of them together.
        wall: from when the event loop asks for a tick to when it has it.
    """

    families: Mapping[str, float]
    cpu: float
    wall: float


class _Stopwatch:
    """Notes on the sampler thread's own clock when the turn of each family begins."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._begun: list[tuple[str, float]] = []
        families = (rest for metric in metrics if (rest := metric.resting) is not None)
        # The last one has nothing to do: where it begins, all is over.
        self.metrics = [self._noted(one) for one in (*families, Metric(_END, int))]

    def _noted(self, metric: Metric) -> Metric:
        def collect() -> object:
            self._begun.append((metric.name, time.thread_time()))
            return metric.collect()

        return replace(metric, collect=collect)

    def take(self) -> dict[str, float]:
        """Return what each family took in the tick that is over, in seconds."""
        begun, self._begun = self._begun, []
        return {name: end - begin for (name, begin), (_, end) in itertools.pairwise(begun)}


async def measure_tick(metrics: Iterable[Metric], ticks: int, pause: float) -> TickCost:
    """Sample what no client has asked for, as the hub does; `pause` is between ticks, in seconds.

    The caches are as cold as the pause leaves them: without one, figures are half as large.
    """
    stopwatch = _Stopwatch(metrics)
    collector = ThreadCollector(timeout=_TIMEOUT, clock=SystemClock())
    taken: dict[str, list[float]] = defaultdict(list)
    totals: list[float] = []
    walls: list[float] = []
    await collector.collect(stopwatch.metrics)  # primes
    stopwatch.take()
    for _ in range(ticks):
        await asyncio.sleep(pause)
        begun = time.perf_counter()
        await collector.collect(stopwatch.metrics)
        walls.append(time.perf_counter() - begun)
        found = stopwatch.take()
        totals.append(sum(found.values()))
        for name, seconds in found.items():
            taken[name].append(seconds)
    collector.close()
    families = {name: 1e6 * statistics.median(values) for name, values in taken.items()}
    return TickCost(families, 1e6 * statistics.median(totals), 1e6 * statistics.median(walls))


def main(arguments: Sequence[str]) -> int:
    """Measure so many ticks with such a pause, and print the cost as JSON."""
    ticks, pause = arguments
    metrics = standard_metrics(Settings())
    cost = asyncio.run(measure_tick(metrics, int(ticks), float(pause)))
    json.dump(asdict(cost), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
