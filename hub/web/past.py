"""An answer about the past, in one of its formats and of a bounded size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import orjson

from hub.devices import USUAL
from hub.errors import InvalidValue
from hub.feed.history import History
from hub.feed.query import FeedQuery, PastFormat
from hub.feed.view import View
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.web.columns import encode_columns
from hub.web.rows import encode_csv, encode_rows

__all__ = ["MEDIA_TYPES", "MOST_BYTES", "check_size", "encode_past"]

MOST_BYTES: Final = 8 * 1024 * 1024
"""The size of an answer, at most."""

MEDIA_TYPES: Final = {
    PastFormat.COLUMNS: "application/json",
    PastFormat.ROWS: "application/json",
    PastFormat.CSV: "text/csv",
}

_Encode: TypeAlias = (
    "Callable[[History, View, Mapping[str, Metric], float], Iterator[bytes | None]]"
)

_ENCODERS: Final[Mapping[PastFormat, _Encode]] = {
    PastFormat.COLUMNS: encode_columns,
    PastFormat.ROWS: encode_rows,
    PastFormat.CSV: encode_csv,
}

_SAMPLES: Final = 4  # snapshots that are encoded to tell how large a row is: each may take a ms
_CAUTION: Final = 0.95  # of what would just fit, as other rows may be larger than those


def encode_past(
    history: History, query: FeedQuery, metrics: Mapping[str, Metric]
) -> Iterator[bytes | None]:
    """Encode what a query asks of the past, piece by piece; None is a pause.

    Raises:
        RuntimeError: it has become larger than it may be.
    """
    encode = _ENCODERS[query.format]
    return _bounded(encode(history, query.view, metrics, query.history))


def _bounded(pieces: Iterable[bytes | None]) -> Iterator[bytes | None]:
    size = 0
    for piece in pieces:
        size += len(piece or b"")
        if size > MOST_BYTES:
            raise RuntimeError(f"an answer has become larger than {MOST_BYTES} bytes")
        yield piece


def check_size(history: History, view: View, seconds: int) -> None:
    """Raise InvalidValue where an answer would become too large.

    How large a row is, is told by that of some snapshots, evenly spread.
    """
    first, end = history.begin(history.ago(seconds), view.ticks), history.end
    rows = math.ceil((end - first) / view.ticks)
    step = max(1, (end - first) // _SAMPLES)
    row = max((_row_size(history[at], view) for at in range(end - 1, first - 1, -step)), default=1)
    if rows * row > MOST_BYTES:
        reach = min(seconds, history.seconds)  # they may ask for more than there is
        fitting = math.floor(_CAUTION * reach * MOST_BYTES / (rows * row))
        rule = f"at most about {fitting} for these metrics, devices and this interval"
        raise InvalidValue("seconds", f"{rule}: an answer has at most {MOST_BYTES} bytes", seconds)


def _row_size(snapshot: Snapshot, view: View) -> int:
    selections = dict(view.devices)
    values = {n: snapshot.value(n, selections.get(n, USUAL)) for n in view.metrics}
    return len(orjson.dumps({"timestamp": snapshot.timestamp, **values}))
