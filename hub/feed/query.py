"""What may be asked of a hub, and in which words.

One table of parameters both reads requests and describes itself, so that what is documented is
what is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from hub.errors import SECRET, InvalidValue
from hub.feed.catalog import Catalog
from hub.feed.view import DEFAULT_METRICS, Aggregate, View

__all__ = [
    "COLUMNS",
    "FEED",
    "FEED_PATH",
    "LATEST",
    "MAX_INTERVAL",
    "RESTRICTED_FEED_PATH",
    "FeedQuery",
    "Parameter",
    "parse",
    "read",
]

FEED_PATH: Final = "/api/system/metrics"
RESTRICTED_FEED_PATH: Final = "/api/system/ws"

MAX_INTERVAL: Final = 3600
"""Seconds that a view's interval may be at most."""

_QUERY_FIELDS: Final = 100
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """What somebody has asked for: a view, and where in time to begin.

    Attributes:
        view: what to see.
        history: seconds of the past to see first.
        since: the time, in Unix seconds, after which to begin; excludes ``history``.
    """

    view: View
    history: int = 0
    since: float | None = None


class Parameter(Protocol):
    """One parameter of a request: what it means, what it may be, and how it is read."""

    @property
    def name(self) -> str:
        """What it is called in a query."""
        ...

    @property
    def description(self) -> str:
        """What it does, in one sentence."""
        ...

    def schema(self, offer: Catalog) -> dict[str, object]:
        """Return the JSON Schema of its values."""
        ...

    def read(self, text: str, offer: Catalog) -> object:
        """Return the value that a text stands for.

        Raises:
            InvalidValue: it breaks the parameter's rule.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Metrics:
    name: str
    description: str

    def schema(self, offer: Catalog) -> dict[str, object]:
        return {
            "type": "array",
            "items": {"type": "string", "enum": list(offer.names)},
            "minItems": 1,
            "default": list(_default_metrics(offer)),
        }

    def read(self, text: str, offer: Catalog) -> tuple[str, ...]:
        names, wanted = offer.names, text.split(",")
        for name in wanted:
            if name not in names:
                raise InvalidValue(self.name, f"one or more of {', '.join(names)}", name)
        return tuple(name for name in names if name in wanted)


@dataclass(frozen=True, slots=True)
class _Interval:
    """Seconds, as a whole number of ticks."""

    name: str
    description: str

    def schema(self, offer: Catalog) -> dict[str, object]:
        base = int(offer.interval) if offer.interval.is_integer() else offer.interval
        return {
            "type": "number",
            "minimum": base,
            "maximum": MAX_INTERVAL,
            "multipleOf": base,
            "default": base,
        }

    def read(self, text: str, offer: Catalog) -> int:
        if _DECIMAL.fullmatch(text) and 0 < Decimal(text) <= MAX_INTERVAL:
            ticks, rest = divmod(Decimal(text), Decimal(str(offer.interval)))
            if ticks and not rest:
                return int(ticks)
        base = f"{offer.interval:g}"
        rule = f"a whole multiple of {base} seconds, from {base} to {MAX_INTERVAL}"
        raise InvalidValue(self.name, rule, text)


@dataclass(frozen=True, slots=True)
class _Seconds:
    """A stretch of the past."""

    name: str
    description: str
    default: int

    def schema(self, offer: Catalog) -> dict[str, object]:
        kept = int(offer.history)
        return {
            "type": "integer",
            "minimum": 0,
            "maximum": kept,
            "default": min(self.default, kept),
        }

    def read(self, text: str, offer: Catalog) -> int:
        kept = int(offer.history)
        if not _WHOLE.fullmatch(text) or int(text) > kept:
            rule = f"a whole number of seconds from 0 to {kept}, which is what is kept"
            raise InvalidValue(self.name, rule, text)
        return int(text)


@dataclass(frozen=True, slots=True)
class _Time:
    name: str
    description: str

    def schema(self, offer: Catalog) -> dict[str, object]:  # noqa: ARG002 # as the others
        return {"type": "string", "format": "date-time"}

    def read(self, text: str, offer: Catalog) -> float:  # noqa: ARG002 # as the others
        # An unescaped plus sign arrives as a blank.
        timestamp = text.replace(" ", "+")
        try:
            if _TIMESTAMP.fullmatch(timestamp):
                return datetime.fromisoformat(timestamp).timestamp()
        except ValueError:
            pass
        raise InvalidValue(self.name, "a timestamp as in the feed's messages", text)


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of a few words, each of which stands for a value; the first is the default."""

    name: str
    description: str
    options: Mapping[str, object]

    def schema(self, offer: Catalog) -> dict[str, object]:  # noqa: ARG002 # as the others
        return {"type": "string", "enum": list(self.options), "default": next(iter(self.options))}

    def read(self, text: str, offer: Catalog) -> object:  # noqa: ARG002 # as the others
        if text not in self.options:
            raise InvalidValue(self.name, f"one of {', '.join(self.options)}", text)
        return self.options[text]


@dataclass(frozen=True, slots=True)
class _Switch(_Choice):
    """Yes or no; no is the default."""

    options: Mapping[str, object] = field(default_factory={"false": False, "true": True}.copy)

    def schema(self, offer: Catalog) -> dict[str, object]:  # noqa: ARG002 # as the others
        return {"type": "boolean", "default": False}


_METRICS: Final = _Metrics(
    "metrics", "Which families, separated by commas; order and repetition make no difference."
)
_INTERVAL: Final = _Interval(
    "interval", "Seconds between messages, each of which then stands for the whole of them."
)
_AGGREGATE: Final = _Choice(
    "aggregate",
    "How gauges are reduced over a longer interval. Rates are always those of the whole interval.",
    {rule.value: rule for rule in Aggregate},
)
_PARTIAL: Final = _Switch(
    "partial", "Send what could be measured: what failed is null, and 'errors' says why."
)
_HISTORY: Final = _Seconds(
    "history", "Begin with the messages of that many past seconds, oldest first.", default=0
)
_SINCE: Final = _Time(
    "since", "Begin with what came after this timestamp, as far as it is kept; excludes 'history'."
)
_SEQ: Final = _Switch(
    "seq", "Number the messages in 'seq': a step of more than one means that some were dropped."
)
_SECONDS: Final = _Seconds("seconds", "How much of the past, in seconds.", default=300)

FEED: Final[tuple[Parameter, ...]] = (
    _METRICS, _INTERVAL, _AGGREGATE, _HISTORY, _SINCE, _PARTIAL, _SEQ,
)  # fmt: skip
"""Parameters of the live feed, over WebSocket and as server-sent events."""

LATEST: Final[tuple[Parameter, ...]] = (_METRICS, _INTERVAL, _AGGREGATE, _PARTIAL)
"""Parameters of a request for the latest message."""

COLUMNS: Final[tuple[Parameter, ...]] = (_SECONDS, _METRICS, _INTERVAL, _AGGREGATE)
"""Parameters of a request for the past in columns."""


def parse(query: bytes, parameters: Sequence[Parameter], offer: Catalog) -> FeedQuery:
    """Read a request's query string; what it leaves out has its default.

    Raises:
        InvalidValue: a parameter is unknown, is repeated, or its value breaks its rule; ``field``
            is the parameter's name.
    """
    given: dict[str, str] = {}
    for name, text in _fields(query):
        if name in given and name != _METRICS.name:
            raise InvalidValue(name, "given once", text)
        given[name] = f"{given[name]},{text}" if name in given else text
    return read(given, parameters, offer)


def read(given: Mapping[str, str], parameters: Sequence[Parameter], offer: Catalog) -> FeedQuery:
    """Read a request from the texts of its parameters. Raises as ``parse`` does."""
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            # It may be a token that somebody has put here.
            raise InvalidValue(name, f"left out (parameters are: {', '.join(known)})", SECRET)
        values[name] = known[name].read(text, offer)
    if "since" in values and "history" in values:
        raise InvalidValue("since", "left out where history is given", given["since"])
    view = View(
        metrics=values.get("metrics") or _default_metrics(offer),
        ticks=values.get("interval", 1),
        aggregate=values.get("aggregate", Aggregate.MEAN),
        partial=values.get("partial", False),
        seq=values.get("seq", False),
    )
    return FeedQuery(view, _stretch(values, known, offer), values.get("since"))


def _default_metrics(offer: Catalog) -> tuple[str, ...]:
    return tuple(name for name in offer.names if name in DEFAULT_METRICS) or offer.names


def _stretch(values: Mapping[str, Any], known: Mapping[str, object], offer: Catalog) -> int:
    """Return how many seconds of the past are wanted, under whichever name it goes."""
    parameter = _SECONDS if _SECONDS.name in known else _HISTORY
    seconds: int = values.get(parameter.name, min(parameter.default, int(offer.history)))
    return seconds


def _fields(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS
        )
    except ValueError:
        raise InvalidValue("query", "URL-encoded name=value pairs", query) from None
