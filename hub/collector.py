"""Collecting metrics in daemon threads that may hang without anybody waiting for them.

psutil's calls block, and some have no timeout: a dead mount holds ``disk_usage`` for as long as it
likes. So they run in one dedicated thread. When a metric does not answer in time, its thread is
left alone with it and the others go on in a new one; the metric is asked again only once its old
call has returned. Daemon threads hold up neither the event loop nor the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Protocol

import anyio

from hub.clock import Clock
from hub.metrics import Metric, plain_value
from hub.snapshot import Failure, Reading

__all__ = ["Collector", "ThreadCollector"]


class Collector(Protocol):
    """Reads metrics on behalf of a sampler."""

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """Read each metric once, in bounded time; a metric that is only primed is left out."""
        ...

    def close(self) -> None:
        """Let go of threads; those that hang end when what they hang in returns."""
        ...


class ThreadCollector:
    """Reads metrics in a daemon thread of its own.

    Args:
        patience: seconds that the first attempt of a tick may take. Each further one, after a
            metric has hung, has half of what the one before had, so that all of them together
            stay below twice this.
        clock: measures the patience.
    """

    def __init__(self, *, patience: float, clock: Clock) -> None:
        self._patience = patience
        self._clock = clock
        self._worker: _Worker | None = None
        self._hung: dict[str, _Worker] = {}

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """See ``Collector``. Cancellation leaves a running call to its thread."""
        readings: dict[str, Reading] = {}
        rest = [metric for metric in metrics if not self._still_hangs(metric.name, readings)]
        patience = self._patience
        while rest:
            rest = await self._attempt(rest, patience, readings)
            patience /= 2
        return readings

    def close(self) -> None:
        """See ``Collector``."""
        if self._worker is not None:
            self._worker.dismiss()
            self._worker = None

    def _still_hangs(self, name: str, readings: dict[str, Reading]) -> bool:
        worker = self._hung.get(name)
        if worker is None:
            return False
        if not worker.busy:
            del self._hung[name]
            return False
        readings[name] = self._late()
        return True

    def _late(self) -> Failure:
        return Failure(f"no answer within {self._patience:g} s")

    async def _attempt(
        self, metrics: list[Metric], patience: float, readings: dict[str, Reading]
    ) -> list[Metric]:
        """Read what can be read; return what a new thread still has to do."""
        try:
            worker = self._worker = self._worker or _Worker()
        except RuntimeError as error:  # no more threads
            readings.update((metric.name, Failure.of(error)) for metric in metrics)
            return []
        batch = _Batch(metrics)
        worker.submit(batch)
        in_time = await self._clock.wait(batch.done, patience)
        hung = None if in_time else batch.current
        for name, reading in list(batch.readings.items()):
            readings.setdefault(name, reading)
        if hung is None:
            return []
        self._set_aside(worker, hung.name)
        readings[hung.name] = self._late()
        return [m for m in metrics if m is not hung and (m.prime or m.name not in readings)]

    def _set_aside(self, worker: _Worker, name: str) -> None:
        worker.dismiss()
        self._hung[name] = worker
        self._worker = None


class _Batch:
    """What a worker is asked to do at one go; filled by its thread, read by the event loop."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = tuple(metrics)
        self.readings: dict[str, Reading] = {}
        self.current: Metric | None = self.metrics[0]
        self.done = anyio.Event()
        self._loop = asyncio.get_running_loop()

    def finish(self) -> None:
        """Tell the event loop, if it is still there."""
        self.current = None
        try:
            self._loop.call_soon_threadsafe(self.done.set)
        except RuntimeError:  # the loop was closed meanwhile
            return


class _Worker:
    """One daemon thread, and what it has primed: psutil's baselines belong to a thread."""

    def __init__(self) -> None:
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._primed: set[str] = set()
        self._dismissed = False
        self._thread = threading.Thread(target=self._run, name="hub-sampler", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether the thread still lives; a dismissed one lives while a call holds it."""
        return self._thread.is_alive()

    def submit(self, batch: _Batch) -> None:
        self._batches.put(batch)

    def dismiss(self) -> None:
        """End the thread as soon as it is free."""
        self._dismissed = True
        self._batches.put(None)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._primed.intersection_update(metric.name for metric in batch.metrics)
            for metric in batch.metrics:
                batch.current = metric
                reading = self._read(metric)
                if self._dismissed:
                    return
                if reading is not None:
                    batch.readings[metric.name] = reading
            batch.finish()

    def _read(self, metric: Metric) -> Reading | None:
        try:
            if metric.prime is not None and metric.name not in self._primed:
                metric.prime()
                self._primed.add(metric.name)
                return None
            return plain_value(metric.collect())
        except BaseException as error:  # nothing a collector does ends the thread
            return Failure.of(error)
