"""Collecting metrics in daemon threads, any of which may hang without holding up the rest.

psutil's calls block, and some have no timeout: ``disk_usage`` of a dead mount may never return. So
they run in one dedicated thread. When a metric does not answer in time, its thread is abandoned
with it and the others go on in a new one. The metric is collected again only once its old call has
returned, and then in a thread of its own until it answers in time: it holds up one tick and no
other. Metrics that are known to take long have a thread each from the start, and no tick waits for
them. Daemon threads hold up neither the event loop nor the end of the process.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Final, Protocol

import anyio

from hub.clock import Clock
from hub.sampling.metric import Metric, reading_of
from hub.sampling.snapshot import Failure, Reading

__all__ = ["Collector", "ThreadCollector"]


_PATIENCE_SECONDS: Final = 0.05
"""How long a tick waits for all metrics together that were slow."""


class Collector(Protocol):
    """Reads metrics on behalf of a sampler."""

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """Read each metric once, in bounded time; a metric that is only primed is left out."""
        ...

    def close(self) -> None:
        """Release all threads; one that is in a call ends when that returns.

        It may be asked to collect again afterwards, also on another event loop.
        """
        ...


class ThreadCollector:
    """Reads metrics in a daemon thread of its own.

    A metric is never entered while an earlier call to it still runs, whatever happened in between:
    a timeout, a cancelled ``collect()``, ``close()``, another event loop. Until that call returns,
    the metric's reading is a failure.

    Args:
        timeout: seconds that the first attempt of a tick may take. Each further one, after a
            metric has hung, has half of what the one before had, so that all of them together
            stay below twice this.
        clock: measures the timeout.
    """

    def __init__(self, *, timeout: float, clock: Clock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._worker: _Worker | None = None  # reads all that is not in the background
        self._primed: set[str] = set()  # metrics whose measuring has begun, in whichever thread
        self._hung: dict[str, _Worker] = {}  # abandoned, each with the metric that it is still in
        self._slow: set[str] = set()  # metrics whose last answer came too late
        self._background: dict[str, _Background] = {}  # those of the last tick, by metric

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """See ``Collector``. Cancellation leaves a running call to its thread."""
        if self._worker is not None and self._worker.current is not None:
            self._abandon(self._worker)  # the last collect() was cancelled
        names = {metric.name for metric in metrics}
        self._primed &= names
        self._slow &= names
        readings: dict[str, Reading] = {}
        idle = [metric for metric in metrics if not self._still_hangs(metric.name, readings)]
        self._poll([metric for metric in idle if metric.background], readings)
        rest = [metric for metric in idle if not metric.background]
        probes = self._probe([metric for metric in rest if metric.name in self._slow], readings)
        rest = [metric for metric in rest if metric.name not in self._slow]
        timeout = self._timeout
        try:
            while rest:
                rest = await self._attempt(rest, timeout, readings)
                timeout /= 2
            deadline = self._clock.monotonic() + _PATIENCE_SECONDS
            while probes:
                await self._settle(probes[-1], deadline, readings)
                probes.pop()
        finally:
            for worker in probes:  # this was cancelled
                self._abandon(worker)
        return readings

    def _probe(self, metrics: Sequence[Metric], readings: dict[str, Reading]) -> list[_Worker]:
        """Begin to read metrics that were slow, each in a thread of its own."""
        workers = []
        for metric in metrics:
            try:
                worker = _Worker()
            except RuntimeError as error:  # no more threads
                readings[metric.name] = Failure.of(error)
                continue
            worker.submit(_Batch((metric,), self._primed, self._clock))
            workers.append(worker)
        return workers

    async def _settle(self, worker: _Worker, deadline: float, readings: dict[str, Reading]) -> None:
        """Take what a metric that was slow has answered by now, or leave it to its thread."""
        batch = worker.batch
        name = batch.metrics[0].name
        if await self._clock.wait(batch.done, max(0.0, deadline - self._clock.monotonic())):
            readings.update(batch.readings)
            self._slow.discard(name)
            worker.dismiss()
        else:
            readings[name] = _late(self._timeout)
            self._abandon(worker)

    def close(self) -> None:
        """See ``Collector``."""
        self._primed = set()  # a new one: a call that goes on may still add to the old one
        self._poll([], {})
        if self._worker is not None:
            self._abandon(self._worker)

    def _poll(self, metrics: Sequence[Metric], readings: dict[str, Reading]) -> None:
        """Read what has finished of metrics in the background; release those not among them."""
        for name in self._background.keys() - {metric.name for metric in metrics}:
            worker = self._background.pop(name).worker
            if worker is not None:
                self._abandon(worker)
        for metric in metrics:
            if metric.name not in self._background:
                self._background[metric.name] = _Background(metric, self._primed, self._clock)
            reading = self._background[metric.name].poll()
            if reading is not None:
                readings[metric.name] = reading

    def _still_hangs(self, name: str, readings: dict[str, Reading]) -> bool:
        worker = self._hung.get(name)
        if worker is None:
            return False
        if not worker.busy:
            del self._hung[name]
            if worker.batch.seconds < self._timeout:  # which a tick would have waited for
                self._slow.discard(name)
            return False
        readings[name] = _late(self._timeout)
        return True

    async def _attempt(
        self, metrics: list[Metric], seconds: float, readings: dict[str, Reading]
    ) -> list[Metric]:
        """Read what answers in time; return what a new thread still has to read."""
        try:
            worker = self._worker = self._worker or _Worker()
        except RuntimeError as error:  # no more threads
            readings.update((metric.name, Failure.of(error)) for metric in metrics)
            return []
        batch = _Batch(metrics, self._primed, self._clock)
        worker.submit(batch)
        in_time = await self._clock.wait(batch.done, seconds)
        hung = None if in_time or batch.current is None else self._abandon(worker)
        for name, reading in list(batch.readings.items()):
            readings.setdefault(name, reading)
        if hung is None:
            return []
        readings[hung.name] = _late(self._timeout)
        self._slow.add(hung.name)
        read = batch.metrics[: batch.metrics.index(hung)]
        return [metric for metric in metrics if metric is not hung and metric not in read]

    def _abandon(self, worker: _Worker) -> Metric | None:
        """Dismiss a worker; remember and return the metric that it is still in, if any."""
        if worker is self._worker:
            self._worker = None
        metric = worker.dismiss()
        if metric is not None:
            self._hung[metric.name] = worker
        return metric


def _late(timeout: float) -> Failure:
    return Failure(f"no answer within {timeout:g} s")


class _Background:
    """A metric that takes long, in a thread of its own, and its newest reading."""

    _TIMEOUT: Final = 10.0  # seconds after which a call that still runs is a failure

    def __init__(self, metric: Metric, primed: set[str], clock: Clock) -> None:
        self.worker: _Worker | None = None  # None until a thread could be started
        self._metric = metric
        self._primed = primed
        self._clock = clock
        self._batch: _Batch | None = None  # the latest call, under way or finished
        self._begun = 0.0  # when that call was submitted, in monotonic seconds
        self._newest: Reading | None = None  # of the last call that has finished

    def poll(self) -> Reading | None:
        """Return the newest reading, if there is one; begin the next unless one is under way."""
        batch = self._batch
        if batch is None or batch.current is None:
            self._newest = None if batch is None else batch.readings.get(self._metric.name)
            self._begin()
        elif self._clock.monotonic() - self._begun >= self._TIMEOUT:
            return _late(self._TIMEOUT)
        return self._newest

    def _begin(self) -> None:
        try:
            worker = self.worker = self.worker or _Worker()
        except RuntimeError as error:  # no more threads
            self._newest = Failure.of(error)
            return
        self._begun = self._clock.monotonic()
        self._batch = _Batch((self._metric,), self._primed, self._clock)
        worker.submit(self._batch)


class _Batch:
    """Metrics for a worker to read in turn; filled by its thread, read by the event loop.

    Args:
        metrics: at least one.
        primed: the names of those that are primed already; is added to.
        clock: measures how long it takes.
    """

    def __init__(self, metrics: Sequence[Metric], primed: set[str], clock: Clock) -> None:
        self.metrics = tuple(metrics)
        self.primed = primed
        self.seconds = math.inf  # that it took, once it is finished
        self._clock = clock
        self._begun = clock.monotonic()
        self.readings: dict[str, Reading] = {}
        self.current: Metric | None = self.metrics[0]  # the one in turn; None after the last
        self.done = anyio.Event()
        self._loop = asyncio.get_running_loop()

    def finish(self) -> None:
        """Tell the event loop, unless it was closed meanwhile."""
        self.seconds = self._clock.monotonic() - self._begun
        self.current = None
        try:
            self._loop.call_soon_threadsafe(self.done.set)
        except RuntimeError:
            return


class _Worker:
    """One daemon thread, which reads metrics."""

    def __init__(self) -> None:
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()  # None ends the thread
        self._batch: _Batch | None = None  # the last one submitted
        self._dismissed = False
        self._thread = threading.Thread(target=self._run, name="hub-sampler", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether the thread still lives; a dismissed one lives while a call holds it."""
        return self._thread.is_alive()

    @property
    def batch(self) -> _Batch:
        """The last batch that was submitted."""
        if self._batch is None:
            raise RuntimeError("nothing was submitted")
        return self._batch

    @property
    def current(self) -> Metric | None:
        """The metric that is being read, or None: all that was submitted is read."""
        return None if self._batch is None else self._batch.current

    def submit(self, batch: _Batch) -> None:
        self._batch = batch
        self._batches.put(batch)

    def dismiss(self) -> Metric | None:
        """End the thread as soon as it is free; return the metric it is in, its last one."""
        self._dismissed = True
        self._batches.put(None)
        return self.current

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            for metric in batch.metrics:
                batch.current = metric
                # Looked at only now, so that dismiss() has returned any metric that is entered.
                if self._dismissed:
                    return
                reading = self._read(metric, batch.primed)
                if reading is not None:
                    batch.readings[metric.name] = reading
            batch.finish()

    @staticmethod
    def _read(metric: Metric, primed: set[str]) -> Reading | None:
        try:
            if metric.prime is not None and metric.name not in primed:
                metric.prime()
                primed.add(metric.name)
                return None
            return reading_of(metric, metric.collect())
        except BaseException as error:  # nothing that a metric raises ends the thread
            return Failure.of(error)
