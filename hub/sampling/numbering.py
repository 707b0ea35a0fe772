"""The numbers of snapshots that several runs of a sampler have taken, one after another."""

from __future__ import annotations

from dataclasses import replace

from hub.sampling.snapshot import Snapshot
from hub.sampling.wire import Parcel

__all__ = ["Numbering"]


class Numbering:
    """Lets each snapshot pass once, with a number above all before it.

    A sampler takes its first number from the time of day, so that those of a later run are higher
    by themselves, and all who listen have the same. Where they are not, because the clock was set
    back, all numbers of that run are raised.
    """

    def __init__(self) -> None:
        self._epoch = ""  # names the run of the last snapshot
        self._raised = 0  # by how much the numbers of that run are
        self._last: int | None = None  # the last snapshot's number, as it was passed on

    def take(self, parcel: Parcel) -> Snapshot | None:
        """Return a snapshot as it is to be passed on; None where there is one of its number."""
        snapshot, last = parcel.snapshot, self._last
        if parcel.epoch != self._epoch:
            # The first of a new run may be of the very tick that the old one ended with.
            if snapshot.number == last:
                return None
            self._epoch, self._raised = parcel.epoch, 0
            if last is not None and snapshot.number < last:
                self._raised = last + 1 - snapshot.number
        number = snapshot.number + self._raised
        if last is not None and number <= last:
            return None
        self._last = number
        return replace(snapshot, number=number) if self._raised else snapshot
