"""The past in columns, ready to plot, as one answer of a bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import orjson

from hub.devices import USUAL, Selection
from hub.errors import InvalidValue
from hub.feed.history import History
from hub.feed.replay import collect, reduce_windows
from hub.feed.view import View
from hub.feed.window import Window
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Value

__all__ = ["MOST_BYTES", "check_size", "encode_columns"]

MOST_BYTES: Final = 8 * 1024 * 1024
"""The size of an answer, at most."""

_ROWS: Final = 32  # encoded at one go
_SAMPLES: Final = 16  # snapshots that are encoded to tell how large a row is


def check_size(history: History, view: View, seconds: int) -> None:
    """Raise InvalidValue where an answer would become too large.

    How large a row is, is told by that of some snapshots, evenly spread.
    """
    first, end = history.begin(history.ago(seconds), view.ticks), history.end
    rows = math.ceil((end - first) / view.ticks)
    step = max(1, (end - first) // _SAMPLES)
    row = max((_row_size(history[at], view) for at in range(end - 1, first - 1, -step)), default=1)
    if rows * row > MOST_BYTES:
        fitting = math.floor(seconds * MOST_BYTES / (rows * row))
        rule = f"at most about {fitting}, or else fewer metrics or devices, or a longer interval"
        raise InvalidValue("seconds", f"{rule}: an answer has at most {MOST_BYTES} bytes", seconds)


def _row_size(snapshot: Snapshot, view: View) -> int:
    selections = dict(view.devices)
    values = [snapshot.value(name, selections.get(name, USUAL)) for name in view.metrics]
    return len(orjson.dumps([snapshot.timestamp, *values]))


def encode_columns(
    history: History, view: View, metrics: Mapping[str, Metric], seconds: float
) -> Iterator[bytes | None]:
    """Encode one column after the other, some rows at a time, and keep no more than these.

    However many clients ask, and however slowly they read, what was reduced for them is not held.
    """
    yield from _bounded(_encode_each(history, view, metrics, seconds))


def _bounded(pieces: Iterable[bytes | None]) -> Iterator[bytes | None]:
    """Pass pieces on, as far as they are no more than an answer may be."""
    size = 0
    for piece in pieces:
        size += len(piece or b"")
        if size > MOST_BYTES:
            raise RuntimeError(f"an answer has become larger than {MOST_BYTES} bytes")
        yield piece


def _encode_each(
    history: History, view: View, metrics: Mapping[str, Metric], seconds: float
) -> Iterator[bytes | None]:
    after = history.ago(seconds)
    past = yield from collect(history, view.ticks, after)
    opening = b"{"
    for name in ("timestamp", *view.metrics):
        yield b'%b"%b":[' % (opening, name.encode())
        shown = (name,) if name in view.metrics else ()
        window = Window(replace(view, metrics=shown), metrics)
        selection = dict(view.devices).get(name, USUAL)
        yield from _encode_column(reduce_windows(past, window, after), name, selection)
        opening = b"],"
    yield b"]}"


def _encode_column(
    rows: Iterable[Snapshot | None], name: str, selection: Selection
) -> Iterator[bytes | None]:
    values: list[Value | None] = []
    comma = b""
    for row in rows:
        if row is not None:
            values.append(row.timestamp if name == "timestamp" else row.value(name, selection))
        if len(values) == _ROWS:
            yield comma + orjson.dumps(values)[1:-1]
            comma = b","
            values.clear()
        yield None
    if values:
        yield comma + orjson.dumps(values)[1:-1]
