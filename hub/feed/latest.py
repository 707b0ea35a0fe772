"""The newest message of views that requests ask for, which have no channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from hub.feed.demand import Demand
from hub.feed.history import History
from hub.feed.replay import read_windows
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import Frame, View
from hub.feed.window import Window
from hub.sampling.metric import Metric

__all__ = ["LatestFrames"]


class LatestFrames:
    """Works out the newest message of a view once a tick, for all requests that ask for it.

    Such a view takes no place among the live ones; what it shows is sampled for a while.

    Args:
        history: where its windows are read.
        demand: is told what is asked for.
        slicer: runs the reading.
    """

    _MOST: Final = 256  # views whose messages are kept at once

    def __init__(self, history: History, demand: Demand, slicer: TimeSlicer) -> None:
        self._history = history
        self._demand = demand
        self._slicer = slicer
        # What each view has to say as of the newest snapshot.
        self._frames: dict[View, asyncio.Future[Frame | None]] = {}
        self._next_tick: asyncio.Event | None = None  # while a request waits for it
        self._has_begun = False  # whether the history reaches up to the present

    def update(self) -> None:
        """Forget what was found, because there is a newer snapshot."""
        self._has_begun = True
        self._frames.clear()
        if self._next_tick is not None:
            self._next_tick.set()
            self._next_tick = None

    async def get(self, view: View, metrics: Mapping[str, Metric], seconds: float) -> Frame | None:
        """Return the newest message of a view; None if there is none within ``seconds``.

        A family that was not in demand is sampled first, which takes a tick or two. Cancelled,
        this spoils nothing for others that wait for the same.

        Args:
            view: what to see.
            metrics: the view's, by name.
            seconds: to wait at most.
        """
        self._demand.want(view.metrics)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (frame := await self._find(view, metrics)) is None:
                    await self._wait_for_tick()
                return frame
        return None

    async def _find(self, view: View, metrics: Mapping[str, Metric]) -> Frame | None:
        if not self._has_begun:
            return None
        found = self._frames.get(view)
        if found is None:
            if len(self._frames) >= self._MOST:
                self._frames.clear()
            found = self._frames[view] = asyncio.get_running_loop().create_future()
            self._slicer.add(self._read(view, metrics, found))
        return await asyncio.shield(found)

    async def _wait_for_tick(self) -> None:
        if self._next_tick is None:
            self._next_tick = asyncio.Event()
        await self._next_tick.wait()

    def _read(
        self, view: View, metrics: Mapping[str, Metric], found: asyncio.Future[Frame | None]
    ) -> Iterator[None]:
        history, window = self._history, Window(view, metrics)
        latest: Frame | None = None
        try:
            for ended in read_windows(history, window, history.newest_window(view.ticks)):
                if ended is not None:
                    latest = view.encode(ended) or latest
                yield
            if latest is None and (so_far := window.so_far()) is not None:
                latest = view.encode(so_far)
        except Exception as error:  # the requests', and no other work's
            found.set_exception(error)
        else:
            found.set_result(latest)
