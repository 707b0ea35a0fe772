"""Snapshots that another process takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container
from typing import Final

import anyio

from hub.sampling.link import Letter, Link, LinkLost
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.source import Demand, SnapshotSink
from hub.sampling.wire import SnapshotReader, write_demand

__all__ = ["DemandTeller", "RemoteSource"]


class DemandTeller:
    """Tells the other end of a link what should be in its snapshots, once for every change.

    Args:
        link: to the process that samples.
        demand: says what is wanted.
        offered: the families that it knows, if it need not hear of others.
    """

    def __init__(self, link: Link, demand: Demand, offered: Container[str] | None = None) -> None:
        self._link = link
        self._demand = demand
        self._offered = offered
        self._told = b""  # the last demand that the other end was told
        self._telling: asyncio.Handle | None = None  # is about to tell it

    def tell_soon(self) -> None:
        """Tell it in a moment, with whatever else changes until then."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_soon(self.tell)

    def tell(self) -> None:
        """Tell it now, unless it knows."""
        self._telling = None
        wanted = (one.name for one in self._demand() if not one.is_at_rest)
        offered = self._offered
        demand = write_demand(name for name in wanted if offered is None or name in offered)
        if demand != self._told:
            self._told = demand
            self._link.send(Letter.DEMAND, demand)


class RemoteSource:
    """Receives snapshots over a link, and tells its other end what should be in them.

    Args:
        connect: opens the link.
        on_letter: given what comes beside snapshots.
        on_lost: called when the link is lost; then the source waits to be cancelled. By default it
            fails.
        on_end: called before the link is closed, to say the last thing over it.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Link]],
        on_letter: Callable[[Letter, bytes], None] = lambda letter, body: None,  # noqa: ARG005
        *,
        on_lost: Callable[[], None] | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._connect = connect
        self._on_letter = on_letter
        self._on_lost = on_lost
        self._on_end = on_end
        self.present: Final = anyio.Event()
        """Set once it has handed over the past."""
        self._teller: DemandTeller | None = None  # while it runs
        self._statistics: SamplerStatistics | None = None
        self._failure = ""

    def note(self, statistics: SamplerStatistics | None, failure: str) -> None:
        """Take over what is known of the sampler at the other end, to be told when asked."""
        self._statistics, self._failure = statistics, failure

    def failure(self) -> str:
        """See ``SnapshotSource``."""
        return self._failure

    def statistics(self) -> SamplerStatistics | None:
        """See ``SnapshotSource``; they are those of a moment ago."""
        return self._statistics

    async def run(self, sink: SnapshotSink, demand: Demand) -> None:
        """See ``SnapshotSource``.

        Raises:
            LinkLost: the other process has ended.
            UnreadableSnapshot: it is of another version.
        """
        link = await self._connect()
        teller = self._teller = DemandTeller(link, demand)
        try:
            teller.tell()
            await self._receive(link, sink, teller)
        except LinkLost:
            if self._on_lost is None:
                raise
            self._on_lost()
            await anyio.sleep_forever()
        finally:
            self._teller = None
            self._on_end()
            link.close()

    async def _receive(self, link: Link, sink: SnapshotSink, teller: DemandTeller) -> None:
        reader = SnapshotReader(sink.precisions)
        is_past = True
        async for letter, body in link.letters():
            if letter is Letter.SNAPSHOT and is_past:
                sink.restore((reader.read(body).snapshot,))
            elif letter is Letter.SNAPSHOT:
                sink.publish(reader.read(body).snapshot)
                teller.tell()  # what was wanted only until a while ago
            elif letter is Letter.PRESENT:
                is_past = False
                self.present.set()
            else:
                self._on_letter(letter, body)

    def demand_changed(self) -> None:
        """See ``SnapshotSource``: the other end learns it before its next tick."""
        if self._teller is not None:
            self._teller.tell_soon()
