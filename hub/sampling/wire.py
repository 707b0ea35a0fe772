"""The form in which a snapshot travels from the process that samples to those that serve.

One JSON object, exact: whole numbers stay whole, floats read back are the very same, and no number
is NaN or infinite. It has a version, and of another one nothing is guessed.

    {"v": 1, "e": EPOCH, "n": NUMBER, "tick": TICK, "time": SECONDS,
     "r": {FAMILY: VALUE},                      what was read
     "g": {FAMILY: {"names": [RATE, …], "group": KEY, "total": [SECONDS, COUNT, …],
                    "devices": {DEVICE: [SECONDS, COUNT, …]}, "usual": [DEVICE, …] or null}},
     "f": {FAMILY: CAUSE},                      families that could not be read
     "m": {FAMILY: {MEMBER: CAUSE}},            members of those in "r" and "g" that could not
     "rest": [FAMILY, …]}                       families of which only a part was read
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from hub.sampling.snapshot import (
    CounterDelta,
    DeviceDeltas,
    Failure,
    Incomplete,
    Reading,
    Snapshot,
)  # fmt: skip
from hub.sampling.value import Rounding

__all__ = [
    "VERSION", "Parcel", "SnapshotReader", "UnreadableDemand", "UnreadableSnapshot", "read_demand",
    "write_demand", "write_snapshot",
]  # fmt: skip

VERSION: Final = 1

_MOST: Final = 2**63
"""Whole numbers beyond it cannot be written; no counter grows by so much, but a broken one may."""

_T = TypeVar("_T")


class UnreadableSnapshot(ValueError):
    """What came is no snapshot in a form that this version knows; the text says why in one line."""


class UnreadableDemand(ValueError):
    """What came is no list of names."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A snapshot on its way.

    Attributes:
        epoch: names the run of the sampler that took it: numbers are compared within one.
        snapshot: what was sampled.
    """

    epoch: str
    snapshot: Snapshot


def write_snapshot(parcel: Parcel) -> bytes:
    """Write a snapshot; ``SnapshotReader`` reads it back as it was."""
    values: dict[str, object] = {}
    growths: dict[str, object] = {}
    failures: dict[str, str] = {}
    members: dict[str, dict[str, str]] = {}
    snapshot = parcel.snapshot
    for name, reading in snapshot.readings.items():
        if isinstance(reading, Failure):
            failures[name] = reading.cause
            continue
        if isinstance(reading, Incomplete):
            members[name] = {one: why.cause for one, why in reading.failures.items()}
            reading = reading.value  # noqa: PLW2901 # which is a reading too
        if isinstance(reading, DeviceDeltas):
            growths[name] = _growth(reading)
        else:
            values[name] = reading
    return orjson.dumps(
        {
            "v": VERSION, "e": parcel.epoch, "n": snapshot.number,
            "tick": snapshot.tick, "time": snapshot.time,
            "r": values, "g": growths, "f": failures, "m": members,
            "rest": sorted(snapshot.resting),
        }
    )  # fmt: skip


def _growth(deltas: DeviceDeltas) -> dict[str, object]:
    return {
        "names": deltas.names,
        "group": deltas.group,
        "total": _delta(deltas.total),
        "devices": {name: _delta(delta) for name, delta in deltas.devices.items()},
        "usual": None if deltas.usual is None else sorted(deltas.usual),
    }


def _delta(delta: CounterDelta) -> tuple[float, ...]:
    return (delta.seconds, *(one if one < _MOST else float(one) for one in delta.counts))


def write_demand(names: Iterable[str]) -> bytes:
    """Write the names of the families that are wanted."""
    return orjson.dumps(sorted(names))


def read_demand(data: bytes) -> frozenset[str]:
    """Read what ``write_demand`` has written.

    Raises:
        UnreadableDemand: it is something else.
    """
    try:
        names = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableDemand(f"a demand that is no JSON: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UnreadableDemand("a demand that is no list of names")
    return frozenset(names)


class SnapshotReader:
    """Reads snapshots. What many of them have in common is one object in all of them.

    Args:
        precisions: returns how the families' values are rounded, by name.
    """

    def __init__(self, precisions: Callable[[], Mapping[str, Rounding]]) -> None:
        self._precisions = precisions
        # What the last snapshots have had: of each family the names of its rates, and its usual
        # devices; and those that rest.
        self._names: dict[str, tuple[str, ...]] = {}
        self._usual: dict[str, frozenset[str] | None] = {}
        self._resting: frozenset[str] = frozenset()

    def read(self, data: bytes) -> Parcel:
        """Read what ``write_snapshot`` has written.

        Raises:
            UnreadableSnapshot: it is something else, or of another version.
        """
        try:
            raw = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise UnreadableSnapshot(f"a snapshot that is no JSON: {error}") from None
        version = raw.get("v") if isinstance(raw, dict) else None
        if version != VERSION:
            text = f"a snapshot of version {version!r}: this hub reads {VERSION}"
            raise UnreadableSnapshot(text)
        try:
            return Parcel(str(raw["e"]), self._snapshot(raw))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            text = f"a snapshot that is not as version {VERSION} has it: {error!r}"
            raise UnreadableSnapshot(text) from None

    def _snapshot(self, raw: Mapping[str, Any]) -> Snapshot:
        readings: dict[str, Reading] = dict(raw["r"])
        for name, growth in raw["g"].items():
            readings[name] = self._deltas(name, growth)
        for name, causes in raw["m"].items():
            failures = {one: Failure(cause) for one, cause in causes.items()}
            value: Any = readings[name]
            readings[name] = Incomplete(value, failures)
        readings.update((name, Failure(cause)) for name, cause in raw["f"].items())
        resting = self._resting = _common(self._resting, frozenset(raw["rest"]))
        time = float(raw["time"])
        return Snapshot(
            int(raw["tick"]), int(raw["n"]), time, readings, self._precisions(), resting
        )

    def _deltas(self, family: str, raw: Mapping[str, Any]) -> DeviceDeltas:
        names = self._names[family] = _common(self._names.get(family), tuple(raw["names"]))
        given = raw["usual"]
        found = None if given is None else frozenset(given)
        usual = self._usual[family] = _common(self._usual.get(family), found)
        total = _read(raw["total"])
        idle = CounterDelta(total.seconds, (0,) * len(names))  # as most of very many devices are
        devices = {}
        for name, one in raw["devices"].items():
            delta = _read(one)
            devices[sys.intern(name)] = idle if delta == idle else delta
        return DeviceDeltas(names, sys.intern(raw["group"]), total, devices, usual)


def _common(known: _T | None, found: _T) -> _T:
    """Return what is known already where it is the same."""
    return known if known is not None and known == found else found


def _read(raw: list[float]) -> CounterDelta:
    seconds, *counts = raw
    return CounterDelta(seconds, tuple(counts))
