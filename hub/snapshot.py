"""The frozen result of one tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

__all__ = ["Failure", "Reading", "Snapshot", "Value", "one_line"]

_CAUSE_LENGTH: Final = 200

Value: TypeAlias = "bool | int | float | str | list[Value | None] | dict[str, Value | None]"
"""What a metric may be worth: anything that strict JSON can say, but not null by itself."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a metric has no value in a tick: one line of printable, encodable text."""

    cause: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe what a collector raised, in the words of the system where it has any."""
        name = type(error).__name__
        try:
            text = str((isinstance(error, OSError) and error.strerror) or error)
        except Exception:  # an exception that cannot even say what it is
            return cls(name)
        return cls(one_line(text, _CAUSE_LENGTH) or name)


Reading: TypeAlias = "Value | Failure"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one tick found.

    Attributes:
        sequence: counts the snapshots of one source, from 1.
        time: when the sample was taken, in seconds since the Unix epoch.
        readings: a value or a failure by metric name. A metric that nobody asked for, or that
            has only just been asked for and needs a tick to warm up, is absent.
    """

    sequence: int
    time: float
    readings: Mapping[str, Reading]

    @property
    def timestamp(self) -> str:
        """The sample's time as RFC 3339 in UTC, always with six fractional digits."""
        return datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds")

    @property
    def failures(self) -> dict[str, Failure]:
        """Only the readings that failed."""
        return {name: r for name, r in self.readings.items() if isinstance(r, Failure)}


def one_line(text: str, length: int) -> str:
    """Make text fit for a log and a terminal: one line of at most ``length`` characters.

    White space is folded; what cannot be printed, such as control characters and lone
    surrogates, becomes ``?``.
    """
    start = text[: 10 * length]
    printable = "".join(c if c.isprintable() or c.isspace() else "?" for c in start)
    folded = " ".join(printable.split())
    return folded if len(folded) <= length else f"{folded[: length - 1]}…"
