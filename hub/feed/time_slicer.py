"""Long work on the event loop, cut into slices, so that it holds up nothing else."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final, TypeVar

from hub.clock import Clock

__all__ = ["TimeSlicer"]

_T = TypeVar("_T")
_DONE: Final = object()


class TimeSlicer:
    """Runs pieces of work in turns (round-robin), for a millisecond in each turn of the event loop.

    A piece of work is an iterator that does a little, some microseconds, at every step. However
    many there are, all of them together take no more than a slice between any two other things
    that the event loop does. What is added while nothing else is under way begins at once, but
    no longer than a slice altogether until the event loop has turned.

    Args:
        clock: measures the slices.
    """

    SECONDS: Final = 0.001

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._works: deque[Iterator[object]] = deque()
        self._next_slice: asyncio.Handle | None = None
        self._running = False  # in a slice: a step may add other work
        self._spent = 0.0  # seconds worked at once on adding, since the last scheduled slice

    @property
    def busy(self) -> bool:
        """Whether there is work that is not finished."""
        return bool(self._works)

    def add(self, work: Iterator[object]) -> None:
        """Run ``work`` to its end, in turns with all other work."""
        self._works.append(work)
        if self._next_slice is None and not self._running:
            try:
                self._spent += self._work(self.SECONDS - self._spent)
            finally:
                if self._works or self._spent >= self.SECONDS:
                    self._schedule()

    def finish(self) -> None:
        """Do all that is left now, however long it takes."""
        self._work(math.inf)

    def stop(self) -> None:
        """Drop all that is left."""
        self._works.clear()
        if self._next_slice is not None:
            self._next_slice.cancel()
            self._next_slice = None

    async def iterate(self, work: Iterator[_T | None]) -> AsyncIterator[_T]:
        """Run ``work`` for one caller, and pass on all that it yields but None.

        What it raises, the caller is told. Cancelled, it runs no further.
        """
        while True:
            found = asyncio.get_running_loop().create_future()
            self.add(_search(work, found))
            item = await found
            if item is _DONE:
                return
            yield item

    def _schedule(self) -> None:
        self._next_slice = asyncio.get_running_loop().call_soon(self._run_slice)

    def _run_slice(self) -> None:
        self._next_slice = None
        self._spent = 0.0
        try:
            self._work(self.SECONDS)
        finally:
            if self._works:
                self._schedule()

    def _work(self, seconds: float) -> float:
        """Run all work in turns for so long, if there is as much; return how long it took."""
        start = now = self._now()
        self._running = True
        try:
            while self._works:
                work = self._works.popleft()
                if next(work, _DONE) is not _DONE:
                    self._works.append(work)
                now = self._now()
                if now - start >= seconds:
                    break
        finally:
            self._running = False
        return now - start


def _search(work: Iterator[object], found: asyncio.Future[object]) -> Iterator[None]:
    """Run ``work`` until it yields something, which is found, or ends, or raises."""
    while not found.done():  # cancelled, perhaps
        try:
            item = next(work, _DONE)
        except Exception as error:  # the caller's, and no other work's
            found.set_exception(error)
            return
        if item is not None:
            found.set_result(item)
            return
        yield
