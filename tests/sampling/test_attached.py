from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from hub import Frame, Hub, InvalidValue, Metric, Settings, attach
from hub.histogram import Histogram
from hub.sampling.attached import AttachedSource
from hub.sampling.hello import Hello, Standing, write_hello, write_standing
from hub.sampling.link import Letter, Link
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.wire import Parcel, read_demand, write_snapshot
from tests.support.fakes import FakeClock, FakeCollector, settle, snapshot

METRICS = [
    Metric("cpu", lambda: 1.0, always=True),
    Metric("load", lambda: 1.0),
    Metric("queue", lambda: 7),
]
OFFERED = frozenset({"cpu", "load", "processes"})
STATISTICS = SamplerStatistics(
    5, 1, Histogram([1.0]).distribution(), Histogram([1.0]).distribution(), {"load": 2}
)


class Other:
    """A process that samples, which may come and go, and a hub that is attached to it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.collector = FakeCollector()
        self.attempts: list[float] = []  # when the hub has tried to connect
        self.is_there = True
        self.links: list[Link] = []
        self.source = AttachedSource(
            "/s", self._connect, collector=self.collector, clock=self.clock, chance=lambda: 1.0
        )
        self.hub = Hub(Settings(), metrics=METRICS, source=self.source)

    async def _connect(self) -> Link:
        self.attempts.append(self.clock.monotonic() - 1000.0)
        if not self.is_there:
            raise ConnectionRefusedError(111, "Connection refused")
        here, there = socket.socketpair()
        self.links.append(await Link.over(there))
        return await Link.over(here)

    @property
    def link(self) -> Link:
        return self.links[-1]

    async def greet(
        self, *numbers: int, epoch: str = "e", interval: float = 1.0, first: bool = False
    ) -> None:
        """Introduce itself on the newest link, and send the past."""
        if not first:
            await self.clock.advance(10.0)
        self.link.send(Letter.HELLO, write_hello(Hello(epoch, interval, OFFERED)))
        for number in numbers:
            self.send(number, epoch)
        self.link.send(Letter.PRESENT)
        await settle()

    def send(self, number: int, epoch: str = "e") -> None:
        parcel = Parcel(epoch, snapshot(number, cpu=float(number)))
        self.link.send(Letter.SNAPSHOT, write_snapshot(parcel))

    async def lose(self) -> None:
        self.link.abort()
        await settle()

    async def demand(self) -> set[str]:
        letters = self.link.letters()
        letter, body = await anext(letters)
        await letters.aclose()
        assert letter is Letter.DEMAND
        return set(read_demand(body))


@asynccontextmanager
async def attached() -> AsyncIterator[Other]:
    other = Other()
    async with other.hub.lifespan():
        await settle()
        yield other
    for link in other.links:
        link.abort()
    await settle()


async def received(frames: AsyncIterator[Frame], count: int) -> list[int]:
    """Return which snapshots the next messages are of."""
    got = [orjson.loads((await anext(frames)).payload) for _ in range(count)]
    return [round(one["cpu"]) for one in got]


async def test_what_another_process_samples_is_handed_out_with_own_readings() -> None:
    async with attached() as other:
        await other.greet(1, 2, first=True)
        async with other.hub.subscribe(("cpu", "queue"), seq=True) as frames:
            other.send(3)  # before, there was no queue
            message = orjson.loads((await anext(frames)).payload)
        assert (message["cpu"], message["queue"]) == (3.0, 7)
        assert other.hub.unready() is None
        assert other.collector.collections[-1] == ("queue",)


async def test_of_what_the_other_does_not_offer_it_does_not_hear() -> None:
    async with attached() as other, other.hub.subscribe(("cpu", "queue")):
        await other.greet(1, first=True)
        assert await other.demand() == {"cpu"}


async def test_clients_stay_and_get_what_was_missed_once() -> None:
    async with attached() as other:
        await other.greet(1, first=True)
        async with other.hub.subscribe(("cpu",)) as frames:
            other.send(2)
            assert await received(frames, 2) == [1, 2]
            await other.lose()
            assert other.hub.unready() == "no samples from /s: the other end has closed the link"
            await other.greet(1, 2, 3, 4)
            other.send(5)
            assert await received(frames, 3) == [3, 4, 5]
        assert other.hub.unready() is None


async def test_of_very_much_that_was_missed_only_the_newest_is_handed_out() -> None:
    async with attached() as other:
        await other.greet(1, first=True)
        async with other.hub.subscribe(("cpu",)) as frames:
            assert await received(frames, 1) == [1]
            await other.lose()
            await other.greet(*range(1, 101))
            got = await received(frames, other.hub.settings.queue)
        assert got[-1] == 100
        assert len(other.hub.history) == 100


async def test_numbers_never_go_back_when_another_run_begins_lower() -> None:
    async with attached() as other:
        await other.greet(500, first=True)
        async with other.hub.subscribe(("cpu",), seq=True) as frames:
            numbers = [orjson.loads((await anext(frames)).payload)["seq"]]
            await other.lose()
            await other.greet(5, epoch="later")
            other.send(6, epoch="later")
            got = [orjson.loads((await anext(frames)).payload) for _ in range(2)]
        assert [one["cpu"] for one in got] == [5.0, 6.0]
        assert [one["seq"] - numbers[0] for one in got] == [1, 2]


async def test_it_tries_again_for_ever_ever_more_seldom(caplog: pytest.LogCaptureFixture) -> None:
    other = Other()
    other.is_there = False
    with caplog.at_level(logging.INFO):
        async with other.hub.lifespan():
            await other.clock.advance(46.0)
            assert other.attempts == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.5]
            assert other.hub.unready() == "no samples from /s: Connection refused"
            other.is_there = True
            await other.greet(1)
            assert other.hub.unready() is None
            other.is_there = False
            await other.lose()
            await other.clock.advance(1.5)
            assert other.attempts[-2:] == [56.5, 57.5]
    for link in other.links:
        link.abort()
    assert caplog.messages == [
        "No samples from /s: Connection refused; trying again",
        "Attached to /s",
        "No samples from /s: the other end has closed the link; trying again",
    ]


async def test_attempts_are_spread_by_chance() -> None:
    other = Other()
    other.is_there = False
    other.source._chance = lambda: 0.0
    async with other.hub.lifespan():
        await other.clock.advance(2.0)
    assert other.attempts == [0.0, 0.25, 0.75, 1.75]


async def test_another_interval_is_told_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with attached() as other:
        await other.greet(interval=5.0, first=True)
        text = "its interval is 5 s, and this hub's is 1 s"
        assert other.hub.unready() == f"no samples from /s: {text}"
        await other.greet(interval=5.0)
        assert caplog.messages == [f"Cannot use the samples from /s: {text}; trying again"]
        await other.greet(1)
        assert other.hub.unready() is None


@pytest.mark.parametrize(
    ("letter", "body", "text"),
    [
        (Letter.HELLO, b'{"v":2}', "it speaks version 2, and this hub version 1"),
        (Letter.HELLO, b"nonsense", "what it says of itself is no JSON"),
        (Letter.PRESENT, b"", "it does not introduce itself"),
    ],
)
async def test_one_that_is_no_match_is_told(letter: Letter, body: bytes, text: str) -> None:
    async with attached() as other:
        other.link.send(letter, body)
        await settle()
        assert other.hub.unready() == f"no samples from /s: {text}"


async def test_a_snapshot_that_cannot_be_read_is_told() -> None:
    async with attached() as other:
        await other.greet(1, first=True)
        other.link.send(Letter.SNAPSHOT, b'{"v":9}')
        await settle()
        assert "a snapshot of version 9" in str(other.hub.unready())


async def test_one_that_does_not_introduce_itself_in_time_is_left() -> None:
    async with attached() as other:
        await other.clock.advance(9.9)
        assert other.attempts == [0.0]
        await other.clock.advance(1.0)
        assert other.attempts == [0.0, 10.5]


async def test_how_the_sampler_does_is_known_and_own_failures_too() -> None:
    async with attached() as other:
        assert other.hub.statistics().sampler is None
        await other.greet(1, first=True)
        standing = Standing(STATISTICS, "sampling has failed: no room")
        other.link.send(Letter.STANDING, write_standing(standing))
        await settle()
        assert other.hub.statistics().sampler == STATISTICS
        assert other.hub.unready() == "sampling has failed: no room"


async def test_a_hub_that_is_started_again_goes_on_with_its_past() -> None:
    other = Other()
    async with other.hub.lifespan():
        await settle()
        await other.greet(1, 2, first=True)
    async with other.hub.lifespan():
        await settle()
        await other.greet(1, 2, 3, first=True)
        assert [other.hub.history[at].readings["cpu"] for at in range(3)] == [1.0, 2.0, 3.0]
        assert len(other.hub.history) == 3
    for link in other.links:
        link.abort()
    await settle()


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidValue, match="path must be"):
        attach(path)


async def test_a_hub_without_a_sampler_starts_and_stops() -> None:
    hub = Hub(source=attach("/nowhere/at/all"))
    async with hub.lifespan():
        async with asyncio.timeout(5):
            while "No such file" not in str(hub.unready()):  # noqa: ASYNC110 # nothing tells of it
                await asyncio.sleep(0)
