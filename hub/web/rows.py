"""The past in rows, one for each time: as JSON, or as text for spreadsheets (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping

import orjson

from hub.devices import USUAL
from hub.feed.history import History
from hub.feed.replay import collect, reduce_windows
from hub.feed.view import View
from hub.feed.window import Window
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.sampling.value import Value

__all__ = ["encode_csv", "encode_rows"]


def encode_rows(
    history: History, view: View, metrics: Mapping[str, Metric], seconds: float
) -> Iterator[bytes | None]:
    """Encode one object after the other; what could not be measured is null."""
    opening = b"["
    for row in _rows(history, view, metrics, seconds):
        if row is None:
            yield None
            continue
        yield opening + orjson.dumps(row)
        opening = b","
    yield b"]" if opening == b"," else b"[]"


def encode_csv(
    history: History, view: View, metrics: Mapping[str, Metric], seconds: float
) -> Iterator[bytes | None]:
    """Encode a head and a line for each time; what could not be measured is empty.

    Members have columns of their own, named as in ``disks./home`` and ``load.0``. The past is read
    twice, for only at its end are all of them known.
    """
    names: dict[str, None] = {}
    for row in _rows(history, view, metrics, seconds):
        names.update(dict.fromkeys(_flat(row or {})))
        yield None
    with_members = {name.partition(".")[0] for name in names if "." in name}
    head = [name for name in names if name not in with_members]  # as it has where it is null
    yield _line(head or ("timestamp", *view.metrics))
    for row in _rows(history, view, metrics, seconds):
        if row is not None:
            flat = _flat(row)
            yield _line(flat.get(name) for name in head)
        yield None


def _rows(
    history: History, view: View, metrics: Mapping[str, Metric], seconds: float
) -> Iterator[dict[str, Value | None] | None]:
    after = history.ago(seconds)
    past = yield from collect(history, view.ticks, after)
    for ended in reduce_windows(past, Window(view, metrics), after):
        yield None if ended is None else _row(ended, view)


def _row(snapshot: Snapshot, view: View) -> dict[str, Value | None]:
    selections = dict(view.devices)
    values = {n: snapshot.value(n, selections.get(n, USUAL)) for n in view.metrics}
    return {"timestamp": snapshot.timestamp, **values}


def _flat(row: Mapping[str, Value | None], prefix: str = "") -> dict[str, object]:
    """Return the plain values of a row and of all objects and lists in it."""
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, list):
            places = {str(place): one for place, one in enumerate(value)}
            flat.update(_flat(places, f"{prefix}{name}."))
        elif isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(map(_cell, values))
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
