from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from hub.sampling.metric import Metric
from hub.sampling.sampler import Sampler
from hub.sampling.snapshot import Reading, Snapshot
from hub.workers.sampling import LastingSampler
from tests.support.fakes import FakeClock, FakeCollector


class Breaking(FakeCollector):
    """Fails as a whole whenever it is told to."""

    error: Exception | None = None

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        if self.error is not None:
            raise self.error
        return await super().collect(metrics)


async def test_a_sampler_that_fails_begins_again_and_counts_what_it_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, collector, published = FakeClock(), Breaking(), list[Snapshot]()
    sampler = LastingSampler(
        Sampler(
            interval=1.0, demand=list, publish=published.append, collector=collector, clock=clock
        ),
        1.0,
        clock,
    )
    task = asyncio.create_task(sampler.run())
    await clock.advance(3.0)
    first = [one.number for one in published]
    collector.error = RuntimeError("no room")
    with caplog.at_level(logging.ERROR):
        await clock.advance(2.0)
    assert sampler.failure == "sampling has failed: no room"
    assert [one.message for one in caplog.records] == ["Sampling has failed; it begins again"] * 2
    collector.error = None
    await clock.advance(3.0)
    assert not sampler.failure
    numbers = [one.number for one in published]
    assert numbers[: len(first)] == first
    gap = numbers[len(first)] - first[-1] - 1
    assert numbers[len(first) :] == list(range(first[-1] + gap + 1, numbers[-1] + 1))
    assert gap >= 2
    assert sampler.statistics().missed == gap
    assert sampler.statistics().ticks == len(numbers)
    task.cancel()
