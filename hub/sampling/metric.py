"""What a metric family is, and what it may be worth.

A metric is collected by a plain function, called in a thread of the collector's. It may raise,
return nonsense or hang: that is one failed reading, and touches no other metric.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Final

from hub.errors import InvalidValue
from hub.sampling.snapshot import DeviceDeltas
from hub.sampling.value import Precision, Value

__all__ = ["Kind", "Metric", "plain_value", "reading_of"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_DEPTH: Final = 64  # orjson would go to 254
_RESERVED: Final = frozenset({"error", "errors", "seq", "timestamp"})


class Kind(Enum):
    """What a metric's values are, and so how those of a longer interval become one."""

    GAUGE = "gauge"
    """A state: reduced to its mean, least, greatest or last value, as the client wishes.
    Lists and objects are reduced element by element; what is no number is the last."""
    RATE = "rate"
    """A ``DeviceDeltas``: becomes the exact rate over the whole interval."""
    LIST = "list"
    """Something to be seen as a whole: the last one stands for the interval."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of numbers.

    Attributes:
        name: the key in every message: a lower-case word of letters, digits and underscores,
            at most 64 long, and none of ``error``, ``errors``, ``seq``, ``timestamp``.
        collect: returns the current value, as what JSON can say (see ``Value``). Called at most
            once a tick, in a thread of the collector's. One hub never calls it or ``prime`` while
            an earlier call still runs, not even after the hub was stopped and started again.
        prime: for metrics that measure since the previous call: called once, a tick before the
            first ``collect`` and again after every pause, so that no first value is meaningless.
        kind: how a longer interval of it is reduced.
        always: sample it at every tick, whether or not a client asks, so that the history has it.
        restricted: it is only for clients with a token, and so not in the public feed.
        background: it takes long: collect it in a thread of its own, beside the tick, and let a
            snapshot have the newest value that is finished.
        precision: how its numbers are rounded when they are sent; by default they are not.
        description: what it says and in which unit, for the machine-readable contract.
        schema: JSON Schema of its values, for the same; an empty one allows any.

    Raises:
        InvalidValue: the name breaks its rule.
    """

    name: str
    collect: Callable[[], object]
    prime: Callable[[], object] | None = None
    kind: Kind = Kind.GAUGE
    _: KW_ONLY
    always: bool = False
    restricted: bool = False
    background: bool = False
    precision: Precision | None = None
    description: str = ""
    schema: Mapping[str, object] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidValue("metric name", "a lower-case word (a-z, 0-9, _)", self.name)
        if self.name in _RESERVED:
            raise InvalidValue("metric name", "no word of the message format", self.name)


def reading_of(metric: Metric, raw: object) -> Value | DeviceDeltas:
    """Copy what a metric's collector returned, as a snapshot may have it.

    Raises:
        ValueError: it is not of the metric's kind, or strict JSON cannot say it.
    """
    if metric.kind is not Kind.RATE:
        return plain_value(raw)
    if not isinstance(raw, DeviceDeltas):
        raise ValueError(f"a {type(raw).__name__} is not a DeviceDeltas")  # noqa: TRY004 # as the rest
    devices = {_key(name): gain for name, gain in raw.devices.items()}
    return DeviceDeltas(raw.names, raw.group, raw.total, devices)


def plain_value(raw: object, depth: int = 0) -> Value:
    """Copy what a collector returned as plain JSON values, so that encoding it cannot fail.

    Numbers of other libraries become ``int`` and ``float``; text is made encodable. ``depth``
    is how many containers the value lies in.

    Raises:
        ValueError: there is no value, or one that strict JSON cannot say.
    """
    if depth > _DEPTH:
        raise ValueError(f"nested more than {_DEPTH} deep")
    match raw:
        case None:
            raise ValueError("no value")
        case bool():
            return raw
        case str():
            return raw.encode("utf-8", "replace").decode()
        case numbers.Integral():
            return _whole(int(raw))
        case numbers.Real():
            return _finite(float(raw))
        case Mapping():
            return {_key(key): _nullable(item, depth) for key, item in raw.items()}
        case list() | tuple():
            return [_nullable(item, depth) for item in raw]
    raise ValueError(f"a {type(raw).__name__} is not a JSON value")


def _nullable(raw: object, depth: int) -> Value | None:
    return None if raw is None else plain_value(raw, depth + 1)


def _key(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"a {type(raw).__name__} is not a JSON key")  # noqa: TRY004 # as the rest
    return raw.encode("utf-8", "replace").decode()


def _whole(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    return number


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number
