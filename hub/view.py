"""What a client asked for, and how a snapshot becomes its message."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import orjson

from hub.errors import InvalidValue
from hub.frame import Frame
from hub.snapshot import Failure, Reading, Snapshot, one_line

__all__ = ["DEFAULT_METRICS", "View"]

DEFAULT_METRICS: Final = ("cpu", "memory", "disk")

_ERROR_LENGTH: Final = 200
_QUERY_FIELDS: Final = 100


@dataclass(frozen=True, slots=True)
class View:
    """A choice of metrics. Equal views are encoded once, however many subscribers they have.

    Attributes:
        metrics: the names chosen, in the order in which the hub knows them, each once.
    """

    metrics: tuple[str, ...]

    @classmethod
    def of(cls, chosen: Iterable[str], known: Collection[str]) -> View:
        """Make the one view of a choice, in whatever order and however often its names come.

        Raises:
            InvalidValue: a name is not known, or there is none.
        """
        wanted = set(chosen)
        unknown = sorted(wanted.difference(known))
        if unknown or not wanted:
            bad = unknown[0] if unknown else ""
            raise InvalidValue("metrics", f"one or more of {', '.join(known)}", bad)
        return cls(tuple(name for name in known if name in wanted))

    @classmethod
    def parse(cls, query: bytes, known: Collection[str]) -> View:
        """Read a request's query string; an empty one asks for the default view.

        Raises:
            InvalidValue: a parameter is unknown or its value breaks its rule; ``field`` is the
                parameter's name.
        """
        chosen: list[str] = []
        for name, value in _query_fields(query):
            if name != "metrics":
                raise InvalidValue(name, "left out (the parameter known is: metrics)", value)
            chosen += value.split(",")
        return cls.of(chosen or DEFAULT_METRICS, known)

    def encode(self, snapshot: Snapshot) -> Frame | None:
        """Encode this view's message: the values, or else one error that names what failed.

        Returns None where the snapshot has no reading of a chosen metric yet.
        """
        readings = {name: snapshot.readings.get(name) for name in self.metrics}
        if None in readings.values():
            return None
        body = _error(readings) or readings
        return Frame(orjson.dumps({**body, "timestamp": snapshot.timestamp}))


def _query_fields(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS
        )
    except ValueError:
        raise InvalidValue("query", "URL-encoded name=value pairs", query) from None


def _error(readings: dict[str, Reading | None]) -> dict[str, str] | None:
    failed = [f"{name}: {r.cause}" for name, r in readings.items() if isinstance(r, Failure)]
    if not failed:
        return None
    return {"error": one_line(f"Metric collection failed: {'; '.join(failed)}", _ERROR_LENGTH)}
