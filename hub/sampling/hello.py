"""How a process that samples for other programs introduces itself, and what it tells of itself.

Both are JSON objects, for the two ends are different programs, perhaps of different versions:

    HELLO     {"v": 1, "e": EPOCH, "interval": SECONDS, "families": [NAME, …]}
    STANDING  {"ticks": COUNT, "missed": COUNT, "lateness": D, "duration": D,
               "failures": {FAMILY: COUNT}, "failure": TEXT}
              where D is {"bounds": [SECONDS, …], "counts": [COUNT, …], "total": SECONDS}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from hub.histogram import Distribution
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.wire import VERSION

__all__ = [
    "Hello", "Standing", "UnfitSampler", "read_hello", "read_standing", "write_hello",
    "write_standing",
]  # fmt: skip

_MOST_FAMILIES: Final = 4096

_T = TypeVar("_T")


class UnfitSampler(ValueError):
    """The process that samples is no match for a hub; the text says why in one line."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What is to be known of a process that samples, before all else.

    Attributes:
        epoch: names the run of its sampler.
        interval: seconds between snapshots.
        families: the names of those that it offers.
    """

    epoch: str
    interval: float
    families: frozenset[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sampler does.

    Attributes:
        statistics: what it has done.
        failure: why there are no new samples, in a few words; "" if there are.
    """

    statistics: SamplerStatistics
    failure: str


def write_hello(hello: Hello) -> bytes:
    """Write what ``read_hello`` reads back."""
    return orjson.dumps(
        {
            "v": VERSION,
            "e": hello.epoch,
            "interval": hello.interval,
            "families": sorted(hello.families),
        }
    )


def read_hello(data: bytes) -> Hello:
    """Read what ``write_hello`` has written.

    Raises:
        UnfitSampler: it is something else, or of another version.
    """
    raw = _object(data)
    version = raw.get("v")
    if type(version) is not int or version != VERSION:
        text = f"it speaks version {version!r:.20}, and this hub version {VERSION}"
        raise UnfitSampler(text)
    return _checked(lambda: _hello(raw))


def _hello(raw: Mapping[str, Any]) -> Hello:
    names = raw["families"]
    if not isinstance(names, list) or len(names) > _MOST_FAMILIES:
        raise TypeError
    families = frozenset(_of_type(name, str) for name in names)
    return Hello(_of_type(raw["e"], str), _seconds(raw["interval"]), families)


def write_standing(standing: Standing) -> bytes:
    """Write what ``read_standing`` reads back."""
    statistics = standing.statistics
    return orjson.dumps(
        {
            "ticks": statistics.ticks,
            "missed": statistics.missed,
            "lateness": _distribution(statistics.lateness),
            "duration": _distribution(statistics.duration),
            "failures": dict(statistics.failures),
            "failure": standing.failure,
        }
    )


def _distribution(one: Distribution) -> dict[str, object]:
    return {"bounds": one.bounds, "counts": one.counts, "total": one.total}


def read_standing(data: bytes) -> Standing:
    """Read what ``write_standing`` has written.

    Raises:
        UnfitSampler: it is something else.
    """
    raw = _object(data)
    return _checked(lambda: _standing(raw))


def _standing(raw: Mapping[str, Any]) -> Standing:
    failures = _of_type(raw["failures"], dict)
    statistics = SamplerStatistics(
        ticks=_count(raw["ticks"]),
        missed=_count(raw["missed"]),
        lateness=_read_distribution(raw["lateness"]),
        duration=_read_distribution(raw["duration"]),
        failures={name: _count(count) for name, count in failures.items()},
    )
    return Standing(statistics, _of_type(raw["failure"], str))


def _read_distribution(raw: Any) -> Distribution:  # noqa: ANN401 # of another program
    bounds = tuple(float(_number(one)) for one in _of_type(raw["bounds"], list))
    counts = tuple(map(_count, _of_type(raw["counts"], list)))
    if len(counts) != len(bounds) + 1:
        raise ValueError
    return Distribution(bounds, counts, float(_number(raw["total"])))


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise UnfitSampler("what it says of itself is no JSON") from None
    if not isinstance(raw, dict):
        raise UnfitSampler("what it says of itself is no JSON object")
    return raw


def _checked(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except (KeyError, TypeError, ValueError):
        text = f"what it says of itself is not as version {VERSION} has it"
        raise UnfitSampler(text) from None


def _of_type(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise TypeError
    return value


def _number(value: object) -> float:
    if type(value) is not int and type(value) is not float:
        raise TypeError
    return value


def _seconds(value: object) -> float:
    number = float(_number(value))
    if not 0 < number < math.inf:
        raise ValueError
    return number


def _count(value: object) -> int:
    number = _of_type(value, int)
    if number < 0:
        raise ValueError
    return number
