"""How busy processors were between two looks at the times that they have counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["ProcessorMeter"]


class ProcessorMeter:
    """Turns the times that processors have counted into the share of it that they were busy.

    What was counted before belongs to the meter, whichever thread reads it; psutil's own
    ``cpu_percent`` keeps it for each thread.

    Args:
        read: returns what each processor has counted, as psutil's ``cpu_times`` does.
    """

    def __init__(self, read: Callable[[], Sequence[Any]]) -> None:
        self._read = read
        self._before: Sequence[Any] = ()  # of the last reading that succeeded

    def prime(self) -> None:
        """Take a first reading."""
        self._before = self._read()

    def collect(self) -> list[float]:
        """Return each processor's busy share since the last reading, in percent.

        Raises:
            RuntimeError: there are more processors, or fewer, than there were.
        """
        before, self._before = self._before, self._read()
        if len(before) != len(self._before):
            raise RuntimeError("the number of processors has changed")
        return [_busy(a, b) for a, b in zip(before, self._before, strict=True)]


def _busy(before: Any, after: Any) -> float:  # noqa: ANN401 # a named tuple of the platform's
    """Return the share of time that was neither idle nor spent waiting for a disk.

    A virtual machine's guests are counted as user time already. A counter that went back, as
    iowait does, counts as still.
    """
    spent = {name: max(0.0, getattr(after, name) - getattr(before, name)) for name in after._fields}
    total = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
    idle = spent["idle"] + spent.get("iowait", 0.0)
    return min(100.0, max(0.0, 100.0 * (total - idle) / total)) if total > 0 else 0.0
