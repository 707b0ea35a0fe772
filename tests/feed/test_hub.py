from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from hub import CloseReason, Hub, InvalidValue, Metric, Settings
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.subscriber import Observer
from hub.feed.view import View
from hub.sampling.snapshot import Reading
from tests.support.fakes import DEFAULT_VIEW, FakeClock, FakeCollector, Listener, settle, snapshot

METRICS = (
    Metric("cpu", lambda: 25.5, always=True),
    Metric("memory", lambda: 60.2, always=True),
    Metric("disk", lambda: 45.3, always=True),
)


class SlowClock(FakeClock):
    """A clock on which work takes time."""

    def pass_by(self, seconds: float) -> None:
        self._now += seconds


def make_hub(clock: FakeClock | None = None, collector: FakeCollector | None = None) -> Hub:
    return Hub(
        Settings(),
        metrics=METRICS,
        clock=clock or FakeClock(),
        collector=collector or FakeCollector(),
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def hub(clock: FakeClock) -> AsyncIterator[Hub]:
    hub = make_hub(clock)
    async with hub.lifespan():
        await settle()
        yield hub


async def test_every_subscriber_of_a_view_gets_the_very_same_frame(hub: Hub) -> None:
    listeners = [Listener() for _ in range(5)]
    for listener in listeners:
        hub.add(listener)
    hub.publish(snapshot())
    assert len({id(listener.frames[0]) for listener in listeners}) == 1
    found = hub.statistics()
    assert (found.subscribers, found.views, found.ticks, found.missed) == (5, 1, 0, 0)


async def test_each_view_gets_what_it_has_chosen(hub: Hub) -> None:
    one, two = Listener(View(("cpu",))), Listener(View(("memory", "disk")))
    hub.add(one)
    hub.add(two)
    hub.publish(snapshot())
    assert json.loads(one.frames[0].text).keys() == {"cpu", "timestamp"}
    assert json.loads(two.frames[0].text).keys() == {"memory", "disk", "timestamp"}


async def test_the_latest_sample_is_offered_on_joining_and_only_once(
    hub: Hub, clock: FakeClock
) -> None:
    await clock.advance(1)
    first, second = Listener(), Listener()
    hub.add(first)
    hub.add(second)
    assert first.frames == second.frames
    assert len(first.frames) == 1
    await clock.advance(1)
    assert len(first.frames) == len(second.frames) == 2


async def test_before_the_first_sample_there_is_nothing_to_offer(hub: Hub) -> None:
    listener = Listener()
    hub.add(listener)
    assert listener.frames == []


async def test_who_has_left_gets_nothing_more_and_may_leave_twice(hub: Hub) -> None:
    listener = Listener()
    hub.add(listener)
    hub.remove(listener)
    hub.remove(listener)
    hub.publish(snapshot())
    assert listener.frames == []
    assert hub.statistics().views == 0


async def test_a_metric_is_sampled_only_while_somebody_wants_it(hub: Hub, clock: FakeClock) -> None:
    calls: list[int] = []

    def depth() -> int:
        calls.append(1)
        return len(calls)

    hub.register(Metric("queue_depth", depth))
    await clock.advance(3)
    assert calls == []
    listener = Listener(View(("queue_depth",)))
    hub.add(listener)
    await clock.advance(2)
    assert len(calls) == len(listener.frames) == 2
    hub.remove(listener)
    await clock.advance(60)  # a little longer, for clients that ask again and again
    assert len(calls) == 61
    await clock.advance(3)
    assert len(calls) == 61


async def test_collections_do_not_depend_on_the_number_of_subscribers(clock: FakeClock) -> None:
    collector = FakeCollector()
    hub = make_hub(clock, collector)
    async with hub.lifespan():
        await clock.advance(5)
        alone = len(collector.collections)
        for _ in range(500):
            hub.add(Listener())
        await clock.advance(5)
        assert len(collector.collections) == alone + 5


def test_a_name_can_be_taken_once() -> None:
    hub = make_hub()
    with pytest.raises(InvalidValue, match="not taken"):
        hub.register(Metric("cpu", lambda: 1))
    assert hub.metrics == ("cpu", "memory", "disk")


# Fan-out


async def test_publishing_gives_way_to_the_event_loop_and_reaches_everybody() -> None:
    clock = SlowClock()
    hub = make_hub(clock)
    listeners = [Listener(on_frame=lambda: clock.pass_by(0.0001)) for _ in range(1000)]
    for listener in listeners:
        hub.add(listener)
    hub.publish(snapshot())
    served_at_once = sum(len(listener.frames) for listener in listeners)
    assert 0 < served_at_once < 100
    others_ran = 0
    while not all(listener.frames for listener in listeners):
        await asyncio.sleep(0)
        others_ran += 1
    assert others_ran > 10
    assert all(len(listener.frames) == 1 for listener in listeners)


async def test_a_delivery_that_is_overtaken_is_finished_first_and_counted() -> None:
    clock = SlowClock()
    hub = make_hub(clock)
    listeners = [Listener(on_frame=lambda: clock.pass_by(0.0001)) for _ in range(200)]
    for listener in listeners:
        hub.add(listener)
    hub.publish(snapshot(1))
    hub.publish(snapshot(2))
    await settle()
    assert hub.statistics().overruns == 1
    assert {len(listener.frames) for listener in listeners} == {2}
    assert len({tuple(listener.frames) for listener in listeners}) == 1


async def test_who_joins_during_a_delivery_gets_its_frame_once() -> None:
    clock = SlowClock()
    hub = make_hub(clock)
    for _ in range(200):
        hub.add(Listener(on_frame=lambda: clock.pass_by(0.0001)))
    hub.publish(snapshot())
    late = Listener()
    hub.add(late)
    await settle()
    assert len(late.frames) == 1


# Its life


async def test_it_starts_once_and_samples_in_one_task(clock: FakeClock) -> None:
    collector = FakeCollector()
    hub = make_hub(clock, collector)
    hub.start()
    hub.start()
    await clock.advance(2)
    assert hub.statistics().ticks == 2
    assert len(collector.collections) == 3
    await hub.stop()


async def test_stopping_closes_every_subscriber_and_the_collector(clock: FakeClock) -> None:
    collector = FakeCollector()
    hub = make_hub(clock, collector)
    listener = Listener()
    async with hub.lifespan():
        await settle()
        hub.add(listener)
    assert listener.close_reason is CloseReason.STOPPING
    assert collector.closed


async def test_it_may_be_started_again_and_begins_afresh(clock: FakeClock) -> None:
    hub = make_hub(clock)
    for _ in range(2):
        async with hub.lifespan():
            await clock.advance(2)
            assert hub.statistics().ticks == 2
            listener = Listener()
            hub.add(listener)
            assert len(listener.frames) == 1
    assert hub.statistics().subscribers == 1  # closed, and about to leave
    hub.start()
    assert hub.statistics().subscribers == 0
    await hub.stop()


async def test_a_sampler_that_breaks_sends_everybody_away_and_may_be_started_again(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeCollector):
        async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
            if len(self.collections) == 2:
                raise MemoryError
            return await super().collect(metrics)

    collector = Broken()
    hub = make_hub(clock, collector)
    listener = Listener()
    hub.start()
    hub.add(listener)
    await clock.advance(2)
    assert listener.close_reason is CloseReason.STOPPING
    assert caplog.messages == ["Sampling has failed; all clients are disconnected"]
    collector.collections.clear()
    hub.start()
    await clock.advance(1)
    assert hub.statistics().ticks == 1
    await hub.stop()


async def test_stopping_what_does_not_run_is_fine() -> None:
    await make_hub().stop()


def test_it_may_move_on_to_another_event_loop() -> None:
    hub = make_hub()

    async def use() -> None:
        hub.start()
        await settle()

    asyncio.run(use())
    asyncio.run(use())


async def test_it_does_not_serve_two_event_loops_at_once(hub: Hub) -> None:
    def elsewhere() -> None:
        async def start() -> None:
            hub.start()

        asyncio.run(start())

    with pytest.raises(RuntimeError, match="one event loop at a time"):
        await asyncio.to_thread(elsewhere)


async def test_two_hubs_do_not_meet() -> None:
    one, two = make_hub(), make_hub()
    one.register(Metric("only_here", lambda: 1))
    listener = Listener()
    one.add(listener)
    two.publish(snapshot())
    assert listener.frames == []
    assert "only_here" not in two.metrics


async def test_subscribers_are_asked_for_a_sign_of_life(hub: Hub, clock: FakeClock) -> None:
    listener = Listener()
    hub.add(listener)
    await clock.advance(60)
    assert 2 <= listener.probes <= 3


# Subscribing in the host's code


async def test_a_host_reads_the_latest_sample_and_then_every_new_one(
    hub: Hub, clock: FakeClock
) -> None:
    await clock.advance(1)
    async with hub.subscribe(metrics=("cpu",)) as frames:
        texts = [(await anext(frames)).text]
        await clock.advance(1)
        texts.append((await anext(frames)).text)
    assert texts == [
        '{"cpu":25.5,"timestamp":"2025-11-10T12:30:46.123456+00:00"}',
        '{"cpu":25.5,"timestamp":"2025-11-10T12:30:47.123456+00:00"}',
    ]
    assert hub.statistics().subscribers == 0


async def test_subscribing_starts_the_hub(clock: FakeClock) -> None:
    hub = make_hub(clock)
    async with hub.subscribe() as frames:
        await clock.advance(1)
        assert json.loads((await anext(frames)).text)["cpu"] == 25.5
    await hub.stop()


async def test_a_host_that_subscribes_to_what_is_unknown_is_told(hub: Hub) -> None:
    with pytest.raises(InvalidValue, match="one or more of cpu, memory, disk, not 'gpu'"):
        async with hub.subscribe(metrics=("gpu",)):
            pass


async def test_a_host_that_is_slow_loses_its_oldest_frames_and_is_not_cut_off(
    hub: Hub, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hub")
    async with hub.subscribe() as frames:
        await clock.advance(120)
        stamps = [json.loads((await anext(frames)).text)["timestamp"] for _ in range(8)]
    assert stamps[-1].startswith("2025-11-10T12:32:45")
    assert stamps[0].startswith("2025-11-10T12:32:38")
    assert caplog.messages == [
        "Slow client in this process: dropping its oldest frames",
        "Slow client in this process: recovered, 112 frames lost",
    ]


async def test_the_iteration_ends_when_the_hub_stops(clock: FakeClock) -> None:
    hub = make_hub(clock)
    seen = []
    async with hub.subscribe() as frames:
        await clock.advance(1)
        await anext(frames)
        await hub.stop()
        seen = [frame async for frame in frames]
    assert seen == []


async def test_who_stalls_is_cut_off_by_the_hubs_watch(hub: Hub, clock: FakeClock) -> None:
    watch: Observer = hub.watch
    stalled = QueuedSubscriber(DEFAULT_VIEW, 8, watch, ticket=HostTicket("stalled"))
    hub.add(stalled)
    await clock.advance(17)
    assert stalled.close_reason is CloseReason.TOO_SLOW


# What has not been sampled yet


async def test_the_first_message_of_a_partial_view_waits_for_all_that_it_shows(
    clock: FakeClock,
) -> None:
    rare = Metric("rare", lambda: 7.0, prime=lambda: None)
    hub = Hub(metrics=[*METRICS, rare], clock=clock, collector=PrimingCollector())
    view = View(("cpu", "rare"), partial=True)
    async with hub.lifespan():
        await settle()
        await clock.advance(3)
        first, resumed = Listener(view), Listener(view)
        hub.add(first)
        hub.add(resumed, history=2)
        await clock.advance(1)
        assert first.frames == [], "it is only primed"
        await clock.advance(1)
        assert json.loads(first.frames[0].text)["rare"] == 7.0
        # Who has had the past, in which it is missing, misses nothing of what follows it.
        await settle()
        values = [json.loads(frame.text)["rare"] for frame in resumed.frames]
        assert values == [None, None, None, 7.0]


class PrimingCollector(FakeCollector):
    """Leaves a metric out that it has only primed."""

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        fresh = {one.name for one in metrics if one.prime and one.name not in self._primed}
        readings = await super().collect(metrics)
        return {name: one for name, one in readings.items() if name not in fresh}


async def test_who_asks_for_what_was_sampled_in_part_waits_for_all_of_it(clock: FakeClock) -> None:
    """As of file systems, of which those that a program answers for are asked on demand only."""
    disks = Metric("disks", lambda: "all", always=True, unasked=lambda: "near")
    hub = Hub(metrics=[*METRICS, disks], clock=clock, collector=FakeCollector())
    async with hub.lifespan():
        await settle()
        await clock.advance(3)
        assert hub.history[0].readings["disks"] == "near"
        listener = Listener(View(("disks",)))
        hub.add(listener)
        await settle()
        assert listener.frames == []
        await clock.advance(1)
        assert [json.loads(frame.text)["disks"] for frame in listener.frames] == ["all"]
