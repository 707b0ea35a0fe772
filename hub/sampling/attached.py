"""Snapshots that another program takes, which listens on a Unix socket and may come and go."""

from __future__ import annotations

import logging
import math
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from hub.clock import Clock, SystemClock
from hub.errors import InvalidValue
from hub.sampling.collector import Collector, ThreadCollector
from hub.sampling.hello import Hello, Standing, UnfitSampler, read_hello, read_standing
from hub.sampling.link import Letter, Link
from hub.sampling.numbering import Numbering
from hub.sampling.own_readings import OwnReadings
from hub.sampling.remote import DemandTeller
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.snapshot import Failure, Snapshot
from hub.sampling.source import Demand, SnapshotSink
from hub.sampling.wire import SnapshotReader, UnreadableSnapshot

__all__ = ["AttachedSource", "attach"]

_logger = logging.getLogger("hub")

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 10.0

_HELLO_SECONDS: Final = 10.0
"""How long the other process may take to introduce itself."""

_MOST_MISSED: Final = 60
"""So many snapshots that were missed are still published; what was before is only remembered."""

_OWN_SECONDS: Final = 0.25
"""How long a snapshot may wait for the hub's own metrics, about: see ``ThreadCollector``."""


def attach(path: str | os.PathLike[str]) -> AttachedSource:
    """Return a source of what ``metrics-hub sample --socket PATH`` samples, for one hub.

    The process need not run yet, and may be restarted: the source connects again for as long as
    its hub runs. Meanwhile there are no messages, and the hub is not ready.

    Args:
        path: where that process listens.

    Raises:
        InvalidValue: it is no path.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise InvalidValue("path", "that of a socket", path)
    clock = SystemClock()
    collector = ThreadCollector(timeout=_OWN_SECONDS, clock=clock)
    return AttachedSource(text, lambda: Link.to(text), collector=collector, clock=clock)


class AttachedSource:
    """Receives snapshots from another program, over one link after another.

    Families that the other end does not offer are read here, once for each snapshot.

    Args:
        name: of the other end, for the log.
        connect: opens a link.
        collector: reads the families that the other end does not offer.
        clock: tells and passes the time.
        chance: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[Link]],
        *,
        collector: Collector,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._connect = connect
        self._clock = clock
        self._chance = chance
        self._own = OwnReadings(collector)
        self._numbering = Numbering()
        self._teller: DemandTeller | None = None  # while there is a link
        self._offered: frozenset[str] = frozenset()  # by the other end
        self._standing: Standing | None = None  # the last that is known of the sampler
        self._trouble = "not attached yet"  # why there is no link of use; "" if there is
        self._attempts = 0  # how many have failed since there was one
        self._has_past = False  # whether this run has handed over the past

    def demand_changed(self) -> None:
        """See ``SnapshotSource``: the other end learns it before its next tick."""
        if self._teller is not None:
            self._teller.tell_soon()

    def statistics(self) -> SamplerStatistics | None:
        """See ``SnapshotSource``; they are those of a moment ago, and of the own metrics too."""
        if self._standing is None:
            return None
        known = self._standing.statistics
        failures = Counter(known.failures) + self._own.failures
        return replace(known, failures=dict(failures))

    def failure(self) -> str:
        """See ``SnapshotSource``."""
        if self._trouble:
            return self._trouble
        return "" if self._standing is None else self._standing.failure

    async def run(self, sink: SnapshotSink, demand: Demand) -> None:
        """See ``SnapshotSource``; whatever happens to a link, there will be another one."""
        self._has_past, self._attempts = False, 0
        try:
            while True:
                try:
                    await self._follow(sink, demand)
                except (OSError, UnfitSampler, UnreadableSnapshot) as error:
                    self._note_trouble(error)
                await self._clock.sleep_until(self._clock.monotonic() + self._delay())
        finally:
            self._trouble = "not attached"
            self._own.close()

    def _delay(self) -> float:
        """Return how many seconds to wait before the next attempt; hubs do not come all at once."""
        longest = min(math.ldexp(_FIRST_DELAY, min(self._attempts - 1, 10)), _LONGEST_DELAY)
        return longest * (0.5 + 0.5 * self._chance())

    def _note_trouble(self, error: Exception) -> None:
        """Log that there is no link, once until there is, and again for a reason of its own."""
        is_lost = isinstance(error, OSError)
        cause = Failure.of(error).cause
        said, self._trouble = self._trouble, f"no samples from {self._name}: {cause}"
        self._attempts += 1
        if is_lost and self._attempts == 1:
            _logger.warning("No samples from %s: %s; trying again", self._name, cause)
        elif not is_lost and said != self._trouble:
            text = "Cannot use the samples from %s: %s; trying again"
            _logger.error(text, self._name, cause)

    async def _follow(self, sink: SnapshotSink, demand: Demand) -> None:
        """Deliver what comes over one link.

        Raises:
            OSError: there is none, or it is lost.
            UnfitSampler: the other end is no match for the hub.
            UnreadableSnapshot: what it sends is none.
        """
        link = await self._connect()
        try:
            async with aclosing(link.letters()) as letters:
                hello = await self._greeted(link, letters)
                _check(hello, sink.interval)
                self._offered = hello.families
                self._teller = DemandTeller(link, demand, hello.families)
                self._teller.tell()
                await self._receive(letters, sink, demand, self._teller)
        finally:
            self._teller = None
            link.abort()

    async def _greeted(self, link: Link, letters: AsyncIterator[tuple[Letter, bytes]]) -> Hello:
        late = self._clock.call_later(_HELLO_SECONDS, link.abort)
        try:
            async for letter, body in letters:
                if letter is Letter.HELLO:
                    return read_hello(body)
                raise UnfitSampler("it does not introduce itself")
        finally:
            late.cancel()
        raise UnfitSampler("it does not introduce itself")

    async def _receive(
        self,
        letters: AsyncIterator[tuple[Letter, bytes]],
        sink: SnapshotSink,
        demand: Demand,
        teller: DemandTeller,
    ) -> None:
        reader, missed, is_past = SnapshotReader(sink.precisions), list[Snapshot](), True
        async for letter, body in letters:
            if letter is Letter.STANDING:
                self._standing = read_standing(body)
            elif letter is Letter.PRESENT:
                self._catch_up(sink, missed)
                is_past = False
            elif letter is Letter.SNAPSHOT:
                snapshot = self._numbering.take(reader.read(body))
                if snapshot is None:
                    continue
                if not is_past:
                    await self._publish(snapshot, sink, demand)
                    teller.tell()  # what was wanted only until a while ago
                elif self._has_past:
                    missed.append(snapshot)
                else:
                    sink.restore((snapshot,))

    async def _publish(self, snapshot: Snapshot, sink: SnapshotSink, demand: Demand) -> None:
        own = [metric for metric in demand() if metric.name not in self._offered]
        sink.publish(await self._own.add_to(snapshot, own))

    def _catch_up(self, sink: SnapshotSink, missed: list[Snapshot]) -> None:
        """Hand over what was taken while there was no link, and note that there is one again.

        Subscribers that have waited meanwhile get what was missed, unless it is very much.
        """
        sink.restore(missed[:-_MOST_MISSED])
        for snapshot in missed[-_MOST_MISSED:]:
            sink.publish(snapshot)
        missed.clear()
        _logger.info("Attached to %s", self._name)
        self._has_past, self._attempts, self._trouble = True, 0, ""


def _check(hello: Hello, interval: float) -> None:
    """Raise UnfitSampler unless a hub of that interval can follow."""
    if hello.interval != interval:
        text = f"its interval is {hello.interval:g} s, and this hub's is {interval:g} s"
        raise UnfitSampler(text)
