"""Stand-ins for time, for the collecting thread and for whoever watches subscribers."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import anyio

from hub.errors import CloseReason
from hub.feed.reader import HostTicket
from hub.feed.subscriber import Backlog, Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import DEFAULT_METRICS, Frame, View
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Failure, Reading, Snapshot

DEFAULT_VIEW = View(DEFAULT_METRICS)

START = 1_762_777_845.123456
"""2025-11-10T12:30:45.123456+00:00"""


async def settle() -> None:
    """Let everything that can run without time passing run."""
    for _ in range(20):
        await asyncio.sleep(0)


class FakeTimer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """A clock that stands still until it is advanced."""

    def __init__(self, start: float = 1000.0) -> None:
        self._start = start
        self._now = start
        self._wall = START
        self._order = itertools.count()
        self._due: list[tuple[float, int, FakeTimer, Callable[[], None]]] = []

    @property
    def pending(self) -> int:
        """How many timers are running."""
        return sum(not timer.cancelled for _, _, timer, _ in self._due)

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._wall + self._now - self._start

    def set_wall(self, wall: float) -> None:
        """Set the time of day, as an operator or a time server may at any moment."""
        self._wall = wall - (self._now - self._start)

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer()
        heapq.heappush(self._due, (self._now + delay, next(self._order), timer, callback))
        return timer

    async def sleep_until(self, deadline: float) -> None:
        event = anyio.Event()
        self.call_later(deadline - self._now, event.set)
        await event.wait()

    async def wait(self, event: anyio.Event, seconds: float) -> bool:
        over = anyio.Event()
        timer = self.call_later(seconds, over.set)
        tasks = [asyncio.ensure_future(one.wait()) for one in (event, over)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            for task in tasks:
                task.cancel()
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end = self._now + seconds
        await settle()
        while self._due and self._due[0][0] <= end + 1e-9:
            due, _, timer, callback = heapq.heappop(self._due)
            self._now = max(self._now, due)
            if not timer.cancelled:
                callback()
                await settle()
        self._now = max(self._now, end)

    async def jump(self, seconds: float) -> None:
        """Let time pass during which nothing runs, as in a suspended machine."""
        self._now += seconds
        await self.advance(0)


class TickingClock(FakeClock):
    """A clock on which looking at it takes time: a tenth of a millisecond."""

    def monotonic(self) -> float:
        self._now += 0.0001
        return self._now


class FakeCollector:
    """Answers at once, with what the metrics return; a hanging one is what it is told to be."""

    def __init__(self) -> None:
        self.collections: list[tuple[str, ...]] = []
        self.closed = False
        self._primed: set[str] = set()

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        self.collections.append(tuple(metric.name for metric in metrics))
        return {metric.name: self._read(metric) for metric in metrics}

    def close(self) -> None:
        self.closed = True

    def _read(self, metric: Metric) -> Reading:
        try:
            if metric.prime is not None and metric.name not in self._primed:
                metric.prime()
                self._primed.add(metric.name)
            return metric.collect()  # type: ignore[return-value] # tests' metrics are plain
        except (OSError, RuntimeError) as error:
            return Failure.of(error)


class RecordingObserver:
    """Writes down what it is told, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def blocked(self, subscriber: Subscriber) -> None:
        self.seen.append(f"{subscriber.ticket} blocked")

    def flowing(self, subscriber: Subscriber) -> None:
        self.seen.append(f"{subscriber.ticket} flowing")

    def slow(self, subscriber: Subscriber) -> None:
        self.seen.append(f"{subscriber.ticket} slow")

    def recovered(self, subscriber: Subscriber, lost: int) -> None:
        self.seen.append(f"{subscriber.ticket} recovered {lost}")


def snapshot(number: int = 1, **readings: Reading) -> Snapshot:
    """Make a snapshot of the first ticks after ``START``."""
    default: Mapping[str, Reading] = {"cpu": 25.5, "memory": 60.2, "disk": 45.3}
    time = START + number - 1
    return Snapshot(int(time), int(time), time, readings or default)


def frame(number: int) -> Frame:
    """Make a frame that tells which one it is."""
    return Frame(b"%d" % number)


class Listener(Subscriber):
    """Takes every frame at once, and may do something on the way."""

    def __init__(
        self, view: View = DEFAULT_VIEW, *, on_frame: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(view, 1, RecordingObserver(), ticket=HostTicket("listener"))
        self.frames: list[Frame] = []
        self.probes = 0
        self.closed: list[CloseReason] = []
        self._on_frame = on_frame

    def _write(self, frame: Frame) -> bool:
        self.frames.append(frame)
        self._on_frame()
        return True

    def _wake(self) -> None:
        raise AssertionError("it queues nothing")

    def _send_close(self, reason: CloseReason) -> None:
        self.closed.append(reason)

    def _send_probe(self) -> None:
        self.probes += 1


class Replay:
    """A backlog of so many frames, which writes down which of them were read."""

    def __init__(
        self, subscriber: Subscriber, count: int, make: Callable[[int], Frame] | None = None
    ) -> None:
        self.read: list[int] = []
        self._subscriber = subscriber
        self._count = count
        self._make = make or frame

    def start(self) -> None:
        """Have the subscriber receive it, and be live after it."""
        slicer = TimeSlicer(TickingClock())
        self._subscriber.start_replay(Backlog(self._frames(), slicer))

    def _frames(self) -> Iterator[Frame]:
        for number in range(self._count):
            self.read.append(number)
            yield self._make(number)
        self._subscriber.go_live()
