"""Reducing the ticks of a longer interval to one, exactly.

A window is aligned to whole multiples of its interval on the wall clock, so that it is the same for
all clients that ask for it, live or later. Its values are kept up to date with every tick: ending a
window costs no more than adding to it, however long it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from hub.feed.view import Aggregate, View
from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import (
    MOST_MEMBERS,
    CounterDelta,
    DeviceDeltas,
    Failure,
    Incomplete,
    Reading,
    Snapshot,
)
from hub.sampling.value import Value

__all__ = ["Window"]

_T = TypeVar("_T")


class Window:
    """The window of a view that is being filled, from snapshots in their order.

    Of each metric it has what could be measured: a failure stands for the window only if there
    was nothing else.

    Args:
        view: says how long the window is and how it is reduced.
        metrics: the view's, by name.
    """

    def __init__(self, view: View, metrics: Mapping[str, Metric]) -> None:
        self._view = view
        self._metrics = metrics
        self._number: int | None = None  # of the window on the wall clock; None while it is empty
        self._last: Snapshot | None = None
        self._reductions: dict[str, _Reduction[Any]] = {}
        self._failures: dict[str, Failure] = {}
        # Of families that had others: why members had no value, by family and member.
        self._member_failures: dict[str, dict[str, Failure]] = {}

    @property
    def ticks(self) -> int:
        """How many ticks it is long."""
        return self._view.ticks

    def clear(self) -> None:
        """Forget what is in it."""
        self._number = self._last = None
        self._reductions = {}
        self._failures = {}
        self._member_failures = {}

    def add(self, snapshot: Snapshot) -> Sequence[Snapshot]:
        """Add one; return the windows that are over with it, each as a snapshot of its own.

        A window is over with its last tick. Where that was missed, it is over with the next tick
        there is, and has what came before.
        """
        ticks = self._view.ticks
        if ticks == 1:
            return (snapshot,)
        ended: list[Snapshot] = []
        number, tick = divmod(snapshot.tick, ticks)
        if number != self._number and self._last is not None:
            ended.append(self._end(self._last))
        self._number = number
        self._fill(snapshot)
        if tick == ticks - 1:
            ended.append(self._end(snapshot))
        return ended

    def so_far(self) -> Snapshot | None:
        """Return the window as if it were over now; None while there is nothing in it."""
        return None if self._last is None else self._reduced(self._last)

    def _fill(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        for name in self._view.metrics:
            reading = snapshot.readings.get(name)
            if isinstance(reading, Incomplete):
                self._member_failures.setdefault(name, {}).update(reading.failures)
                reading = reading.value
            if isinstance(reading, Failure):
                self._failures[name] = reading
            elif reading is not None:
                self._reduction(name).add(reading)

    def _reduction(self, name: str) -> _Reduction[Any]:
        found = self._reductions.get(name)
        if found is None:
            metric = self._metrics[name]
            found = self._reductions[name] = _reduction(metric, self._view.aggregate)
        return found

    def _end(self, last: Snapshot) -> Snapshot:
        reduced = self._reduced(last)
        self.clear()
        return reduced

    def _reduced(self, last: Snapshot) -> Snapshot:
        readings: dict[str, Reading] = {**self._failures}
        for name, reduction in self._reductions.items():
            value = _bounded(self._metrics[name], reduction.value())
            if value is not None:
                failures = _without(self._member_failures.get(name, {}), value)
                readings[name] = Incomplete(value, failures) if failures else value
        return replace(last, readings=readings)


def _bounded(metric: Metric, value: Value | DeviceDeltas | None) -> Value | DeviceDeltas | None:
    """Return a value with no more members than a family may have: each tick may have others."""
    if not metric.has_members or not isinstance(value, dict) or len(value) <= MOST_MEMBERS:
        return value
    return dict(islice(value.items(), MOST_MEMBERS))


def _without(failures: Mapping[str, Failure], value: Value | DeviceDeltas) -> dict[str, Failure]:
    """Return the failures of members that have no value at all."""
    present = value.devices if isinstance(value, DeviceDeltas) else value
    if not failures or not isinstance(present, Mapping):
        return {}
    return {name: failure for name, failure in failures.items() if name not in present}


class _Reduction(Protocol[_T]):
    """Many readings as one."""

    def add(self, reading: _T) -> None: ...

    def value(self) -> _T | None: ...


def _reduction(metric: Metric, rule: Aggregate) -> _Reduction[Any]:
    if metric.kind is Kind.LIST or rule is Aggregate.LAST:
        return _Last()
    if metric.kind is Kind.RATE:
        return _Sum() if rule is Aggregate.MEAN else _ExtremeRates(rule)
    return _Gauge(rule, metric.counts)


class _Sum:
    """What was gained over all of them."""

    __slots__ = ("_growth",)

    def __init__(self) -> None:
        self._growth: DeviceDeltas | None = None

    def add(self, reading: DeviceDeltas) -> None:
        self._growth = reading if self._growth is None else self._growth + reading

    def value(self) -> DeviceDeltas | None:
        return None if self._growth is None else self._growth.bounded()


class _ExtremeRates:
    """The lowest or the highest rates of single ticks, each rate by itself."""

    __slots__ = ("_choose", "_rates")

    def __init__(self, rule: Aggregate) -> None:
        self._choose = min if rule is Aggregate.MIN else max
        self._rates: DeviceDeltas | None = None  # what was gained in one second

    def add(self, reading: DeviceDeltas) -> None:
        if self._rates is None:
            self._rates = DeviceDeltas(reading.names, reading.group, _NOTHING, {}, reading.usual)
        devices = dict(self._rates.devices)
        for name, delta in reading.devices.items():
            devices[name] = self._extreme(devices.get(name, _NOTHING), delta)
        total = self._extreme(self._rates.total, reading.total)
        self._rates = replace(self._rates, total=total, devices=devices, usual=reading.usual)

    def _extreme(self, before: CounterDelta, delta: CounterDelta) -> CounterDelta:
        rates = delta.rates()
        if before is not _NOTHING:
            rates = list(map(self._choose, before.counts, rates))
        return CounterDelta(1.0, tuple(rates))

    def value(self) -> DeviceDeltas | None:
        return None if self._rates is None else self._rates.largest()


_NOTHING: Final = CounterDelta(1.0, ())


class _Last(Generic[_T]):
    """The last one, whatever it is."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: _T | None = None

    def add(self, reading: _T) -> None:
        self._value = reading

    def value(self) -> _T | None:
        return self._value


class _Gauge:
    """Numbers by the rule, lists and objects element by element, anything else the last.

    A value of another shape than the one before begins anew.
    """

    __slots__ = ("_counts", "_rule", "_shape", "_values")

    def __init__(self, rule: Aggregate, counts: frozenset[str] = frozenset()) -> None:
        self._rule = rule
        self._counts = counts  # members of which the last counts
        self._shape: type | None = None
        self._values: _Reduction[Any] = _Last()

    def add(self, reading: Value) -> None:
        shape = float if type(reading) is int else type(reading)
        if shape is not self._shape:
            self._shape = shape
            self._values = self._of(shape)
        self._values.add(reading)

    def value(self) -> Value | None:
        value: Value | None = self._values.value()
        return value

    def _of(self, shape: type) -> _Reduction[Any]:
        if shape is list:
            return _Elements(self._rule)
        if shape is dict:
            return _Members(self._rule, self._counts)
        if shape is not float:
            return _Last()
        return _Mean() if self._rule is Aggregate.MEAN else _Extreme(self._rule)


class _Mean:
    """The arithmetic mean; whole numbers are added up exactly and keep a whole mean whole."""

    __slots__ = ("_count", "_mean", "_total")

    def __init__(self) -> None:
        self._count = 0
        self._total: int | None = 0
        self._mean = 0.0

    def add(self, reading: int | float) -> None:
        self._count += 1
        if self._total is not None and isinstance(reading, int):
            self._total += reading
            return
        if self._total is not None:
            self._mean = self._total / max(1, self._count - 1)
            self._total = None
        # In this form no sum of large numbers can overflow.
        self._mean += reading / self._count - self._mean / self._count

    def value(self) -> int | float:
        if self._total is None:
            return self._mean
        whole, rest = divmod(self._total, self._count)
        return self._total / self._count if rest else whole


class _Extreme:
    """The least or the greatest."""

    __slots__ = ("_choose", "_value")

    def __init__(self, rule: Aggregate) -> None:
        self._choose = min if rule is Aggregate.MIN else max
        self._value: int | float | None = None

    def add(self, reading: int | float) -> None:
        self._value = reading if self._value is None else self._choose(self._value, reading)

    def value(self) -> int | float | None:
        return self._value


class _Elements:
    """Lists, element by element, as long as the longest."""

    __slots__ = ("_elements", "_rule")

    def __init__(self, rule: Aggregate) -> None:
        self._rule = rule
        self._elements: list[_Gauge] = []

    def add(self, reading: list[Value | None]) -> None:
        missing = len(reading) - len(self._elements)
        self._elements.extend(_Gauge(self._rule) for _ in range(missing))
        for element, value in zip(self._elements, reading, strict=False):
            if value is not None:
                element.add(value)

    def value(self) -> list[Value | None]:
        return [element.value() for element in self._elements]


class _Members:
    """Objects, member by member, with all that any of them had; of ``counts`` the last."""

    __slots__ = ("_counts", "_members", "_rule")

    def __init__(self, rule: Aggregate, counts: frozenset[str]) -> None:
        self._rule = rule
        self._counts = counts
        self._members: dict[str, _Reduction[Any]] = {}

    def add(self, reading: dict[str, Value | None]) -> None:
        for key, value in reading.items():
            member = self._members.get(key)
            if member is None:
                member = _Last() if key in self._counts else _Gauge(self._rule)
                self._members[key] = member
            if value is not None:
                member.add(value)

    def value(self) -> dict[str, Value | None]:
        return {key: member.value() for key, member in self._members.items()}
