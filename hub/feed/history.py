"""The recent past: a bounded ring of snapshots."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, bisect_right
from collections import deque

from hub.sampling.snapshot import Snapshot

__all__ = ["History"]

_logger = logging.getLogger("hub")


class History:
    """The newest snapshots, each addressed by its position: how many there ever were before it.

    Times and ticks rise from snapshot to snapshot, except where the machine's clock was set back.
    What lies between two such places is a run, in which a time is found by bisection.

    Args:
        capacity: how many are kept, at least one.
        most_bytes: memory that they may take, about; the newest is kept in any case.
    """

    def __init__(self, capacity: int, most_bytes: float = math.inf) -> None:
        self.start = 0
        """The position of the oldest that is kept."""
        self.end = 0
        """The position that the next one will have."""
        self.bytes = 0
        """Memory that is taken, about."""
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._is_cut = False  # whether it was ever the memory that ended it
        self._ring: list[tuple[Snapshot, int] | None] = []  # each with its size; None is free
        self._runs: deque[int] = deque()  # positions at which runs begin, oldest first

    def append(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, at the cost of the oldest where there is no more room."""
        if not self._runs or not self._follows(snapshot):
            self._runs.append(self.end)
        kept = self._packed(snapshot)
        if len(self) == self._capacity:
            self._forget()
        if self.end < self._capacity:
            self._ring.append(kept)
        else:
            self._ring[self.end % self._capacity] = kept
        self.end += 1
        self.bytes += kept[1]
        while self.bytes > self._most_bytes and len(self) > 1:
            self._forget()
            self._say_that_it_is_cut()

    def _packed(self, snapshot: Snapshot) -> tuple[Snapshot, int]:
        """Return a snapshot that shares what has not changed with the newest, and its size."""
        if len(self) == 0:
            return snapshot, snapshot.size()
        newest = self[self.end - 1]
        shared = snapshot.sharing(newest)
        return shared, shared.size(beside=newest)

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def seconds(self) -> float:
        """How far back it reaches from the newest snapshot."""
        return self[self.end - 1].time - self[self.start].time if self.end else 0.0

    def _say_that_it_is_cut(self) -> None:
        if not self._is_cut:
            text = "History is full: %d bytes hold the last %.0f s; --history-bytes allows more"
            _logger.warning(text, self._most_bytes, self.seconds)
        self._is_cut = True

    def _follows(self, snapshot: Snapshot) -> bool:
        newest = self[self.end - 1]
        return snapshot.time > newest.time and snapshot.tick > newest.tick

    def _forget(self) -> None:
        self.bytes -= self._slot(self.start)[1]
        self._ring[self.start % self._capacity] = None
        self.start += 1
        if len(self._runs) > 1 and self._runs[1] <= self.start:
            self._runs.popleft()

    def __getitem__(self, position: int) -> Snapshot:
        """Return what is kept at a position.

        Raises:
            IndexError: it is not kept any more, or there is none yet.
        """
        return self._slot(position)[0]

    def _slot(self, position: int) -> tuple[Snapshot, int]:
        slot = self._ring[position % self._capacity] if self.start <= position < self.end else None
        if slot is None:
            raise IndexError(position)
        return slot

    def ago(self, seconds: float) -> float:
        """Return the time, in Unix seconds, that was so many before the newest snapshot's."""
        return (self[self.end - 1].time if self.end else 0.0) - seconds

    def after(self, time: float) -> int:
        """Return the position from which on all are newer than ``time``, in Unix seconds."""
        end = self.end
        for begin in reversed(self._runs):
            first = max(begin, self.start)
            found = bisect_right(range(first, end), time, key=lambda at: self[at].time)
            if found:
                return first + found
            end = first
        return self.start

    def begin(self, time: float, ticks: int) -> int:
        """Return where to begin in order to see all windows of ``ticks`` that end after ``time``.

        Those that ended before may be among them, and one that has not ended yet.
        """
        position = self.after(time)
        if ticks > 1 and position == self.end > self.start:
            position -= 1
        return self.window(position, ticks)

    def window(self, position: int, ticks: int) -> int:
        """Return where the window of ``ticks`` that holds ``position`` begins.

        Where its beginning is not kept any more, that is where the next window begins; at
        the end there is nothing yet, and so nothing before it.
        """
        if position >= self.end:
            return self.end
        number = self[position].tick // ticks
        first = self._first(position, number, ticks)
        if first == self.start > 0 and self[first].tick % ticks:
            return self._next(position, number, ticks)
        return first

    def newest_window(self, ticks: int) -> int:
        """Return where to begin in order to see the newest window of ``ticks`` that is over.

        That is where it begins itself, or else the one that is being filled.
        """
        first = self.window(self.end - 1, ticks) if self.end else 0
        if ticks > 1 and first > self.start:
            first = self.window(first - 1, ticks)
        return first

    def _first(self, position: int, number: int, ticks: int) -> int:
        """Return the first of the snapshots before ``position`` that are all of its window."""
        for begin in reversed(self._runs):
            if begin > position:
                continue
            first = max(begin, self.start)
            found = bisect_left(range(first, position), number * ticks, key=self._tick_at)
            position = first + found
            if found or position == self.start or self._tick_at(position - 1) // ticks != number:
                break
        return position

    def _next(self, position: int, number: int, ticks: int) -> int:
        """Return the first of the snapshots after ``position`` that is not of its window."""
        while position < self.end and self._tick_at(position) // ticks == number:
            run = next((begin for begin in self._runs if begin > position), self.end)
            found = bisect_left(range(position, run), (number + 1) * ticks, key=self._tick_at)
            position += found
        return position

    def _tick_at(self, position: int) -> int:
        return self[position].tick
