"""The hub: who is subscribed to what, and the synchronous fan-out of every snapshot to them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from hub.clock import Clock, SystemClock
from hub.collector import Collector, ThreadCollector
from hub.errors import Closure, InvalidValue
from hub.frame import Frame
from hub.keepalive import Keepalive
from hub.metrics import Metric, standard_metrics
from hub.sampler import Sampler
from hub.settings import Settings
from hub.snapshot import Snapshot
from hub.stall import EpisodeLog, StallWatch
from hub.subscriber import QueuedSubscriber, Subscriber
from hub.view import DEFAULT_METRICS, View

__all__ = ["Hub", "HubStatistics"]

_logger = logging.getLogger("hub")

_SLICE_SECONDS: Final = 0.001
_SLICE_CHECK: Final = 32
_FINISHED: Final = object()
_PATIENCE: Final = (0.5, 5.0)
"""Seconds that collecting may take: half an interval, but no less and no more than these."""


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """What a hub has done since it was last started, and whom it serves now.

    Attributes:
        subscribers: receivers of any view.
        views: distinct views among them; each is encoded once a tick.
        ticks: snapshots sampled.
        missed: ticks that passed unsampled because the machine or the process stood still.
        overruns: deliveries that were still under way when the next snapshot came.
    """

    subscribers: int
    views: int
    ticks: int
    missed: int
    overruns: int


class _Channel:
    """A view that somebody subscribes to: its newest frame and its subscribers, in order."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.latest: Frame | None = None
        self.subscribers: dict[Subscriber, None] = {}

    def update(self, snapshot: Snapshot) -> Frame | None:
        frame = self.view.encode(snapshot)
        if frame is not None:
            self.latest = frame
        return frame


class Hub:
    """One sampler and the subscribers that share what it finds.

    A hub serves one asyncio event loop at a time. It starts with its first use, or with
    ``lifespan``, and stops with its loop or its lifespan; then it may be started again. Hubs
    share nothing: any number of them may live in one process.

    Args:
        settings: how to sample and what to allow; the defaults serve.
        metrics: the families on offer, instead of the standard ones.
        clock: tells and passes the time.
        collector: reads the metrics, instead of a thread of the hub's own.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        metrics: Iterable[Metric] | None = None,
        clock: Clock | None = None,
        collector: Collector | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._clock: Clock = clock or SystemClock()
        self._collector = collector
        self._metrics: dict[str, Metric] = {}
        for metric in standard_metrics(self.settings) if metrics is None else metrics:
            self.register(metric)
        self._default_view: View | None = None
        self._channels: dict[View, _Channel] = {}
        self._watch = StallWatch(self.settings.stall_timeout, self._clock)
        self._keepalive = Keepalive(self._subscribers, self._clock)
        self._reset()

    def _reset(self) -> None:
        self._latest: Snapshot | None = None
        self._delivery: Iterator[None] = iter(())
        self._next_slice: asyncio.Handle | None = None
        self._overruns = 0
        self._sampler: Sampler | None = None
        self._task: asyncio.Task[None] | None = None
        self._channels.clear()

    # What it offers

    def register(self, metric: Metric) -> None:
        """Offer one more family, to be chosen by its name; also while the hub runs.

        Raises:
            InvalidValue: the name is taken.
        """
        if metric.name in self._metrics:
            raise InvalidValue("metric name", "one that is not taken", metric.name)
        self._metrics[metric.name] = metric

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all families, in the order of their keys in a message."""
        return tuple(self._metrics)

    def demand(self) -> Sequence[Metric]:
        """Return the families that anybody wants, and those of the default view."""
        wanted = set(DEFAULT_METRICS)
        wanted.update(*(view.metrics for view in self._channels))
        return [metric for name, metric in self._metrics.items() if name in wanted]

    def statistics(self) -> HubStatistics:
        """Return the counters as they are now."""
        sampled = self._sampler.statistics() if self._sampler else None
        return HubStatistics(
            subscribers=len(self._subscribers()),
            views=len(self._channels),
            ticks=sampled.ticks if sampled else 0,
            missed=sampled.missed if sampled else 0,
            overruns=self._overruns,
        )

    # Its life

    def start(self) -> None:
        """Start sampling on the running event loop; while it does, a no-op.

        Raises:
            RuntimeError: the hub serves another event loop that is still running.
        """
        if self._task is not None and not self._task.done():
            loop = self._task.get_loop()
            if loop is asyncio.get_running_loop():
                return
            if loop.is_running():
                raise RuntimeError("a hub serves one event loop at a time")
        self._reset()
        # An empty context: the task outlives the request that happens to start it.
        self._task = asyncio.get_running_loop().create_task(
            self._sample(), name="hub-sampler", context=contextvars.Context()
        )

    async def stop(self) -> None:
        """Close every subscriber with 1001 and end sampling. Not running is fine."""
        self._close_all()
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait((task,))

    def _close_all(self) -> None:
        for subscriber in self._subscribers():
            subscriber.close(Closure.STOPPING)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 # ASGI's
        """Run the hub for the length of an ``async with``, for instance as an ASGI lifespan."""
        self.start()
        try:
            yield
        finally:
            await self.stop()

    async def _sample(self) -> None:
        collector = self._collector or ThreadCollector(
            patience=min(max(_PATIENCE[0], self.settings.interval / 2), _PATIENCE[1]),
            clock=self._clock,
        )
        self._sampler = Sampler(
            interval=self.settings.interval,
            demand=self.demand,
            publish=self.publish,
            collector=collector,
            clock=self._clock,
        )
        self._keepalive.start()
        try:
            await self._sampler.run()
        except Exception:
            _logger.exception("Sampling has failed; every client is sent away")
            self._close_all()
        finally:
            self._keepalive.stop()
            self._watch.stop()
            collector.close()

    # Its subscribers

    def _subscribers(self) -> list[Subscriber]:
        return [one for channel in self._channels.values() for one in channel.subscribers]

    @property
    def watch(self) -> StallWatch:
        """The observer for subscribers whose receivers may be cut off."""
        return self._watch

    def view(self, query: bytes) -> View:
        """Read what a request's query string asks for.

        Raises:
            InvalidValue: it asks for what the hub does not offer.
        """
        if query:
            return View.parse(query, self._metrics)
        if self._default_view is None:
            self._default_view = View.parse(query, self._metrics)
        return self._default_view

    def add(self, subscriber: Subscriber) -> None:
        """Let a subscriber in: it is offered the latest sample at once, then every new one."""
        view = subscriber.view
        channel = self._channels.get(view)
        if channel is None:
            channel = self._channels[view] = _Channel(view)
            if self._latest is not None:
                channel.update(self._latest)
        channel.subscribers[subscriber] = None
        if channel.latest is not None:
            subscriber.offer(channel.latest)

    def remove(self, subscriber: Subscriber) -> None:
        """Let a subscriber go; one that is gone already is fine."""
        channel = self._channels.get(subscriber.view)
        if channel is None or subscriber not in channel.subscribers:
            return
        del channel.subscribers[subscriber]
        if not channel.subscribers:
            del self._channels[subscriber.view]
        self._watch.gone(subscriber)

    @asynccontextmanager
    async def subscribe(
        self, metrics: Iterable[str] = DEFAULT_METRICS
    ) -> AsyncIterator[AsyncIterator[Frame]]:
        """Subscribe to the feed from the host's own code; starts the hub if it does not run.

        The iterator gives the latest sample, then every new one, and ends when the hub stops. A
        reader that does not keep up loses its own oldest frames, like any client, but is not cut
        off however long it takes.

        Raises:
            InvalidValue: a metric is not known, or there is none.
        """
        view = View.of(metrics, self._metrics)
        self.start()
        subscriber = QueuedSubscriber(
            view, self.settings.queue, EpisodeLog(), name="in this process"
        )
        self.add(subscriber)
        try:
            yield subscriber
        finally:
            self.remove(subscriber)

    # The fan-out

    def publish(self, snapshot: Snapshot) -> None:
        """Encode a snapshot once for every view and begin to hand the frames out.

        Synchronous: it waits for no subscriber. Handing out takes microseconds for each, in
        slices of a millisecond between which the event loop serves everything else. What
        the last snapshot left undelivered is delivered first, and counted as an overrun.
        """
        self._latest = snapshot
        self._finish_delivery()
        self._delivery = self._hand_out(
            [
                (frame, list(channel.subscribers))
                for channel in self._channels.values()
                if (frame := channel.update(snapshot)) is not None
            ]
        )
        self._deliver_slice()

    def _finish_delivery(self) -> None:
        if self._next_slice is None:
            return
        self._overruns += 1
        self._next_slice.cancel()
        for _ in self._delivery:
            continue
        self._next_slice = None

    def _deliver_slice(self) -> None:
        unfinished = next(self._delivery, _FINISHED) is not _FINISHED
        loop = asyncio.get_running_loop()
        self._next_slice = loop.call_soon(self._deliver_slice) if unfinished else None

    def _hand_out(self, rounds: list[tuple[Frame, list[Subscriber]]]) -> Iterator[None]:
        """Offer each frame to its subscribers; yield whenever a slice of time is over."""
        now = self._clock.monotonic
        end = now() + _SLICE_SECONDS
        for frame, subscribers in rounds:
            for first in range(0, len(subscribers), _SLICE_CHECK):
                for subscriber in subscribers[first : first + _SLICE_CHECK]:
                    subscriber.offer(frame)
                if now() >= end:
                    yield
                    end = now() + _SLICE_SECONDS
