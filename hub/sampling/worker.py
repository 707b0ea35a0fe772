"""Daemon threads that read metrics, each of which may be left alone in a call that hangs."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import TypeAlias

import anyio

from hub.clock import Clock
from hub.sampling.metric import Metric, OneByOne
from hub.sampling.reading import member_reading, reading_of
from hub.sampling.snapshot import MOST_MEMBERS, Failure, Reading
from hub.sampling.value import Value, clean_names

__all__ = ["Batch", "Job", "Key", "MemberReading", "Worker"]

Key: TypeAlias = "tuple[str, str | None]"
"""A metric's name, and that of a member which is read by itself."""

MemberReading: TypeAlias = "Value | Failure | None"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to read: a metric, or one of its members.

    Attributes:
        metric: what is read, or what it belongs to.
        member: the member's name, and how to read it; None for the metric itself.
    """

    metric: Metric
    member: tuple[str, Callable[[], object]] | None = None

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.metric.name, None if self.member is None else self.member[0]


class Batch:
    """What a worker is to read in turn; filled by its thread, looked at by the event loop.

    Args:
        jobs: at least one.
        primed: the names of metrics that are primed already; is added to.
        skip: members that are not to be read.
        clock: measures how long it takes.
    """

    def __init__(
        self, jobs: Sequence[Job], primed: set[str], clock: Clock, skip: Collection[Key] = ()
    ) -> None:
        self.jobs = tuple(jobs)
        self.primed = primed
        self.skip = skip
        self.seconds = math.inf  # that it took, once it is finished
        self._clock = clock
        self._begun = clock.monotonic()
        # What was read: metrics as a whole, and members of those that are read one by one.
        self.readings: dict[str, Reading] = {}
        self.members: dict[Key, MemberReading] = {}
        self.listed: dict[str, Mapping[str, Callable[[], object]]] = {}  # members, by metric
        self.current: Job | None = self.jobs[0]  # the one in turn; None after the last
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


class Worker:
    """One daemon thread, which reads batches."""

    def __init__(self) -> None:
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()  # None ends the thread
        self._batch: Batch | None = None  # the last one submitted
        self._dismissed = False
        self._thread = threading.Thread(target=self._run, name="hub-sampler", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether the thread still lives; a dismissed one lives while a call holds it."""
        return self._thread.is_alive()

    @property
    def batch(self) -> Batch:
        """The last batch that was submitted."""
        if self._batch is None:
            raise RuntimeError("nothing was submitted")
        return self._batch

    @property
    def current(self) -> Job | None:
        """What is being read, or None: all that was submitted is read."""
        return None if self._batch is None else self._batch.current

    def submit(self, batch: Batch) -> None:
        """Have a batch read after those before it."""
        self._batch = batch
        self._batches.put(batch)

    def dismiss(self) -> Job | None:
        """End the thread as soon as it is free; return what it is reading, its last job."""
        self._dismissed = True
        self._batches.put(None)
        return self.current

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            if not all(self._do(batch, job) for job in batch.jobs):
                return
            batch.finish()

    def _do(self, batch: Batch, job: Job) -> bool:
        """Do a job; say whether the thread is to go on."""
        batch.current = job
        # Looked at only now, so that dismiss() has returned any job that is begun.
        if self._dismissed:
            return False
        if job.member is not None:
            batch.members[job.key] = _read_member(job.metric, job.member[1])
            return True
        reading = _read(job.metric, batch.primed)
        if isinstance(reading, OneByOne):
            return self._do_each(batch, job.metric, reading)
        if reading is not None:
            batch.readings[job.metric.name] = reading
        return True

    def _do_each(self, batch: Batch, metric: Metric, members: OneByOne) -> bool:
        try:
            names = clean_names(members.members)
            listed = {names[name]: read for name, read in members.members.items()}
        except BaseException as error:  # they may be anything
            batch.readings[metric.name] = Failure.of(error)
            return True
        batch.listed[metric.name] = listed
        jobs = (Job(metric, member) for member in islice(listed.items(), MOST_MEMBERS))
        return all(self._do(batch, job) for job in jobs if job.key not in batch.skip)


def _read(metric: Metric, primed: set[str]) -> Reading | OneByOne | None:
    try:
        if metric.prime is not None and metric.name not in primed:
            metric.prime()
            primed.add(metric.name)
            return None
        raw = metric.collect()
        return raw if isinstance(raw, OneByOne) else reading_of(metric, raw)
    except BaseException as error:  # nothing that a metric raises ends the thread
        return Failure.of(error)


def _read_member(metric: Metric, read: Callable[[], object]) -> MemberReading:
    try:
        return member_reading(metric, read())
    except BaseException as error:  # as above
        return Failure.of(error)
