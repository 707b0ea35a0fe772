"""Collecting metrics in daemon threads, any of which may hang without holding up the rest.

psutil's calls block, and some have no timeout: ``disk_usage`` of a dead mount may never return. So
they run in one dedicated thread. When a metric does not answer in time, its thread is abandoned
with it and the others go on in a new one. The metric is collected again only once its old call has
returned, and then in a thread of its own until it answers in time: it holds up one tick and no
other. Metrics that are known to take long have a thread each from the start, and no tick waits for
them. The same goes for members that a metric reads one by one: of those only the slow one is late.
Daemon threads hold up neither the event loop nor the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from hub.clock import Clock
from hub.sampling.metric import Metric
from hub.sampling.reading import members_reading
from hub.sampling.snapshot import MOST_MEMBERS, Failure, Reading
from hub.sampling.worker import Batch, Job, Key, MemberReading, Worker

__all__ = ["Collector", "ThreadCollector"]


_PATIENCE_SECONDS: Final = 0.05
"""How long a tick waits for all together that were slow."""


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

    A metric, and each member of one that is read one by one, is never entered while an earlier call
    to it still runs, whatever happened in between: a timeout, a cancelled ``collect()``,
    ``close()``, another event loop. Until that call returns, its reading is a failure.

    Args:
        timeout: seconds that the first attempt of a tick may take. Each further one, after a
            call has hung, has half of what the one before had, so that all of them together
            stay below twice this.
        clock: measures the timeout.
    """

    @classmethod
    def of_interval(cls, interval: float, clock: Clock) -> ThreadCollector:
        """Return one that may take half of the interval between ticks, but 0.5 to 5 seconds."""
        return cls(timeout=min(max(0.5, interval / 2), 5.0), clock=clock)

    def __init__(self, *, timeout: float, clock: Clock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._worker: Worker | None = None  # reads all that is not in the background
        self._primed: set[str] = set()  # metrics whose measuring has begun, in whichever thread
        self._hung: dict[Key, Worker] = {}  # abandoned, each with the call that it is still in
        self._slow: dict[Key, Job] = {}  # what answered too late the last time
        self._background: dict[str, _Background] = {}  # those of the last tick, by metric

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """See ``Collector``. Cancellation leaves a running call to its thread."""
        if self._worker is not None and self._worker.current is not None:
            self._abandon(self._worker)  # the last collect() was cancelled
        names = {metric.name for metric in metrics}
        self._primed &= names
        self._slow = {key: job for key, job in self._slow.items() if key[0] in names}
        tick = _Tick()
        self._find_hung(tick)
        idle = [metric for metric in metrics if metric.name not in tick.readings]
        self._poll([metric for metric in idle if metric.background], tick)
        rest = [metric for metric in idle if not metric.background]
        slow = self._slow_jobs(rest, tick)
        probes = self._probe(slow, tick)
        rest = [metric for metric in rest if (metric.name, None) not in self._slow]
        timeout = self._timeout
        try:
            while rest:
                rest = await self._attempt(rest, timeout, tick)
                timeout /= 2
            deadline = self._clock.monotonic() + _PATIENCE_SECONDS
            while probes:
                await self._settle(probes[-1], deadline, tick)
                probes.pop()
        finally:
            for worker in probes:  # this was cancelled
                self._abandon(worker)
        return tick.result(metrics)

    def _slow_jobs(self, metrics: Sequence[Metric], tick: _Tick) -> list[Job]:
        """Return what is to be read apart from the rest, because it was slow."""
        current = {metric.name: metric for metric in metrics}
        return [
            Job(current[name], job.member)
            for (name, member), job in self._slow.items()
            if name in current and (name, member) not in tick.members
        ]

    def _probe(self, jobs: Sequence[Job], tick: _Tick) -> list[Worker]:
        """Begin to read what was slow, each in a thread of its own."""
        workers = []
        for job in jobs:
            try:
                worker = Worker()
            except RuntimeError as error:  # no more threads
                tick.fail(job.key, Failure.of(error))
                continue
            worker.submit(Batch((job,), self._primed, self._clock, skip=tick.members.keys()))
            workers.append(worker)
        return workers

    async def _settle(self, worker: Worker, deadline: float, tick: _Tick) -> None:
        """Take what was slow but has answered by now, or leave it to its thread."""
        batch = worker.batch
        key = batch.jobs[0].key
        if await self._clock.wait(batch.done, max(0.0, deadline - self._clock.monotonic())):
            tick.take(batch)
            self._slow.pop(key, None)
            worker.dismiss()
        else:
            self._abandon(worker)
            tick.fail(key, _late(self._timeout))

    def close(self) -> None:
        """See ``Collector``."""
        self._primed = set()  # a new one: a call that goes on may still add to the old one
        self._poll([], _Tick())
        if self._worker is not None:
            self._abandon(self._worker)

    def _poll(self, metrics: Sequence[Metric], tick: _Tick) -> None:
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
                tick.readings[metric.name] = reading

    def _find_hung(self, tick: _Tick) -> None:
        """Fail what is still in an old call; forget those calls that have returned."""
        for key, worker in list(self._hung.items()):
            if worker.busy:
                tick.fail(key, _late(self._timeout))
                continue
            del self._hung[key]
            if worker.batch.seconds < self._timeout:  # which a tick would have waited for
                self._slow.pop(key, None)

    async def _attempt(self, metrics: list[Metric], seconds: float, tick: _Tick) -> list[Metric]:
        """Read what answers in time; return what a new thread still has to read."""
        try:
            worker = self._worker = self._worker or Worker()
        except RuntimeError as error:  # no more threads
            tick.readings.update((metric.name, Failure.of(error)) for metric in metrics)
            return []
        jobs = [Job(metric) for metric in metrics]
        batch = Batch(jobs, self._primed, self._clock, tick.members.keys() | self._slow.keys())
        worker.submit(batch)
        in_time = await self._clock.wait(batch.done, seconds)
        hung = None if in_time or batch.current is None else self._abandon(worker)
        tick.take(batch)
        if hung is None:
            return []
        tick.fail(hung.key, _late(self._timeout))
        self._slow[hung.key] = hung
        following = metrics[metrics.index(hung.metric) :]
        return following if hung.member is not None else following[1:]

    def _abandon(self, worker: Worker) -> Job | None:
        """Dismiss a worker; remember and return what it is still reading, if anything."""
        if worker is self._worker:
            self._worker = None
        job = worker.dismiss()
        if job is not None:
            self._hung[job.key] = worker
        return job


def _late(timeout: float) -> Failure:
    return Failure(f"no answer within {timeout:g} s")


class _Tick:
    """What has been read so far in a tick."""

    def __init__(self) -> None:
        self.readings: dict[str, Reading] = {}  # of metrics as a whole
        self.members: dict[Key, MemberReading] = {}  # of those that are read one by one
        self._listed: dict[str, Mapping[str, Callable[[], object]]] = {}  # all there are, by metric

    def take(self, batch: Batch) -> None:
        """Take over what a batch has read by now; what is known already stays."""
        self.readings = {**batch.readings, **self.readings}
        self.members = {**batch.members, **self.members}
        self._listed.update(batch.listed)

    def fail(self, key: Key, failure: Failure) -> None:
        """Note that there is no reading."""
        name, member = key
        if member is None:
            self.readings[name] = failure
        else:
            self.members[key] = failure

    def result(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """Return the readings by metric, in the order of the metrics."""
        for name, listed in self._listed.items():
            if name not in self.readings:
                self.readings[name] = self._members_of(name, listed)
        names = [metric.name for metric in metrics]
        return {name: self.readings[name] for name in names if name in self.readings}

    def _members_of(self, name: str, listed: Mapping[str, object]) -> Reading:
        first = list(listed)[:MOST_MEMBERS]
        read = {member: self.members.get((name, member)) for member in first}
        present = {member: one for member, one in read.items() if one is not None}
        return members_reading(present, left_out=len(listed) - len(first))


class _Background:
    """A metric that takes long, in a thread of its own, and its newest reading."""

    _TIMEOUT: Final = 10.0  # seconds after which a call that still runs is a failure

    def __init__(self, metric: Metric, primed: set[str], clock: Clock) -> None:
        self.worker: Worker | None = None  # None until a thread could be started
        self._metric = metric
        self._primed = primed
        self._clock = clock
        self._batch: Batch | None = None  # the latest call, under way or finished
        self._begun = 0.0  # when that call was submitted, in monotonic seconds
        self._newest: Reading | None = None  # of the last call that has finished

    def poll(self) -> Reading | None:
        """Return the newest reading, if there is one; begin the next unless one is under way."""
        batch = self._batch
        if batch is None or batch.current is None:
            self._newest = None if batch is None else self._reading(batch)
            self._begin()
        elif self._clock.monotonic() - self._begun >= self._TIMEOUT:
            return _late(self._TIMEOUT)
        return self._newest

    def _reading(self, batch: Batch) -> Reading | None:
        tick = _Tick()
        tick.take(batch)
        return tick.result((self._metric,)).get(self._metric.name)

    def _begin(self) -> None:
        try:
            worker = self.worker = self.worker or Worker()
        except RuntimeError as error:  # no more threads
            self._newest = Failure.of(error)
            return
        self._begun = self._clock.monotonic()
        self._batch = Batch((Job(self._metric),), self._primed, self._clock)
        worker.submit(self._batch)
