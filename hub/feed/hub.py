"""The hub: who is subscribed to what, and the synchronous fan-out of every snapshot to them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from hub.clock import Clock, SystemClock
from hub.errors import AtCapacity, CloseReason, InvalidValue
from hub.feed.catalog import Catalog
from hub.feed.channel import Channel
from hub.feed.history import History
from hub.feed.liveness import EpisodeLog, Keepalive, StallWatch
from hub.feed.query import FEED, FeedQuery, Parameter, parse, read
from hub.feed.statistics import HubStatistics, LagMeter
from hub.feed.subscriber import QueuedSubscriber, Subscriber
from hub.feed.view import DEFAULT_METRICS, Frame, View
from hub.feed.window import Window
from hub.sampling.collector import Collector, ThreadCollector
from hub.sampling.metric import Kind, Metric
from hub.sampling.sampler import Sampler
from hub.sampling.snapshot import Snapshot
from hub.sampling.system import standard_metrics
from hub.settings import Settings

__all__ = ["Hub"]

_logger = logging.getLogger("hub")

_SLICE_SECONDS: Final = 0.001
_SLICE_CHECK: Final = 32
_FINISHED: Final = object()
_STALE: Final = 3
"""Intervals after which the newest snapshot is too old for the hub to be ready."""

_DRAIN_SECONDS: Final = 0.02
"""How long to go on at a time between those who are sent away one after another."""

_TIMEOUT: Final = (0.5, 5.0)
"""Seconds that collecting may take: half an interval, but no less and no more than these."""


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
        # One for the hub's life: over a restart it knows which metrics still hang.
        self._collector = collector or ThreadCollector(
            timeout=min(max(_TIMEOUT[0], self.settings.interval / 2), _TIMEOUT[1]),
            clock=self._clock,
        )
        self._metrics: dict[str, Metric] = {}
        self._default: FeedQuery | None = None
        for metric in standard_metrics(self.settings) if metrics is None else metrics:
            self.register(metric)
        self._history = History(max(1, round(self.settings.history / self.settings.interval)))
        self._channels: dict[View, Channel] = {}
        self._watch = StallWatch(self.settings.stall_timeout, self._clock)
        self._lag = LagMeter(self._clock)
        self._keepalive = Keepalive(self._subscribers, self._clock)
        self._reset()

    def _reset(self) -> None:
        self._latest: Snapshot | None = None
        self._latest_at = 0.0
        self._draining = False
        self._gone = (0, 0, 0)
        self._closed = Counter[CloseReason]()
        self._delivery: Iterator[None] = iter(())
        self._next_slice: asyncio.Handle | None = None
        self._overruns = 0
        self._sampler: Sampler | None = None
        self._task: asyncio.Task[None] | None = None
        self._channels.clear()

    # What it offers

    def register(self, metric: Metric) -> None:
        """Catalog one more family, to be chosen by its name; also while the hub runs.

        Raises:
            InvalidValue: the name is taken.
        """
        if metric.name in self._metrics:
            raise InvalidValue("metric name", "one that is not taken", metric.name)
        self._metrics[metric.name] = metric
        self._default = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all families, in the order of their keys in a message."""
        return tuple(self._metrics)

    def demand(self) -> Sequence[Metric]:
        """Return the families that anybody wants, and those that the history always has."""
        wanted = {name for view in self._channels for name in view.metrics}
        return [m for name, m in self._metrics.items() if m.always or name in wanted]

    def statistics(self) -> HubStatistics:
        """Return the counters as they are now."""
        subscribers = self._subscribers()
        totals = [self._gone, *(one.totals for one in subscribers)]
        delivered, dropped, expired = map(sum, zip(*totals, strict=True))
        return HubStatistics(
            subscribers=len(subscribers),
            views=len(self._channels),
            overruns=self._overruns,
            delivered=delivered,
            dropped=dropped,
            expired=expired,
            closed=dict(self._closed),
            age=None if self._latest is None else self._clock.monotonic() - self._latest_at,
            lag=self._lag.distribution(),
            sampler=self._sampler.statistics() if self._sampler else None,
        )

    @property
    def clock(self) -> Clock:
        """What tells and passes the hub's time."""
        return self._clock

    @property
    def latest(self) -> Snapshot | None:
        """The newest snapshot, if there is one."""
        return self._latest

    @property
    def draining(self) -> bool:
        """Whether the hub sends its subscribers away and should be given no more."""
        return self._draining

    def unready(self) -> str | None:
        """Return why nobody should be sent here now, in a few words; None if all is well."""
        if self._draining:
            return "draining"
        if self._latest is None:
            return "starting"
        age = self._clock.monotonic() - self._latest_at
        if age > _STALE * self.settings.interval:
            return f"the newest sample is {age:.1f} s old"
        return None

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
        self.close_all(CloseReason.STOPPING)
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait((task,))

    def close_all(self, close_reason: CloseReason) -> None:
        """Close every subscriber for the reason given; the hub goes on."""
        for subscriber in self._subscribers():
            subscriber.close(close_reason)

    async def drain(self, close_reason: CloseReason, seconds: float = 0.0) -> None:
        """Close every subscriber for the reason given, evenly spread over ``seconds``.

        From now on the hub is not ready, and is to be given no new subscribers. Cancelled, it
        closes all the others at once.
        """
        self._draining = True
        subscribers = self._subscribers()
        start = self._clock.monotonic()
        try:
            for count, subscriber in enumerate(subscribers):
                due = start + seconds * count / len(subscribers)
                if due - self._clock.monotonic() > _DRAIN_SECONDS:
                    await self._clock.sleep_until(due)
                subscriber.close(close_reason)
        finally:
            self.close_all(close_reason)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 # ASGI's
        """Run the hub for the length of an ``async with``, for instance as an ASGI lifespan."""
        self.start()
        try:
            yield
        finally:
            await self.stop()

    async def _sample(self) -> None:
        self._sampler = Sampler(
            interval=self.settings.interval,
            demand=self.demand,
            publish=self.publish,
            collector=self._collector,
            clock=self._clock,
        )
        self._keepalive.start()
        self._lag.start()
        try:
            await self._sampler.run()
        except Exception:
            _logger.exception("Sampling has failed; every client is sent away")
            self.close_all(CloseReason.STOPPING)
        finally:
            self._keepalive.stop()
            self._lag.stop()
            self._watch.stop()
            self._collector.close()

    # Its subscribers

    def _subscribers(self) -> list[Subscriber]:
        return [one for channel in self._channels.values() for one in channel]

    @property
    def watch(self) -> StallWatch:
        """The observer for subscribers whose receivers may be cut off."""
        return self._watch

    def catalog(self, *, restricted: bool = False) -> Catalog:
        """Return what may be asked for; ``restricted`` families are not for everybody."""
        metrics = (m for m in self._metrics.values() if restricted or not m.restricted)
        return Catalog(tuple(metrics), self.settings.interval, self.settings.history)

    def request(
        self, query: bytes, parameters: Sequence[Parameter] = FEED, *, restricted: bool = False
    ) -> FeedQuery:
        """Read what a request's query string asks for, in the words of ``parameters``.

        ``restricted`` families may be asked for where it says so.

        Raises:
            InvalidValue: it asks for what the hub does not offer.
        """
        if query or parameters is not FEED:
            return parse(query, parameters, self.catalog(restricted=restricted))
        if self._default is None:
            self._default = parse(query, FEED, self.catalog())
        return self._default

    def check_view_capacity(self, view: View) -> None:
        """Say whether there is room for a view.

        Raises:
            AtCapacity: as many others are live as may be.
        """
        if view not in self._channels and len(self._channels) >= self.settings.views:
            raise AtCapacity(
                f"{self.settings.views} different views are live, which is the limit: "
                "ask for one that others have, or come back later"
            )

    def add(self, subscriber: Subscriber, *, history: int = 0, since: float | None = None) -> None:
        """Let a subscriber in.

        It is offered the latest message at once, or else replayed those of the last ``history``
        seconds or those after the time ``since``; then it is offered every new one. Without room
        for its view it is closed.
        """
        try:
            channel = self._channel(subscriber.view)
        except AtCapacity:
            subscriber.close(CloseReason.AT_CAPACITY)
            return
        subscriber.view = channel.view  # equal views are one object
        after = self._ago(history) if history else since
        if after is not None:
            subscriber.replay(channel.replay(subscriber, after=after, initial_frame=since is None))
            return
        channel.join(subscriber)
        greeting = channel.initial_frame(subscriber)
        if greeting is not None:
            subscriber.offer(greeting)

    def _channel(self, view: View) -> Channel:
        channel = self._channels.get(view)
        if channel is None:
            self.check_view_capacity(view)
            resumed = self._latest is not None
            channel = Channel(view, self._kinds(view), self._history, resumed=resumed)
            self._channels[view] = channel
        return channel

    def _kinds(self, view: View) -> dict[str, Kind]:
        return {name: self._metrics[name].kind for name in view.metrics}

    def _ago(self, seconds: float) -> float:
        """Return the time that was so many seconds before the newest snapshot's."""
        newest = self._history[self._history.end - 1].time if self._history.end else 0.0
        return newest - seconds

    def past(self, view: View, seconds: float) -> Iterator[Snapshot]:
        """Iterate over a view's last ``seconds`` as they are now, reduced as it wishes."""
        history, after = self._history, self._ago(seconds)
        first = history.begin(after, view.ticks)
        snapshots = [history[position] for position in range(first, history.end)]
        window = Window(view, self._kinds(view))
        for snapshot in snapshots:
            yield from (ended for ended in window.add(snapshot) if ended.time > after)

    def remove(self, subscriber: Subscriber) -> None:
        """Let a subscriber go; one that is gone already is fine."""
        channel = self._channels.get(subscriber.view)
        if channel is None or not channel.leave(subscriber):
            return
        if not channel:
            del self._channels[subscriber.view]
        self._retire(subscriber)
        self._watch.gone(subscriber)

    def _retire(self, subscriber: Subscriber) -> None:
        """Keep what is to be counted of a subscriber that is gone."""
        gone, totals = self._gone, subscriber.totals
        self._gone = (gone[0] + totals[0], gone[1] + totals[1], gone[2] + totals[2])
        if subscriber.close_reason is not None:
            self._closed[subscriber.close_reason] += 1

    @asynccontextmanager
    async def subscribe(
        self,
        metrics: Iterable[str] = DEFAULT_METRICS,
        *,
        interval: float | None = None,
        aggregate: str = "mean",
        history: int = 0,
        partial: bool = False,
        seq: bool = False,
    ) -> AsyncIterator[AsyncIterator[Frame]]:
        """Subscribe to the feed from the host's own code; starts the hub if it does not run.

        The arguments are the feed's parameters. The iterator gives the latest message, or what
        ``history`` asks for, then every new one, and ends when the hub stops. A reader that does
        not keep up loses its own oldest frames, like any client, but is not cut off however long
        it takes.

        Raises:
            InvalidValue: an argument breaks its rule.
            AtCapacity: there is no room for another view.
        """
        wishes = {
            "metrics": ",".join(metrics),
            "interval": f"{self.settings.interval if interval is None else interval}",
            "aggregate": aggregate,
            "history": f"{history}",
            "partial": f"{partial}".lower(),
            "seq": f"{seq}".lower(),
        }
        request = read(wishes, FEED, self.catalog(restricted=True))
        self.check_view_capacity(request.view)
        self.start()
        subscriber = QueuedSubscriber(
            request.view, self.settings.queue, EpisodeLog(), name="in this process"
        )
        self.add(subscriber, history=request.history)
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
        self._finish_delivery()
        self._latest = snapshot
        self._latest_at = self._clock.monotonic()
        self._history.append(snapshot)
        self._delivery = self._hand_out(
            [due for channel in self._channels.values() for due in channel.update(snapshot)]
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
        self._next_slice = None
        if next(self._delivery, _FINISHED) is not _FINISHED:
            self._next_slice = asyncio.get_running_loop().call_soon(self._deliver_slice)

    def _hand_out(self, rounds: list[tuple[Frame, list[Subscriber]]]) -> Iterator[None]:
        """Catalog each frame to its subscribers; yield whenever a slice of time is over."""
        now = self._clock.monotonic
        end = now() + _SLICE_SECONDS
        for frame, subscribers in rounds:
            for first in range(0, len(subscribers), _SLICE_CHECK):
                for subscriber in subscribers[first : first + _SLICE_CHECK]:
                    subscriber.offer(frame)
                if now() >= end:
                    yield
                    end = now() + _SLICE_SECONDS
