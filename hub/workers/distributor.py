"""The snapshots of one sampler on their way to all that serve them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import anyio

from hub.feed.history import History
from hub.sampling.link import Letter, Link
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.sampling.wire import Parcel, read_demand, write_snapshot

__all__ = ["Distributor"]


class Distributor:
    """Keeps the past, and sends it and every new snapshot over any number of links.

    A link is a place in the past: one that takes nothing holds nothing up, and loses what the past
    gives up before it was sent. A new snapshot is written once, however many links there are.

    Args:
        epoch: names the run of the sampler.
        metrics: the families on offer.
        history: keeps the past; only this adds to it.
    """

    def __init__(self, epoch: str, metrics: Iterable[Metric], history: History) -> None:
        self._epoch = epoch
        self._metrics = tuple(metrics)
        self._history = history
        self._newest = (-1, b"")  # the newest snapshot's position, and how it is written
        self._came = anyio.Event()  # set when it comes; then there is another one
        self._wanted: Mapping[Link, frozenset[str]] = {}  # the demand of each link
        self.lost: dict[Link, int] = {}
        """How many snapshots each link has lost."""

    def demand(self) -> Sequence[Metric]:
        """Return the families that any link wants, and what the past always has of others."""
        wanted = frozenset[str]().union(*self._wanted.values())
        sampled = (one if one.name in wanted else one.resting for one in self._metrics)
        return [metric for metric in sampled if metric is not None]

    def want(self, link: Link, letter: bytes) -> None:
        """Take over what a link wants: the body of its ``DEMAND``.

        Raises:
            UnreadableDemand: it is none.
        """
        self._wanted = {**self._wanted, link: read_demand(letter)}

    def publish(self, snapshot: Snapshot) -> None:
        """Take the newest snapshot, and have it sent; it waits for nothing."""
        self._history.append(snapshot)
        came, self._came = self._came, anyio.Event()
        came.set()

    async def serve(self, link: Link) -> None:
        """Send the past, and then every new snapshot, until cancelled.

        Raises:
            LinkLost: the other end has gone.
        """
        position, is_present = self._history.start, False
        self.lost[link] = 0
        try:
            while True:
                position = await self._send_from(position, link)
                if not is_present:
                    link.send(Letter.PRESENT)
                    is_present = True
                await self._came.wait()
        finally:
            del self.lost[link]
            self.forget(link)

    def forget(self, link: Link) -> None:
        """Want nothing any more on behalf of a link."""
        self._wanted = {one: names for one, names in self._wanted.items() if one is not link}

    async def _send_from(self, position: int, link: Link) -> int:
        """Send all from a position on; return the next one."""
        history = self._history
        while position < history.end:
            if position < history.start:
                self.lost[link] += history.start - position
                position = history.start
            link.send(Letter.SNAPSHOT, self._written(position))
            position += 1
            await link.flush()
        return position

    def _written(self, position: int) -> bytes:
        if position != self._newest[0]:
            written = write_snapshot(Parcel(self._epoch, self._history[position]))
            if position != self._history.end - 1:
                return written
            self._newest = (position, written)
        return self._newest[1]
