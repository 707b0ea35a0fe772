"""The newest message of views that requests ask for, which have no channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hub.feed.demand import Demand
from hub.feed.history import History
from hub.feed.replay import read_windows
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import Frame, View
from hub.feed.window import Window
from hub.sampling.metric import Kind
from hub.sampling.snapshot import Snapshot

__all__ = ["LatestFrames"]


@dataclass(frozen=True, slots=True)
class _Latest:
    """A view's newest message, and whether all that it shows has been sampled."""

    frame: Frame | None
    is_whole: bool

    @classmethod
    def of(cls, view: View, snapshot: Snapshot) -> _Latest:
        frame = view.encode(snapshot)
        sampled = all(name in snapshot.readings for name in view.metrics)
        return cls(frame, frame is not None and sampled)

    def rank(self) -> tuple[bool, bool]:
        """Return what makes one message better than another."""
        return self.frame is not None, self.is_whole


_NOTHING: Final = _Latest(None, is_whole=False)


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
        self._frames: dict[View, asyncio.Future[_Latest]] = {}
        self._next_tick: asyncio.Event | None = None  # while a request waits for it
        self._has_begun = False  # whether the history reaches up to the present

    def update(self) -> None:
        """Forget what was found, because there is a newer snapshot."""
        self._has_begun = True
        self._frames.clear()
        if self._next_tick is not None:
            self._next_tick.set()
            self._next_tick = None

    async def get(self, view: View, kinds: Mapping[str, Kind], seconds: float) -> Frame | None:
        """Return the newest message of a view; None if there is none within ``seconds``.

        A family that was not in demand is sampled first, which takes a tick or two; a partial view
        has to do without it only where it takes longer than ``seconds``. Cancelled, this spoils
        nothing for others that wait for the same.

        Args:
            view: what to see.
            kinds: of the view's metrics, by name.
            seconds: to wait at most.
        """
        self._demand.want(view.metrics)
        latest = _NOTHING
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (latest := await self._find(view, kinds)).is_whole:
                    await self._wait_for_tick()
        return latest.frame

    async def _find(self, view: View, kinds: Mapping[str, Kind]) -> _Latest:
        if not self._has_begun:
            return _NOTHING
        found = self._frames.get(view)
        if found is None:
            if len(self._frames) >= self._MOST:
                self._frames.clear()
            found = self._frames[view] = asyncio.get_running_loop().create_future()
            self._slicer.add(self._read(view, kinds, found))
        return await asyncio.shield(found)

    async def _wait_for_tick(self) -> None:
        if self._next_tick is None:
            self._next_tick = asyncio.Event()
        await self._next_tick.wait()

    def _read(
        self, view: View, kinds: Mapping[str, Kind], found: asyncio.Future[_Latest]
    ) -> Iterator[None]:
        history, window = self._history, Window(view, kinds)
        latest = _NOTHING
        try:
            for ended in read_windows(history, window, history.newest_window(view.ticks)):
                if ended is not None:
                    newer = _Latest.of(view, ended)
                    latest = latest if newer.frame is None else newer
                yield
            if not latest.is_whole and (so_far := window.so_far()) is not None:
                latest = max(latest, _Latest.of(view, so_far), key=_Latest.rank)
        except Exception as error:  # the requests', and no other work's
            found.set_exception(error)
        else:
            found.set_result(latest)
