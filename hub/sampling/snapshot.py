"""The frozen result of one tick: a value, the growth of counters, or a failure, by metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from hub.sampling.value import Precision, Value
from hub.text import one_line

__all__ = ["CounterDelta", "DeviceDeltas", "Failure", "Reading", "Snapshot"]

_CAUSE_LENGTH: Final = 200
_NONE: Final[Mapping[str, Precision]] = MappingProxyType({})


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


@dataclass(frozen=True, slots=True)
class CounterDelta:
    """The growth of some counters, none negative, within ``seconds``, which are above 0."""

    seconds: float
    counts: tuple[int, ...]

    def __add__(self, later: CounterDelta) -> CounterDelta:
        counts = (a + b for a, b in zip(self.counts, later.counts, strict=True))
        return CounterDelta(self.seconds + later.seconds, tuple(counts))

    def rates(self) -> list[float]:
        """Return each counter's growth per second."""
        return [count / self.seconds for count in self.counts]


@dataclass(frozen=True, slots=True)
class DeviceDeltas:
    """The growth of many devices' counters since they were last read.

    Those of successive ticks add up to that of all of them together, so that a rate over any
    number of ticks is exact. A device counts for as long as it was there.

    Attributes:
        names: of the rates that the counters make, such as ``sent_bytes_per_second``.
        group: the key under which the rates of each device stand, such as ``interfaces``.
        total: the machine's growth.
        devices: each device's growth. One that has just appeared, or whose counters went back,
            has none in this tick.
    """

    names: tuple[str, ...]
    group: str
    total: CounterDelta
    devices: Mapping[str, CounterDelta]

    def __add__(self, later: DeviceDeltas) -> DeviceDeltas:
        devices = dict(self.devices)
        for name, delta in later.devices.items():
            devices[name] = devices[name] + delta if name in devices else delta
        return DeviceDeltas(self.names, self.group, self.total + later.total, devices)

    def rates(self) -> Value:
        """Return all rates, per second: the machine's, and under ``group`` those by device."""
        by_device: dict[str, Value | None] = {n: self._named(d) for n, d in self.devices.items()}
        return {**self._named(self.total), self.group: by_device}

    def _named(self, delta: CounterDelta) -> dict[str, Value | None]:
        return dict(zip(self.names, delta.rates(), strict=True))


Reading: TypeAlias = "Value | DeviceDeltas | Failure"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one tick found.

    Attributes:
        tick: which tick it is, counted in whole intervals since the Unix epoch. One more from
            tick to tick; a longer step means that some were missed, or that the clock was set.
        number: the first tick's at first, and from then on one more from tick to tick and one
            more for each that was missed, whatever the clock is set to: it never goes back.
        time: when the sample was taken, in seconds since the Unix epoch, to the microsecond.
        readings: by metric name. A metric that was not in demand, or that has only just come
            into demand and needs a tick to warm up, is absent.
        precisions: of those metrics that have one, by name; one mapping for many snapshots.
    """

    tick: int
    number: int
    time: float
    readings: Mapping[str, Reading]
    precisions: Mapping[str, Precision] = field(
        default_factory=lambda: _NONE, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        # So that the timestamp, read back, is the very same number.
        object.__setattr__(self, "time", round(self.time, 6))

    @property
    def timestamp(self) -> str:
        """The sample's time as RFC 3339 in UTC, always with six fractional digits."""
        return datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds")

    @property
    def failures(self) -> dict[str, Failure]:
        """Only the readings that failed."""
        return {name: r for name, r in self.readings.items() if isinstance(r, Failure)}

    def window_number(self, ticks: int) -> int:
        """Return the number of the window of so many ticks that this snapshot falls into.

        Windows are aligned on the wall clock; of their numbers, those by which the clock was set
        are taken off. So while the clock is not set, each window has one more than that before
        it; at the moment when it is set, the number may also stay or go back by one. A window of
        one tick has the snapshot's own ``number``.
        """
        set_by = self.tick - self.number
        return self.tick // ticks - set_by // ticks

    def value(self, name: str) -> Value | None:
        """Return what a metric is worth as JSON has it, rounded; None where it has no value."""
        reading = self.readings.get(name)
        if reading is None or isinstance(reading, Failure):
            return None
        value = reading.rates() if isinstance(reading, DeviceDeltas) else reading
        precision = self.precisions.get(name)
        return value if precision is None else precision.round(value)
