"""Turning what a collector returned into what a snapshot may have, or into failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import (
    MOST_MEMBERS,
    REST,
    DeviceDeltas,
    Failure,
    Incomplete,
    Reading,
)
from hub.sampling.value import Value, clean_names, plain_value

__all__ = ["member_reading", "members_reading", "reading_of"]


def reading_of(metric: Metric, raw: object) -> Reading:
    """Copy what a metric's collector returned, as a snapshot may have it.

    Raises:
        ValueError: it is not of the metric's kind, breaks its schema, or strict JSON cannot say it.
    """
    if metric.kind is Kind.RATE:
        return _deltas(raw)
    if metric.has_members and isinstance(raw, Mapping):
        names = clean_names(raw)
        read = {names[name]: _member(metric, one) for name, one in _first(raw)}
        return members_reading(read, left_out=len(raw) - len(read))
    value = plain_value(raw)
    metric.rule.check(value)
    return value


def member_reading(metric: Metric, raw: object) -> Value | Failure | None:
    """Copy what a member is worth; None if there is nothing to say of it."""
    return None if raw is None else _member(metric, raw)


def members_reading(read: Mapping[str, Value | Failure | None], *, left_out: int = 0) -> Reading:
    """Put together what was read of each member; ``left_out`` says how many were not even read.

    Only where all have failed has the family.
    """
    values = {name: one for name, one in read.items() if not isinstance(one, Failure)}
    failures = {name: one for name, one in read.items() if isinstance(one, Failure)}
    if failures and not values:
        name, failure = next(iter(failures.items()))
        return failure.of_member(name)
    if left_out:
        failures[REST] = Failure(f"{left_out} more than {MOST_MEMBERS} are left out")
    return Incomplete(values, failures) if failures else values


def _first(raw: Mapping[object, object]) -> Iterable[tuple[object, object]]:
    return list(raw.items())[:MOST_MEMBERS]


def _member(metric: Metric, raw: object) -> Value | Failure | None:
    try:
        value = None if raw is None else plain_value(raw, 1)
        metric.rule.check_member(value)
    except ValueError as error:
        return Failure.of(error)
    return value


def _deltas(raw: object) -> DeviceDeltas | Incomplete:
    value, failures = (raw.value, raw.failures) if isinstance(raw, Incomplete) else (raw, {})
    if not isinstance(value, DeviceDeltas):
        raise ValueError(f"a {type(raw).__name__} is not a DeviceDeltas")  # noqa: TRY004 # as the rest
    names = clean_names(dict.fromkeys([*value.devices, *failures]))
    named = _renamed(value, names)
    return Incomplete(named, {names[n]: one for n, one in failures.items()}) if failures else named


def _renamed(deltas: DeviceDeltas, names: Mapping[object, str]) -> DeviceDeltas:
    devices = {names[name]: delta for name, delta in deltas.devices.items()}
    usual = deltas.usual  # which stays the same object, as many snapshots keep it
    if usual is not None and any(name != clean for name, clean in names.items()):
        usual = frozenset(names[name] for name in usual if name in names)
    return replace(deltas, devices=devices, usual=usual)
