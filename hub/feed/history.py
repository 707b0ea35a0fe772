"""The recent past: a bounded ring of snapshots."""

from __future__ import annotations

from hub.sampling.snapshot import Snapshot

__all__ = ["History"]


class History:
    """The newest snapshots, each addressed by its position: how many there ever were before it.

    Args:
        capacity: how many are kept, at least one.
    """

    def __init__(self, capacity: int) -> None:
        self.start = 0
        """The position of the oldest that is kept."""
        self.end = 0
        """The position that the next one will have."""
        self._capacity = capacity
        self._ring: list[Snapshot] = []

    def append(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, at the cost of the oldest where there is no more room."""
        if len(self._ring) < self._capacity:
            self._ring.append(snapshot)
        else:
            self._ring[self.end % self._capacity] = snapshot
            self.start += 1
        self.end += 1

    def __getitem__(self, position: int) -> Snapshot:
        """Return what is kept at a position.

        Raises:
            IndexError: it is not kept any more, or there is none yet.
        """
        if not self.start <= position < self.end:
            raise IndexError(position)
        return self._ring[position % self._capacity]

    def after(self, time: float) -> int:
        """Return the position from which on all are newer than ``time``, in Unix seconds."""
        position = self.end
        while position > self.start and self[position - 1].time > time:
            position -= 1
        return position

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
        while position > self.start and self[position - 1].tick // ticks == number:
            position -= 1
        if position == self.start > 0 and self[position].tick % ticks:
            while position < self.end and self[position].tick // ticks == number:
                position += 1
        return position
