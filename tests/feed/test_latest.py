"""The newest message for requests, which hold no view."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import pytest

from hub.feed.demand import Demand
from hub.feed.history import History
from hub.feed.latest import LatestFrames
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import Frame, View
from hub.feed.window import Window
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Failure, Reading
from tests.support.fakes import DEFAULT_VIEW, FakeClock, TickingClock, settle, snapshot

CPU: Final = View(("cpu",))
METRICS: Final = {name: Metric(name, int) for name in ("cpu", "memory", "disk", "rare")}
SECONDS: Final = 5.0  # of real time, which no test takes


class Bench:
    """A history that is appended to, and what its newest windows are."""

    def __init__(self, capacity: int = 100) -> None:
        self.history = History(capacity)
        self.demand = Demand(FakeClock())
        self.slicer = TimeSlicer(TickingClock(0.0004))
        self.latest = LatestFrames(self.history, self.demand, self.slicer)

    def publish(self, number: int, **readings: Reading) -> None:
        self.history.append(snapshot(number, **(readings or {"cpu": float(number)})))
        self.latest.update()

    def ask(self, view: View = CPU, seconds: float = SECONDS) -> asyncio.Task[Frame | None]:
        return asyncio.ensure_future(self.latest.get(view, METRICS, seconds))

    async def values(self, view: View = CPU) -> Mapping[str, object]:
        frame = await self.latest.get(view, METRICS, SECONDS)
        assert frame is not None
        content: Mapping[str, object] = json.loads(frame.payload)
        return content


async def test_it_is_the_newest_snapshot() -> None:
    bench = Bench()
    for number in range(3):
        bench.publish(number)
    assert (await bench.values())["cpu"] == 2.0
    bench.publish(3)
    assert (await bench.values())["cpu"] == 3.0


async def test_it_is_the_newest_window_that_is_over_else_what_the_first_one_holds() -> None:
    bench = Bench()
    bench.publish(0)
    bench.publish(1)
    view = View(("cpu",), ticks=4)
    assert (await bench.values(view))["cpu"] == 0.5
    for number in range(2, 10):
        bench.publish(number)
    assert (await bench.values(view))["cpu"] == 5.5


async def test_all_requests_of_a_tick_share_one_message() -> None:
    bench = Bench()
    for number in range(50):
        bench.publish(number)
    asked = [bench.ask(View(("cpu",), ticks=40)) for _ in range(5)]
    found = await asyncio.gather(*asked)
    assert found[0] is not None
    assert all(frame is found[0] for frame in found)


async def test_a_request_that_goes_leaves_the_others_theirs() -> None:
    bench = Bench()
    for number in range(50):
        bench.publish(number)
    view = View(("cpu",), ticks=40)
    one, other = bench.ask(view), bench.ask(view)
    await asyncio.sleep(0)
    assert bench.slicer.busy
    one.cancel()
    assert await other is not None
    assert one.cancelled()


async def test_what_is_not_sampled_yet_is_waited_for() -> None:
    bench = Bench()
    bench.publish(0)
    asked = bench.ask(View(("rare",)))
    await settle()
    assert bench.demand.names == {"rare"}
    bench.publish(1)
    await settle()
    assert not asked.done()
    bench.publish(2, cpu=1.0, rare=7.0)
    frame = await asked
    assert frame is not None
    assert json.loads(frame.payload)["rare"] == 7.0


@pytest.mark.parametrize("ticks", [1, 5])
async def test_a_partial_view_waits_for_what_is_not_sampled_yet(ticks: int) -> None:
    bench, view = Bench(), View(("cpu", "rare"), ticks, partial=True)
    for number in range(10):
        bench.publish(number)
    asked = bench.ask(view)
    await settle()
    bench.publish(10)
    await settle()
    assert not asked.done()
    bench.publish(11, cpu=1.0, rare=7.0)
    frame = await asked
    assert frame is not None
    assert json.loads(frame.payload)["rare"] == 7.0
    assert (await bench.values(view))["rare"] == 7.0


async def test_a_partial_view_has_no_message_while_something_is_not_sampled_yet() -> None:
    bench = Bench()
    bench.publish(0)
    assert await bench.latest.get(View(("cpu", "rare"), partial=True), METRICS, 0.0) is None
    bench.publish(1, cpu=1.0, rare=Failure("gone"))
    failed = await bench.values(View(("cpu", "rare"), partial=True))
    assert failed["errors"] == {"rare": "gone"}


async def test_nothing_is_said_of_the_time_before_the_hub_was_started_again() -> None:
    bench = Bench()
    bench.history.append(snapshot(0, cpu=1.0))
    assert await bench.latest.get(CPU, METRICS, 0.0) is None
    bench.publish(5)
    assert (await bench.values())["cpu"] == 5.0


async def test_what_goes_wrong_is_told_to_all_that_ask_and_to_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.publish(0, cpu=1.0, memory=2.0, disk=3.0)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Window, "add", broken)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await bench.values()
    assert (await bench.values(DEFAULT_VIEW))["disk"] == 3.0


async def test_what_is_kept_is_bounded() -> None:
    bench = Bench()
    for number in range(4):
        bench.publish(number)
    for ticks in range(1, 600):
        await bench.values(View(("cpu",), ticks))
    assert len(bench.latest._frames) <= 256
