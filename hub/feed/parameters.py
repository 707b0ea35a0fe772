"""The parameters of requests: what each means, what it may be, and how it is read.

One table both reads requests and describes itself, so that what is documented is what is done. A
value is checked by the same rule whether it comes as text or from the host's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from math import isfinite
from typing import Final, NoReturn, Protocol

from hub.devices import Selection, parse_devices
from hub.errors import InvalidValue
from hub.feed.catalog import Catalog
from hub.feed.view import Aggregate

__all__ = [
    "AGGREGATE", "COLUMNS", "DEVICES", "FEED", "FORMAT", "HISTORY", "INTERVAL", "LATEST",
    "MAX_INTERVAL", "METRICS", "PARTIAL", "SECONDS", "SEQ", "SINCE", "Parameter", "PastFormat",
]  # fmt: skip

MAX_INTERVAL: Final = 3600
"""Seconds that a view's interval may be at most."""

_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,17})?", re.ASCII)  # as many as a float has
_NANOSECOND: Final = Decimal("1e-9")
_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-5][0-9])",  # Python would take +00:99
    re.ASCII,
)


class PastFormat(StrEnum):
    """How an answer about the past is written."""

    COLUMNS = "columns"
    ROWS = "rows"
    CSV = "csv"


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

    def schema(self, catalog: Catalog) -> dict[str, object]:
        """Return the JSON Schema of its values."""
        ...

    def read(self, text: str, catalog: Catalog) -> object:
        """Return the value that a text stands for.

        Raises:
            InvalidValue: it breaks the parameter's rule.
            Refused: it asks for what is only in the authenticated feed.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Metrics:
    name: str
    description: str

    def schema(self, catalog: Catalog) -> dict[str, object]:
        return {
            "type": "array",
            "items": {"type": "string", "enum": list(catalog.names)},
            "minItems": 1,
            "default": list(catalog.default_metrics),
        }

    def read(self, text: str, catalog: Catalog) -> tuple[str, ...]:
        return catalog.choose(text.split(","))

    def check(self, value: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
        names = () if isinstance(value, str) else tuple(value)
        if not names:
            rule = f"a sequence of one or more of {', '.join(catalog.names)}"
            raise InvalidValue(self.name, rule, value)
        return catalog.choose(names)


@dataclass(frozen=True, slots=True)
class _Interval:
    """Seconds, as a whole number of ticks."""

    name: str
    description: str

    def schema(self, catalog: Catalog) -> dict[str, object]:
        base = int(catalog.interval) if catalog.interval.is_integer() else catalog.interval
        return {
            "type": "number",
            "minimum": base,
            "maximum": MAX_INTERVAL,
            "multipleOf": base,
            "default": base,
        }

    def read(self, text: str, catalog: Catalog) -> int:
        seconds = Decimal(text) if _DECIMAL.fullmatch(text) else Decimal(0)
        return self._ticks(seconds, catalog) or self._refuse(text, catalog)

    def check(self, value: float, catalog: Catalog) -> int:
        given: object = value
        numeric = isinstance(given, int | float) and not isinstance(given, bool)
        seconds = Decimal(str(value)) if numeric and isfinite(value) else Decimal(0)
        return self._ticks(seconds, catalog) or self._refuse(value, catalog)

    @staticmethod
    def _ticks(seconds: Decimal, catalog: Catalog) -> int:
        """Return how many ticks a time lasts, to the nanosecond; 0 if it is not a whole number."""
        if not 0 < seconds <= MAX_INTERVAL:
            return 0
        base = Decimal(str(catalog.interval))
        ticks = round(seconds / base)
        return ticks if abs(ticks * base - seconds) * 2 < _NANOSECOND else 0

    def _refuse(self, value: object, catalog: Catalog) -> NoReturn:
        base = f"{catalog.interval:g}"
        rule = f"a whole multiple of {base} seconds, from {base} to {MAX_INTERVAL}"
        raise InvalidValue(self.name, rule, value)


@dataclass(frozen=True, slots=True)
class _Seconds:
    """A stretch of the past."""

    name: str
    description: str
    default: int

    def schema(self, catalog: Catalog) -> dict[str, object]:
        kept = int(catalog.history)
        return {
            "type": "integer",
            "minimum": 0,
            "maximum": kept,
            "default": min(self.default, kept),
        }

    def read(self, text: str, catalog: Catalog) -> int:
        return self.check(int(text) if _WHOLE.fullmatch(text) else text, catalog)

    def check(self, value: object, catalog: Catalog) -> int:
        kept = int(catalog.history)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= kept:
            rule = f"a whole number of seconds from 0 to {kept}, which is what is kept"
            raise InvalidValue(self.name, rule, value)
        return value


@dataclass(frozen=True, slots=True)
class _Time:
    name: str
    description: str

    def schema(self, catalog: Catalog) -> dict[str, object]:  # noqa: ARG002 # as the others
        return {"type": "string", "format": "date-time"}

    def read(self, text: str, catalog: Catalog) -> float:  # noqa: ARG002 # as the others
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

    def schema(self, catalog: Catalog) -> dict[str, object]:  # noqa: ARG002 # as the others
        return {"type": "string", "enum": list(self.options), "default": next(iter(self.options))}

    def read(self, text: object, catalog: Catalog) -> object:  # noqa: ARG002 # as the others
        if not isinstance(text, str) or text not in self.options:
            raise InvalidValue(self.name, f"one of {', '.join(self.options)}", text)
        return self.options[text]


@dataclass(frozen=True, slots=True)
class _Switch(_Choice):
    """Yes or no; no is the default."""

    options: Mapping[str, object] = field(default_factory={"false": False, "true": True}.copy)

    def schema(self, catalog: Catalog) -> dict[str, object]:  # noqa: ARG002 # as the others
        return {"type": "boolean", "default": False}

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise InvalidValue(self.name, "True or False", value)
        return value


@dataclass(frozen=True, slots=True)
class _Devices:
    name: str
    description: str

    def schema(self, catalog: Catalog) -> dict[str, object]:
        families = "|".join(catalog.families_with_members)
        glob = {"type": "string", "pattern": rf"^({families}):!?[^!,\s][^,\s]{{0,40}}$"}
        return {"type": "array", "items": glob, "minItems": 1, "maxItems": 16}

    def read(self, text: str, catalog: Catalog) -> dict[str, Selection]:
        return parse_devices(self.name, text, catalog.families_with_members)

    def check(self, value: Iterable[str], catalog: Catalog) -> dict[str, Selection]:
        texts: tuple[object, ...] = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(one, str) for one in texts):
            raise InvalidValue(self.name, "a sequence of text", value)
        return self.read(",".join(map(str, texts)), catalog) if texts else {}


METRICS: Final = _Metrics(
    "metrics", "Which families, separated by commas; order and repetition make no difference."
)
INTERVAL: Final = _Interval(
    "interval", "Seconds between messages. Each message stands for the whole interval."
)
AGGREGATE: Final = _Choice(
    "aggregate",
    "How a longer interval is reduced. Of rates the mean is exact; the others are of single ticks.",
    {rule.value: rule for rule in Aggregate},
)
PARTIAL: Final = _Switch(
    "partial", "Send what could be measured: what failed is null, and 'errors' says why."
)
HISTORY: Final = _Seconds(
    "history", "Begin with the messages of that many past seconds, oldest first.", default=0
)
SINCE: Final = _Time(
    "since", "Begin with what came after this timestamp, as far as it is kept; not with 'history'."
)
SEQ: Final = _Switch(
    "seq", "Number the messages in 'seq': a step of more than one means that some were dropped."
)
DEVICES: Final = _Devices(
    "devices",
    "Which members of families to show, such as 'network:eth*,!docker*': each list of globs begins "
    "with its family; '!' excludes. The family's totals stay the same.",
)
SECONDS: Final = _Seconds("seconds", "How many of the past seconds to answer with.", default=300)

FORMAT: Final = _Choice(
    "format",
    "How the past is written: a list for each family, an object for each time, or CSV.",
    {form.value: form for form in PastFormat},
)

FEED: Final[tuple[Parameter, ...]] = (
    METRICS, INTERVAL, AGGREGATE, HISTORY, SINCE, PARTIAL, SEQ, DEVICES,
)  # fmt: skip
"""Parameters of the live feed, over WebSocket and as server-sent events."""

LATEST: Final[tuple[Parameter, ...]] = (METRICS, INTERVAL, AGGREGATE, PARTIAL, DEVICES)
"""Parameters of a request for the latest message."""

COLUMNS: Final[tuple[Parameter, ...]] = (SECONDS, METRICS, INTERVAL, AGGREGATE, DEVICES, FORMAT)
"""Parameters of a request for the past."""
