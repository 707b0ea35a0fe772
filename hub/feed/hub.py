"""The hub: its life, its subscribers, and what becomes of a snapshot."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from hub.clock import Clock, SystemClock
from hub.errors import AtCapacity, CloseReason, ServedElsewhere
from hub.feed.catalog import Catalog
from hub.feed.channel import Channels
from hub.feed.delivery import Delivery
from hub.feed.demand import Demand
from hub.feed.history import History
from hub.feed.latest import LatestFrames
from hub.feed.liveness import EpisodeLog, Keepalive, StallWatch, close_gradually
from hub.feed.query import build_query
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.statistics import HubStatistics, LagMeter, Ledger
from hub.feed.subscriber import Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import DEFAULT_METRICS, Frame, View
from hub.feed.view_limit import ViewLimit
from hub.sampling.collector import Collector, ThreadCollector
from hub.sampling.metric import Metric
from hub.sampling.siblings import SiblingWatch
from hub.sampling.snapshot import Snapshot
from hub.sampling.source import LocalSource, SnapshotSource
from hub.sampling.system import missing_extras, standard_metrics
from hub.sampling.value import Rounding
from hub.settings import Settings

__all__ = ["Hub"]

_logger = logging.getLogger("hub")

_STALE: Final = 3
"""Intervals after which the newest snapshot is too old for the hub to be ready."""


class Hub:
    """One sampler and the subscribers that share what it finds.

    A hub serves one asyncio event loop at a time. It starts with its first use or ``lifespan``, and
    stops with its loop or its lifespan; then it may be started again. Hubs share nothing.

    Args:
        settings: how to sample and what to allow; the defaults serve.
        metrics: the families on offer, instead of the standard ones.
        clock: tells and passes the time.
        collector: reads the metrics, instead of threads of the hub's own.
        source: delivers the snapshots, instead of the hub's own sampler, for instance what
            ``attach`` returns; then there is no collector, and of the metrics that it delivers only
            what they are called and how they are shown counts.
        view_limit: bounds the views, instead of a limit of this hub's own.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        metrics: Iterable[Metric] | None = None,
        clock: Clock | None = None,
        collector: Collector | None = None,
        source: SnapshotSource | None = None,
        view_limit: ViewLimit | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock: Clock = clock or SystemClock()
        # The observer for subscribers whose receivers may be cut off.
        self.watch = StallWatch(self.settings.stall_timeout, self.clock)
        # The recent past, of this life and of those before.
        self.history = History(self.settings.snapshots, self.settings.history_bytes)
        self._source = source or _local_source(self.settings, self.clock, collector)
        self.view_limit = view_limit or ViewLimit(self.settings.views)
        self._catalog = Catalog(
            (), self.settings.interval, self.settings.history, devices=self.settings.selections
        )
        self._public = self._catalog  # as far as no token is needed
        self._lag = LagMeter(self.clock)
        if metrics is None:
            metrics = standard_metrics(self.settings, self._lag.recent)
            self._catalog = replace(self._catalog, extras=missing_extras())
        for metric in metrics:
            self.register(metric)
        self._keepalive = Keepalive(lambda: self._channels.subscribers, self.clock)
        self._reset()

    def _reset(self) -> None:
        """Begin a new life: what is counted begins anew, the past stays."""
        self.latest: Snapshot | None = None  # the newest snapshot
        self._latest_at = 0.0  # the monotonic time at which it came
        self.draining = False  # whether subscribers are sent away, and no more should come
        self._ledger = Ledger()
        self._task: asyncio.Task[None] | None = None  # runs the source
        self._delivery = Delivery(self.clock)
        self.slicer = TimeSlicer(self.clock)  # runs what takes long, such as replays
        demand = Demand(self.clock, self._source.demand_changed)
        self.latest_frames = LatestFrames(self.history, demand, self.slicer)  # for requests
        self._channels = Channels(self.view_limit, self.history, demand, self.slicer)
        self.view_limit.reset()

    # What it offers

    def register(self, metric: Metric) -> None:
        """Offer one more family, to be chosen by its name; also while the hub runs.

        Raises:
            InvalidValue: the name is taken.
        """
        self._catalog = self._catalog.including(metric)
        self._public = self._catalog.public()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all families, in the order of their keys in a message."""
        return self._catalog.names

    def catalog(self, *, restricted: bool = False) -> Catalog:
        """Return what may be asked for; ``restricted`` families only with a token."""
        return self._catalog if restricted else self._public

    @property
    def interval(self) -> float:
        """See ``SnapshotSink``."""
        return self.settings.interval

    def precisions(self) -> Mapping[str, Rounding]:
        """See ``SnapshotSink``."""
        return self._catalog.precisions

    def demand(self) -> Sequence[Metric]:
        """Return the families that any view wants, and what the history always has of others."""
        wanted = self._channels.wanted
        sampled = (m if m.name in wanted else m.resting for m in self._catalog.metrics)
        return [metric for metric in sampled if metric is not None]

    def statistics(self) -> HubStatistics:
        """Return the counters as they are now."""
        return self._ledger.statistics(
            self._channels.subscribers,
            views=len(self._channels),
            overruns=self._delivery.overruns,
            age=self._age(),
            lag=self._lag,
            sampler=self._source.statistics(),
        )

    @property
    def views(self) -> frozenset[View]:
        """The views that any subscriber follows now."""
        return self._channels.views

    def _age(self) -> float | None:
        return None if self.latest is None else self.clock.monotonic() - self._latest_at

    def unready(self) -> str | None:
        """Return why no client should be sent here now, in a few words; None if all is well."""
        if self.draining:
            return "draining"
        if failure := self._source.failure():
            return failure
        if (age := self._age()) is None:
            return "starting"
        stale = age > _STALE * self.settings.interval
        return f"the newest sample is {age:.1f} s old" if stale else None

    # Its life

    def start(self) -> None:
        """Start sampling on the running event loop; while it does, a no-op.

        Raises:
            ServedElsewhere: the hub serves another event loop that is still running.
        """
        task = self._task
        if task is not None and not task.done():
            if task.get_loop() is asyncio.get_running_loop():
                return
            if task.get_loop().is_running():
                raise ServedElsewhere
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

    def close_all(self, reason: CloseReason) -> None:
        """Close every subscriber for the reason given; the hub goes on."""
        for subscriber in self._channels.subscribers:
            subscriber.close(reason)

    async def drain(self, reason: CloseReason, seconds: float = 0.0) -> None:
        """Close every subscriber for the reason given, evenly spread over ``seconds``.

        From now on the hub is not ready. Cancelled, it closes all the others at once.
        """
        self.draining = True
        try:
            await close_gradually(self._channels.subscribers, reason, seconds, self.clock)
        finally:
            self.close_all(reason)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 # ASGI's
        """Run the hub for the length of an ``async with``, for instance as an ASGI lifespan."""
        self.start()
        try:
            yield
        finally:
            await self.stop()

    async def _sample(self) -> None:
        for timer in (self._keepalive, self._lag):
            timer.start()
        try:
            await self._source.run(self, self.demand)
        except Exception:
            _logger.exception("Sampling has failed; all clients are disconnected")
            self.close_all(CloseReason.STOPPING)
        finally:
            for timed in (self._keepalive, self._lag, self.watch):
                timed.stop()

    def restore(self, past: Iterable[Snapshot]) -> None:
        """Take what was sampled before the first snapshot that is published, oldest first.

        What it has already it leaves out.
        """
        for snapshot in past:
            if self.latest is None or snapshot.number > self.latest.number:
                self.history.append(snapshot)
                self.latest, self._latest_at = snapshot, self.clock.monotonic()

    def publish(self, snapshot: Snapshot) -> None:
        """Encode a snapshot once for every view and begin to hand the frames out.

        Synchronous: it waits for no subscriber. Handing out goes on in slices; what the last
        snapshot left undelivered is delivered first, and counted as an overrun.
        """
        self.latest, self._latest_at = snapshot, self.clock.monotonic()
        self.history.append(snapshot)
        self._delivery.start(self._channels.update(snapshot))
        self.latest_frames.update()

    # Its subscribers

    def check_view_capacity(self, view: View) -> None:
        """Raise AtCapacity if there is no room for a view."""
        self._channels.check_capacity(view)

    def add(self, subscriber: Subscriber, *, history: int = 0, since: float | None = None) -> None:
        """Let a subscriber in, which is to be removed when it has left.

        It is offered the latest message, or else replayed those of the last ``history`` seconds or
        those after the time ``since``, and then every new one; without room it is closed.
        """
        try:
            channel = self._channels.open(
                subscriber.view, self._catalog, resumed=self.latest is not None
            )
        except AtCapacity:
            subscriber.close(CloseReason.AT_CAPACITY)
            self._ledger.close(subscriber)
            return
        subscriber.view = channel.view  # equal views are one object
        after = self.history.ago(history) if history else since
        if after is None:
            channel.join(subscriber)
        else:
            channel.replay(subscriber, after=after, greet=since is None)

    def remove(self, subscriber: Subscriber) -> None:
        """Let a subscriber go that has left, and count what it leaves; again is a no-op."""
        subscriber.end()
        if self._channels.leave(subscriber):
            self._ledger.close(subscriber)
            self.watch.gone(subscriber)

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
        devices: Iterable[str] = (),
    ) -> AsyncIterator[AsyncIterator[Frame]]:
        """Subscribe to the feed from the host's own code; starts the hub if it does not run.

        The arguments are the feed's parameters. The iterator gives the latest message, or what
        ``history`` asks for, then every new one, and ends when the hub stops. A reader that does
        not keep up loses its own oldest frames, like any client, but is not cut off.

        Raises:
            InvalidValue: an argument breaks its rule.
            AtCapacity: there is no room for another view.
        """
        query = build_query(
            self._catalog, metrics=metrics, interval=interval, aggregate=aggregate,
            history=history, partial=partial, seq=seq, devices=devices,
        )  # fmt: skip
        self.check_view_capacity(query.view)
        self.start()
        subscriber = QueuedSubscriber(
            query.view, self.settings.queue, EpisodeLog(), ticket=HostTicket("in this process")
        )
        self.add(subscriber, history=query.history)
        try:
            yield subscriber
        finally:
            self.remove(subscriber)


def _local_source(settings: Settings, clock: Clock, collector: Collector | None) -> LocalSource:
    interval, watch = settings.interval, None
    if collector is None:  # else the application that brings it knows what it does
        collector = ThreadCollector.of_interval(interval, clock)
        watch = SiblingWatch(clock)
    return LocalSource(interval=interval, collector=collector, clock=clock, watch=watch)
