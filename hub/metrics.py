"""The metric families: what each is called and how it is collected.

A collector is a plain function, called in the sampler's thread. It may raise, return nonsense or
hang: that is one failed reading, and nobody else's concern.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import psutil

from hub.errors import InvalidValue
from hub.settings import Settings
from hub.snapshot import Value

__all__ = ["Metric", "plain_value", "standard_metrics"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_DEPTH: Final = 64  # orjson would go to 254
_RESERVED: Final = frozenset({"error", "errors", "seq", "timestamp"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of numbers.

    Attributes:
        name: the key in every message: a lower-case word of letters, digits and underscores,
            at most 64 long, and none of ``error``, ``errors``, ``seq``, ``timestamp``.
        collect: returns the current value, as what JSON can say (see ``Value``). Called at most
            once a tick, in the sampler's thread, never while an earlier call still runs.
        prime: for metrics that measure since the previous call: called once, a tick before the
            first ``collect`` and again after every pause, so that no first value is meaningless.

    Raises:
        InvalidValue: the name breaks its rule.
    """

    name: str
    collect: Callable[[], object]
    prime: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidValue("metric name", "a lower-case word (a-z, 0-9, _)", self.name)
        if self.name in _RESERVED:
            raise InvalidValue("metric name", "no word of the message format", self.name)


def standard_metrics(settings: Settings) -> tuple[Metric, ...]:
    """Return the families that every hub offers, in the order of their keys in a message.

    All are percentages. ``disk`` is used space as a share of what unprivileged users can have,
    as ``df`` prints it. ``cpu`` is the whole machine's mean since the previous call in the same
    thread (psutil keeps the baseline per thread).
    """
    cpu = partial(psutil.cpu_percent, interval=None)
    return (
        Metric("cpu", cpu, prime=cpu),
        Metric("memory", lambda: psutil.virtual_memory().percent),
        Metric("disk", lambda: psutil.disk_usage(settings.disk_path).percent),
    )


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
