"""What a request asks of the feed, as text or in values of the host's own code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from hub.errors import SECRET, InvalidValue, UnknownParameter
from hub.feed.catalog import RESTRICTED_FEED_PATH, Catalog
from hub.feed.parameters import (
    AGGREGATE,
    COLUMNS,
    DEVICES,
    FEED,
    HISTORY,
    INTERVAL,
    LATEST,
    MAX_INTERVAL,
    METRICS,
    PARTIAL,
    SECONDS,
    SEQ,
    Parameter,
    PastFormat,
)
from hub.feed.view import Aggregate, View

__all__ = [
    "COLUMNS", "FEED", "FEED_PATH", "LATEST", "MAX_INTERVAL", "RESTRICTED_FEED_PATH", "FeedQuery",
    "Parameter", "PastFormat", "build_query", "parse", "read",
]  # fmt: skip

FEED_PATH: Final = "/api/system/metrics"

_QUERY_FIELDS: Final = 100
_REPEATABLE: Final = frozenset({METRICS.name, DEVICES.name})


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """What a client has asked for: a view, and where in time to begin.

    Attributes:
        view: what to see.
        history: seconds of the past to see first.
        since: the time, in Unix seconds, after which to begin; excludes ``history``.
        format: how an answer about the past is written.
    """

    view: View
    history: int = 0
    since: float | None = None
    format: PastFormat = PastFormat.COLUMNS


def parse(query: bytes, parameters: Sequence[Parameter], catalog: Catalog) -> FeedQuery:
    """Read a request's query string; what it leaves out has its default.

    Raises:
        InvalidValue: a parameter is unknown, is repeated, or its value breaks its rule; ``field``
            is the parameter's name.
        Refused: a family is only in the authenticated feed.
    """
    given: dict[str, str] = {}
    for name, text in _fields(query):
        if name in given and name not in _REPEATABLE:
            is_known = any(parameter.name == name for parameter in parameters)
            raise InvalidValue(name, "given once", text if is_known else SECRET)
        given[name] = f"{given[name]},{text}" if name in given else text
    return read(given, parameters, catalog)


def read(given: Mapping[str, str], parameters: Sequence[Parameter], catalog: Catalog) -> FeedQuery:
    """Read a query from the texts of its parameters. Raises as ``parse`` does."""
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            raise UnknownParameter(name, known)
        values[name] = known[name].read(text, catalog)
    if "since" in values and "history" in values:
        raise InvalidValue("since", "left out where history is given", given["since"])
    metrics = values.get("metrics") or catalog.choose(())
    view = View(
        metrics=metrics,
        ticks=values.get("interval", 1),
        aggregate=values.get("aggregate", Aggregate.MEAN),
        partial=values.get("partial", False),
        seq=values.get("seq", False),
        devices=catalog.select(metrics, values.get("devices")),
    )
    past = values.get("format", PastFormat.COLUMNS)
    return FeedQuery(view, _stretch(values, known, catalog), values.get("since"), past)


def build_query(
    catalog: Catalog,
    *,
    metrics: Iterable[str],
    interval: float | None,
    aggregate: str,
    history: int,
    partial: bool,
    seq: bool,
    devices: Iterable[str],
) -> FeedQuery:
    """Make a query from values of the host's own code, by the same rules as from text.

    Raises:
        InvalidValue: a value breaks its rule.
    """
    chosen = METRICS.check(metrics, catalog)
    view = View(
        metrics=chosen,
        ticks=1 if interval is None else INTERVAL.check(interval, catalog),
        aggregate=Aggregate(str(AGGREGATE.read(aggregate, catalog))),
        partial=PARTIAL.check(partial),
        seq=SEQ.check(seq),
        devices=catalog.select(chosen, DEVICES.check(devices, catalog)),
    )
    return FeedQuery(view, HISTORY.check(history, catalog))


def _stretch(values: Mapping[str, Any], known: Collection[str], catalog: Catalog) -> int:
    """Return how many seconds of the past are wanted, under whichever name it goes."""
    parameter = SECONDS if SECONDS.name in known else HISTORY
    seconds: int = values.get(parameter.name, min(parameter.default, int(catalog.history)))
    return seconds


def _fields(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS
        )
    except ValueError:
        raise InvalidValue("query", "URL-encoded name=value pairs", SECRET) from None
