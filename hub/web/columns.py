"""The past in columns, ready to plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import orjson

from hub.devices import USUAL, Selection
from hub.feed.history import History
from hub.feed.replay import collect, reduce_windows
from hub.feed.view import View
from hub.feed.window import Window
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Value

__all__ = ["encode_columns"]

_ROWS: Final = 32  # encoded at one go


def encode_columns(
    history: History, view: View, metrics: Mapping[str, Metric], seconds: float
) -> Iterator[bytes | None]:
    """Encode one column after the other, some rows at a time, and keep no more than these.

    However many clients ask, and however slowly they read, what was reduced for them is not held.
    """
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
