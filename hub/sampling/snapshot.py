"""The frozen result of one tick: a value, the growth of counters, or a failure, by metric."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from sys import getsizeof
from types import MappingProxyType
from typing import Final, TypeAlias

from hub.devices import USUAL, Selection
from hub.sampling.value import Rounding, Value
from hub.text import one_line

__all__ = [
    "MOST_MEMBERS", "REST", "CounterDelta", "DeviceDeltas", "Failure", "Incomplete", "Reading",
    "Snapshot",
]  # fmt: skip

MOST_MEMBERS: Final = 64
"""How many members a family has at most."""

REST: Final = "other"
"""Stands for the members that there is no room for."""

_CAUSE_LENGTH: Final = 200
_PSUTIL: Final = "/psutil/"
_CONFUSED: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
_NONE: Final[Mapping[str, Rounding]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a metric has no value in a tick: one line of printable, encodable text."""

    cause: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe what a collector raised, in the words of the system where it has any."""
        name = type(error).__name__
        try:
            text = _of_system(error) or _of_psutil(error) or str(error)
        except Exception:  # an exception that cannot even say what it is
            return cls(name)
        return cls(one_line(text, _CAUSE_LENGTH) or name)

    def of_member(self, name: str) -> Failure:
        """Return the same as the failure of the family that the member of that name belongs to."""
        return Failure(one_line(f"{name}: {self.cause}", _CAUSE_LENGTH))


def _of_system(error: BaseException) -> str:
    """Return what the operating system said, and of which file."""
    if not isinstance(error, OSError) or not error.strerror:
        return ""
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


def _of_psutil(error: BaseException) -> str:
    """Return which of psutil's functions could make nothing of what the system said."""
    if not isinstance(error, _CONFUSED):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame.name for frame in frames if _PSUTIL in frame.filename.replace("\\", "/")]
    if not inside or _PSUTIL not in frames[-1].filename.replace("\\", "/"):
        return ""
    kind = type(error).__name__
    return f"psutil's {inside[0]} can make nothing of what the system says ({kind})"


@dataclass(frozen=True, slots=True)
class CounterDelta:
    """The growth of some counters, none negative, within ``seconds``, which are above 0.

    A counter grows by whole numbers; of a rate that was chosen among several, by that in a second.
    """

    seconds: float
    counts: tuple[float, ...]

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
        usual: the devices that are shown unless others are chosen; None is all of them.
    """

    names: tuple[str, ...]
    group: str
    total: CounterDelta
    devices: Mapping[str, CounterDelta]
    usual: frozenset[str] | None = None

    def __add__(self, later: DeviceDeltas) -> DeviceDeltas:
        devices = dict(self.devices)
        for name, delta in later.devices.items():
            devices[name] = devices[name] + delta if name in devices else delta
        total = self.total + later.total
        return DeviceDeltas(self.names, self.group, total, devices, later.usual)

    def bounded(self) -> DeviceDeltas:
        """Return the same with no more devices than a family may have.

        Where some were without a place, each device's growth is taken over all the time: in the
        ticks in which it had none, it is part of the rest's. So all of them add up.
        """
        if REST not in self.devices and len(self.devices) <= MOST_MEMBERS:
            return self
        shown = self._ranked()[: MOST_MEMBERS - 1]
        rest = [self.devices[name].counts for name in self.devices.keys() - set(shown)]
        counts = {name: self.devices[name].counts for name in shown}
        counts[REST] = tuple(map(sum, zip(*rest, strict=True)))
        seconds = self.total.seconds
        devices = {name: CounterDelta(seconds, one) for name, one in counts.items()}
        return replace(self, devices=devices)

    def largest(self) -> DeviceDeltas:
        """Return the same with no more devices than a family may have; others are left out."""
        if len(self.devices) <= MOST_MEMBERS:
            return self
        shown = {*self._ranked()[: MOST_MEMBERS - 1], REST}
        devices = {name: delta for name, delta in self.devices.items() if name in shown}
        return replace(self, devices=devices)

    def _ranked(self) -> list[str]:
        return sorted(self.devices.keys() - {REST}, key=self._rank)

    def _rank(self, name: str) -> tuple[bool, float, str]:
        is_usual = self.usual is None or name in self.usual
        return not is_usual, -sum(self.devices[name].counts), name

    def rates(self, selection: Selection = USUAL) -> Value:
        """Return rates per second: the machine's, and under ``group`` those of devices chosen."""
        usual = self.devices if self.usual is None else self.usual
        by_device: dict[str, Value | None] = {
            name: self._named(delta)
            for name, delta in self.devices.items()
            if selection.shows(name, usual=name in usual)
        }
        return {**self._named(self.total), self.group: by_device}

    def _named(self, delta: CounterDelta) -> dict[str, Value | None]:
        return dict(zip(self.names, delta.rates(), strict=True))


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A family of which some members could not be read.

    Attributes:
        value: what the others are worth.
        failures: why the members have no value, by their names; at least one.
    """

    value: Value | DeviceDeltas
    failures: Mapping[str, Failure]


Reading: TypeAlias = "Value | DeviceDeltas | Incomplete | Failure"


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
        resting: metrics of which only a part was read, as no client asked for them.
    """

    tick: int
    number: int
    time: float
    readings: Mapping[str, Reading]
    precisions: Mapping[str, Rounding] = field(
        default_factory=lambda: _NONE, compare=False, repr=False
    )
    resting: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # So that the timestamp, read back, is the very same number.
        object.__setattr__(self, "time", round(self.time, 6))

    @property
    def timestamp(self) -> str:
        """The sample's time as RFC 3339 in UTC, always with six fractional digits."""
        return datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds")

    @property
    def failures(self) -> dict[str, Failure]:
        """What failed: families by their names, members as in ``disks//home``."""
        found: dict[str, Failure] = {}
        for name, reading in self.readings.items():
            if isinstance(reading, Failure):
                found[name] = reading
            elif isinstance(reading, Incomplete):
                found.update((f"{name}/{one}", why) for one, why in reading.failures.items())
        return found

    def window_number(self, ticks: int) -> int:
        """Return the number of the window of so many ticks that this snapshot falls into.

        Windows are aligned on the wall clock; of their numbers, those by which the clock was set
        are taken off. So while the clock is not set, each window has one more than that before
        it; at the moment when it is set, the number may also stay or go back by one. A window of
        one tick has the snapshot's own ``number``.
        """
        set_by = self.tick - self.number
        return self.tick // ticks - set_by // ticks

    def value(self, name: str, selection: Selection = USUAL) -> Value | None:
        """Return what a metric is worth as JSON has it, rounded; None where it has no value.

        Of its members it has those that are chosen.
        """
        reading = self.readings.get(name)
        if isinstance(reading, Incomplete):
            reading = reading.value
        if reading is None or isinstance(reading, Failure):
            return None
        if isinstance(reading, DeviceDeltas):
            value = reading.rates(selection)
        elif isinstance(reading, dict) and selection is not USUAL:
            value = {key: one for key, one in reading.items() if selection.shows(key)}
        else:
            value = reading
        precision = self.precisions.get(name)
        return value if precision is None else precision.round(value)

    def sharing(self, before: Snapshot) -> Snapshot:
        """Return the same, in which what has not changed since are the other's very objects."""
        old = before.readings
        readings = {
            name: old[name] if _is_same(old.get(name), reading) else reading
            for name, reading in self.readings.items()
        }
        return replace(self, readings=readings)

    def size(self, beside: Snapshot | None = None) -> int:
        """Return how many bytes it takes in memory, about; ``beside`` one that shares some."""
        shared = {id(reading) for reading in beside.readings.values()} if beside else set()
        own = (reading for reading in self.readings.values() if id(reading) not in shared)
        return _FIXED_SIZE + getsizeof(self.readings) + sum(map(_size, own))


def _is_same(one: object, other: object) -> bool:
    """Say whether two readings would be sent alike: 1, 1.0 and True would not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one == other


_FIXED_SIZE: Final = 300  # the snapshot, its numbers and its place in the history
_NUMBER: Final = 32  # a whole number


def _size(reading: object) -> int:
    """Return the size of a reading, but for texts that many share, such as names."""
    size = getsizeof(reading)
    if isinstance(reading, float | int):  # as most are
        return size
    if isinstance(reading, dict):
        return size + sum(map(_size, reading.values()))
    if isinstance(reading, list | tuple):
        return size + sum(map(_size, reading))
    if isinstance(reading, DeviceDeltas):
        # There may be very many devices. Idle ones have one growth in common, and of each growth
        # all numbers count the same.
        total, devices = reading.total, reading.devices
        growth = getsizeof(total) + getsizeof(total.counts) + _NUMBER * len(total.counts)
        return size + getsizeof(devices) + growth * (1 + len(set(map(id, devices.values()))))
    if isinstance(reading, Incomplete):
        return size + _size(reading.value) + _size(reading.failures)
    return size + getsizeof(reading.cause) if isinstance(reading, Failure) else size
