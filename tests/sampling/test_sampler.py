from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import Metric
from hub.sampling.sampler import Sampler
from hub.sampling.snapshot import Failure, Incomplete, Reading, Snapshot
from hub.sampling.value import Precision
from tests.support.fakes import START, FakeClock, FakeCollector


class Bench:
    """A sampler with everything around it faked."""

    def __init__(self, interval: float = 1.0) -> None:
        self.clock = FakeClock()
        self.collector = FakeCollector()
        self.metrics = [Metric("cpu", lambda: 25.5)]
        self.published: list[Snapshot] = []
        self.times: list[float] = []
        self.sampler = Sampler(
            interval=interval,
            demand=lambda: self.metrics,
            publish=self._publish,
            collector=self.collector,
            clock=self.clock,
        )

    def _publish(self, snapshot: Snapshot) -> None:
        self.published.append(snapshot)
        self.times.append(self.clock.monotonic() - 1000)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with anyio.create_task_group() as group:
        group.start_soon(bench.sampler.run)
        await bench.clock.advance(0)
        yield bench
        group.cancel_scope.cancel()


async def test_it_primes_first_and_publishes_once_an_interval() -> None:
    async with running(Bench()) as bench:
        assert len(bench.collector.collections) == 1
        assert bench.published == []
        await bench.clock.advance(3.5)
        assert bench.times == pytest.approx([1, 2, 3])
        first = int(START) + 1
        assert [snapshot.tick for snapshot in bench.published] == [first, first + 1, first + 2]
        assert bench.published[0] == Snapshot(first, first, START + 1, {"cpu": 25.5})


@pytest.mark.parametrize(("interval", "first"), [(0.1, 0.1), (1, 1), (60, 1)])
async def test_the_first_message_never_waits_longer_than_a_second(
    interval: float, first: float
) -> None:
    async with running(Bench(interval)) as bench:
        await bench.clock.advance(first + 2 * interval + 0.01)
        assert bench.times == pytest.approx([first, first + interval, first + 2 * interval])


async def test_the_schedule_does_not_drift() -> None:
    async with running(Bench(0.1)) as bench:
        await bench.clock.advance(60.05)
        assert len(bench.times) == 600
        assert bench.times[-1] == pytest.approx(60, abs=1e-6)


async def test_a_tick_that_is_late_delays_no_later_one() -> None:
    async with running(Bench()) as bench:
        await bench.clock.jump(1.4)
        await bench.clock.advance(1)
        assert bench.times == pytest.approx([1.4, 2])
        found = bench.sampler.statistics()
        assert (found.ticks, found.missed) == (2, 0)


async def test_after_a_suspend_missed_ticks_are_counted_and_not_made_up_for() -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(1)
        await bench.clock.jump(30.5)
        await bench.clock.advance(1)
        assert bench.times == pytest.approx([1, 31.5, 32])
        found = bench.sampler.statistics()
        assert (found.ticks, found.missed) == (3, 29)


async def test_the_time_of_day_may_jump_without_moving_the_schedule() -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(1)
        bench.clock.set_wall(0)
        await bench.clock.advance(1)
        assert bench.times == pytest.approx([1, 2])
        assert bench.published[1].time == pytest.approx(1)


def ticks(bench: Bench) -> list[int]:
    return [snapshot.tick - int(START) for snapshot in bench.published]


async def test_ticks_are_numbered_by_the_time_of_day_and_missed_ones_leave_a_gap() -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(2)
        await bench.clock.jump(3.9)
        await bench.clock.advance(1)
        assert ticks(bench) == [1, 2, 5, 6]


async def test_a_tick_that_is_late_has_the_number_of_when_it_was_due() -> None:
    async with running(Bench()) as bench:
        bench.clock.set_wall(int(START) + 0.7)
        await bench.clock.advance(1)
        await bench.clock.jump(1.9)
        await bench.clock.advance(1)
        assert ticks(bench) == [1, 2, 3]


async def test_a_clock_that_drifts_neither_skips_nor_repeats_a_number() -> None:
    async with running(Bench()) as bench:
        for second in range(1, 600):
            bench.clock.set_wall(START + second - 1 - 0.001 * second)
            await bench.clock.advance(1)
        assert ticks(bench) == list(range(1, 600))


@pytest.mark.parametrize("shift", [3600, -3600])
async def test_a_clock_that_is_set_is_followed(shift: int) -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(2)
        bench.clock.set_wall(START + 2 + shift)
        await bench.clock.advance(2)
        assert ticks(bench) == [1, 2, 3 + shift, 4 + shift]


async def test_a_snapshot_s_number_starts_as_its_tick_and_does_not_follow_the_clock() -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(1)
        for shift in (3600, -7200):
            bench.clock.set_wall(bench.clock.time() + shift)
            await bench.clock.advance(1)
        await bench.clock.jump(2.9)
        await bench.clock.advance(1)
        assert [snapshot.number - int(START) for snapshot in bench.published] == [1, 2, 3, 5, 6]
        assert ticks(bench) == [1, 3602, -3597, -3595, -3594]


EIGHTHS = st.integers(0, 80).map(lambda n: n / 8)  # of a second; exact, as the schedule is
CLOCK_SETTINGS = st.none() | st.integers(-(10**6), 10**6)


@given(st.lists(st.tuples(CLOCK_SETTINGS, EIGHTHS, EIGHTHS), max_size=10))
async def test_the_number_rises_by_one_and_by_one_for_each_missed_tick_whatever_the_clock_does(
    events: list[tuple[int | None, float, float]],
) -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(1)
        for shift, asleep, awake in events:
            if shift is not None:
                bench.clock.set_wall(bench.clock.time() + shift)
            await bench.clock.jump(asleep)
            await bench.clock.advance(awake)
        # Ticks are due at whole seconds, and each sample is that of the last one due.
        due = [int(time) for time in bench.times]
        assert [snapshot.number - int(START) for snapshot in bench.published] == due
        assert bench.published[0].tick == bench.published[0].number


async def test_it_samples_what_is_wanted_at_the_moment() -> None:
    async with running(Bench()) as bench:
        await bench.clock.advance(1)
        bench.metrics.append(Metric("load", lambda: 1))
        await bench.clock.advance(1)
        assert bench.collector.collections == [("cpu",), ("cpu",), ("cpu", "load")]


async def test_a_snapshot_knows_how_exact_all_metrics_are_that_there_have_been() -> None:
    bench = Bench()
    bench.metrics.append(Metric("load", lambda: 0.126, precision=Precision.HUNDREDTH))
    async with running(bench):
        await bench.clock.advance(2)
        bench.metrics.pop()
        await bench.clock.advance(2)
    first, second, *later = bench.published
    assert first.readings["load"] == 0.126
    assert first.value("load") == 0.13
    assert first.value("cpu") == 25.5
    assert all(one.precisions is second.precisions for one in later)
    assert later[0].precisions == {"load": Precision.HUNDREDTH}


async def test_a_failure_is_logged_on_entering_and_on_leaving_and_not_in_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    broken = True

    def collect() -> float:
        if broken:
            raise FileNotFoundError(2, "No such file or directory")
        return 1.0

    bench = Bench()
    bench.metrics.append(Metric("disk", collect))
    async with running(bench):
        await bench.clock.advance(3)
        assert bench.published[2].failures == {"disk": Failure("No such file or directory")}
        broken = False
        await bench.clock.advance(2)
    assert caplog.messages == [
        "Error collecting metrics: disk: No such file or directory",
        "Error collecting metrics: disk: works again after 3 ticks",
    ]


async def test_members_that_fail_are_logged_by_their_names_and_counted_as_their_family(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    readings: list[Reading] = [
        Incomplete({"/": 5.0}, {"/a\n": Failure("late"), "/b": Failure("gone")}),
        Incomplete({"/": 5.0}, {"/b": Failure("gone")}),
        {"/": 5.0},
    ]
    left = iter(readings)
    bench = Bench()
    bench.metrics.append(Metric("disks", lambda: next(left)))  # the first is not published
    async with running(bench):
        await bench.clock.advance(2)
        assert bench.sampler.statistics().failures == {"disks": 1}
    assert caplog.messages == [
        "Error collecting metrics: disks//b: gone",
        "Error collecting metrics: disks//b: works again after 1 ticks",
    ]
