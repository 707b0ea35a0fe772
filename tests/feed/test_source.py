"""A hub whose snapshots come from elsewhere: from a script of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from hub import Hub, Metric, Settings
from hub.errors import CloseReason, StreamClosed
from hub.feed.reader import QueuedSubscriber
from hub.feed.view import Frame
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.snapshot import Snapshot
from hub.sampling.source import Demand, SnapshotSink
from tests.support.fakes import FakeClock, settle, snapshot

METRICS = [Metric("cpu", lambda: 1.0, always=True), Metric("load", lambda: 1.0)]


class Script:
    """Delivers what it was given: first the past, then what the test lets come."""

    def __init__(self, past: Sequence[Snapshot] = ()) -> None:
        self.past = past
        self.failing = ""
        self.asked = 0
        self.sink: SnapshotSink | None = None
        self.demand: Demand = tuple
        self.error: asyncio.Future[None] | None = None

    async def run(self, sink: SnapshotSink, demand: Demand) -> None:
        self.sink, self.demand = sink, demand
        self.error = asyncio.get_running_loop().create_future()
        sink.restore(self.past)
        await self.error

    def demand_changed(self) -> None:
        self.asked += 1

    def statistics(self) -> SamplerStatistics | None:
        return None

    def failure(self) -> str:
        return self.failing

    @property
    def wanted(self) -> list[str]:
        return [metric.name for metric in self.demand()]

    def publish(self, number: int) -> None:
        assert self.sink is not None
        self.sink.publish(snapshot(number, cpu=float(number), load=float(number)))


def hub_of(script: Script) -> Hub:
    return Hub(Settings(), metrics=METRICS, clock=FakeClock(), source=script)


def number(frame: Frame) -> float:
    value: float = orjson.loads(frame.payload)["cpu"]
    return value


async def test_the_past_of_a_source_is_the_hub_s() -> None:
    script = Script([snapshot(n, cpu=float(n)) for n in (1, 2, 3)])
    hub = hub_of(script)
    async with hub.lifespan():
        await settle()
        assert hub.unready() is None
        async with hub.subscribe(("cpu",), history=2) as frames:
            script.publish(4)
            assert [number(await anext(frames)) for _ in range(3)] == [2.0, 3.0, 4.0]


async def test_what_a_hub_has_already_is_not_taken_twice() -> None:
    script = Script([snapshot(1, cpu=1.0)])
    hub = hub_of(script)
    async with hub.lifespan():
        await settle()
        script.publish(2)
        assert script.sink is not None
        script.sink.restore([snapshot(n, cpu=float(n)) for n in (1, 2, 3)])
        kept = [hub.history[at].value("cpu") for at in range(hub.history.end)]
        assert kept == [1.0, 2.0, 3.0]


async def test_a_source_learns_of_a_new_demand_when_it_arises() -> None:
    script = Script()
    hub = hub_of(script)
    async with hub.lifespan():
        await settle()
        asked = script.asked
        async with hub.subscribe(("load",)):
            assert script.asked > asked
            assert script.wanted == ["cpu", "load"]
        assert script.wanted == ["cpu", "load"], "for a while"
        assert isinstance(hub.clock, FakeClock)
        await hub.clock.advance(61.0)
        assert script.wanted == ["cpu"]


async def test_a_hub_says_why_its_source_has_nothing() -> None:
    script = Script()
    hub = hub_of(script)
    async with hub.lifespan():
        await settle()
        assert hub.unready() == "starting"
        script.failing = "sampling has failed: no room"
        assert hub.unready() == "sampling has failed: no room"


async def test_a_source_that_ends_with_an_error_ends_the_feed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script()
    hub = hub_of(script)
    async with hub.lifespan(), hub.subscribe(("cpu",)) as frames:
        await settle()
        assert script.error is not None
        script.error.set_exception(OSError("away"))
        await settle()
        assert isinstance(frames, QueuedSubscriber)
        assert frames.close_reason is CloseReason.STOPPING
        with pytest.raises((StopAsyncIteration, StreamClosed)):
            await anext(frames)
    assert "Sampling has failed; all clients are disconnected" in caplog.messages
