"""What requests ask of the feed: query strings and Last-Event-ID."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Final
from urllib.parse import unquote_to_bytes, urlencode

from hub import InvalidValue, Metric
from hub.errors import RefusalReason, Refused
from hub.feed.catalog import Catalog
from hub.feed.query import (
    COLUMNS,
    FEED,
    LATEST,
    MAX_INTERVAL,
    FeedQuery,
    Parameter,
    build_query,
    parse,
)
from hub.feed.view import Aggregate, View
from hub.web.entry import _resumed
from tests.fuzz.target import CANARY, Target, check_line

__all__ = ["TARGETS"]

_ALL: Final = Catalog(
    tuple(
        Metric(name, lambda: 1, restricted=name == "processes")
        for name in ("cpu", "memory", "disk", "network", "processes")
    ),
    interval=1.0,
    history=3600.0,
)
_FAST: Final = Catalog((Metric("cpu", lambda: 1), Metric("load_1", lambda: 1)), 0.1, 0.5)
_WAYS: Final = ((FEED, _ALL.public()), (FEED, _ALL), (LATEST, _FAST), (COLUMNS, _ALL.public()))

_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?"
    r"(?:Z|([+-])(\d\d):([0-5]\d))",
    re.ASCII,
)
_EPOCH: Final = date(1970, 1, 1).toordinal()


def read_queries(data: bytes) -> None:
    for parameters, catalog in _WAYS:
        query = _parsed(data, parameters, catalog)
        if query is not None:
            _check_bounds(query, catalog)
            _check_meaning(query, _fields(data), parameters, catalog)
            _check_rewritten(query, parameters, catalog)
        if query is not None and parameters is FEED:
            _check_built(query, catalog)
        for secret in (f"token={CANARY}", f"{CANARY[:-1]}x={CANARY}"):
            joint = b"&" if data else b""
            assert _parsed(data + joint + secret.encode(), parameters, catalog) is None


def _parsed(data: bytes, parameters: Sequence[Parameter], catalog: Catalog) -> FeedQuery | None:
    """Return what a query asks for; None if it is refused, which is to be done properly."""
    try:
        return parse(data, parameters, catalog)
    except InvalidValue as error:
        check_line(str(error))
    except Refused as error:
        check_line(str(error))
        assert error.reason is RefusalReason.TOKEN
        assert catalog.withheld
    return None


def _check_bounds(query: FeedQuery, catalog: Catalog) -> None:
    metrics = query.view.metrics
    assert metrics
    assert metrics == tuple(name for name in catalog.names if name in metrics)
    assert not catalog.withheld.intersection(metrics)
    assert query.view.ticks >= 1
    assert Fraction(str(catalog.interval)) * query.view.ticks <= max(MAX_INTERVAL, catalog.interval)
    assert 0 <= query.history <= catalog.history
    assert query.since is None or (isfinite(query.since) and not query.history)


def _fields(data: bytes) -> dict[str, str]:
    """Read the fields of a query that has been accepted, in another way."""
    found: dict[str, list[str]] = {}
    for name, _, value in (part.partition(b"=") for part in data.split(b"&") if part):
        found.setdefault(_unquoted(name), []).append(_unquoted(value))
    assert all(len(values) == 1 for name, values in found.items() if name != "metrics")
    return {name: ",".join(values) for name, values in found.items()}


def _unquoted(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode()


def _check_meaning(
    query: FeedQuery, given: Mapping[str, str], parameters: Sequence[Parameter], catalog: Catalog
) -> None:
    """Check that what was asked for is what is meant, and what was left out has its default."""
    view = query.view
    assert given.keys() <= {parameter.name for parameter in parameters}
    chosen = given["metrics"].split(",") if "metrics" in given else catalog.default_metrics
    assert set(view.metrics) == set(chosen)
    base = Fraction(str(catalog.interval))
    seconds = Fraction(given["interval"]) if "interval" in given else base
    assert abs(base * view.ticks - seconds) < Fraction(1, 10**9)
    assert view.aggregate == (given.get("aggregate", "mean") if view.ticks > 1 else "mean")
    assert given.get("partial", "false") == str(view.partial).lower()
    assert given.get("seq", "false") == str(view.seq).lower()
    default = min(300, int(catalog.history)) if parameters is COLUMNS else 0
    assert query.history == int(given.get("seconds", given.get("history", default)))
    _check_since(query.since, given.get("since"))


def _check_since(since: float | None, text: str | None) -> None:
    assert (since is None) == (text is None)
    if since is not None and text is not None:
        meant = _instant(text.replace(" ", "+"))
        assert meant is not None
        assert abs(Fraction(since) - meant) < Fraction(1, 10_000)


def _instant(text: str) -> Fraction | None:
    """Return the Unix time of a timestamp (RFC 3339); None if it is none."""
    parts = _TIMESTAMP.fullmatch(text)
    if parts is None:
        return None
    year, month, day, hour, minute, second = map(int, parts.groups()[:6])
    offset = int(parts[9] or 0) * 60 + int(parts[10] or 0)
    if hour > 23 or offset >= 24 * 60:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    fraction = Fraction(f"0.{parts[7] or 0}")
    minutes = hour * 60 + minute - (-offset if parts[8] == "-" else offset)
    return fraction + days * 86400 + minutes * 60 + second


def _check_rewritten(query: FeedQuery, parameters: Sequence[Parameter], catalog: Catalog) -> None:
    """Check that a query says the same in its plainest form."""
    view = query.view
    words = {
        "metrics": ",".join(view.metrics),
        "interval": f"{Decimal(str(catalog.interval)) * view.ticks:f}",
        "aggregate": view.aggregate.value,
        "partial": str(view.partial).lower(),
        "seq": str(view.seq).lower(),
        **({"devices": ",".join(_devices(query))} if view.devices else {}),
        "seconds": str(query.history),
        "history": str(query.history),
        "format": query.format.value,
    }
    known = {parameter.name for parameter in parameters}
    kept = {name: text for name, text in words.items() if name in known}
    if query.since is not None:
        del kept["history"]
    again = parse(urlencode(kept).encode(), parameters, catalog)
    assert again.view == view
    assert again.history == query.history
    assert again.format == query.format


def _devices(query: FeedQuery) -> list[str]:
    """Return lists that choose the same members."""
    return [
        f"{family}:" + ",".join((*chosen.include, *(f"!{glob}" for glob in chosen.exclude)))
        for family, chosen in query.view.devices
    ]


def _check_built(query: FeedQuery, catalog: Catalog) -> None:
    """Check that the host's own code may ask for the same, by the same rules."""
    view = query.view
    built = build_query(
        catalog,
        metrics=view.metrics,
        interval=view.ticks * catalog.interval,
        aggregate=view.aggregate.value,
        history=query.history,
        partial=view.partial,
        seq=view.seq,
        devices=_devices(query),
    )
    assert built == FeedQuery(view, query.history)


_FIRST: Final = FeedQuery(View(("cpu",), 5, Aggregate.MAX), history=60)


def read_last_event_ids(data: bytes) -> None:
    scope = {"headers": [(b"host", b"localhost"), (b"last-event-id", data)]}
    try:
        query = _resumed(_FIRST, scope, _ALL.public())
    except InvalidValue as error:
        check_line(str(error))
        assert error.field == "Last-Event-ID"
        assert _instant(data.decode("latin-1")) is None
        return
    if not data:
        assert query is _FIRST
        return
    assert query == FeedQuery(_FIRST.view, since=query.since)
    _check_since(query.since, data.decode("latin-1"))
    assert query.since is not None
    with suppress(ValueError, OverflowError):  # such a year is not to be written
        own = datetime.fromtimestamp(query.since, UTC).isoformat(timespec="microseconds")
        scope = {"headers": [(b"last-event-id", own.encode())]}
        assert _resumed(_FIRST, scope, _ALL).since == query.since


TARGETS: Final = (
    Target(
        "query",
        read_queries,
        [
            *(b"metrics=", b"interval=", b"aggregate=", b"history=", b"since=", b"partial="),
            *(
                b"seq=",
                b"seconds=",
                b"cpu",
                b"memory",
                b"disk",
                b"network",
                b"processes",
                b"load_1",
            ),
            *(
                b"&",
                b"=",
                b",",
                b"%2C",
                b"%26",
                b"+",
                b"%ff",
                b"%",
                b";",
                b"#",
                b"%00",
                b"%e2%80%ae",
            ),
            *(b"1", b"0.1", b"0.3", b"3600", b"60", b"05.000000000", b"1e3", b"-1", b"NaN", b"1_0"),
            *(b"mean", b"min", b"max", b"last", b"true", b"false", b"token=secret"),
            *(b"2025-11-10T12:30:45.123456+00:00", b"2025-11-10T12:30:45Z", b"0001-01-01T00:00:00"),
            *(b"%2B14:00", b"+23:59", b"-23:59", b"+00:99", b"24:00:00", b"\xff"),
        ],
    ),
    Target(
        "last_event_id",
        read_last_event_ids,
        [
            *(b"2025-11-10T12:30:45.123456+00:00", b"2025-11-10T12:30:45", b"Z", b" 00:00", b"+"),
            *(b"0001-01-01T00:00:00", b"9999-12-31T23:59:59", b".999999999", b"24:00", b"-00:00"),
            *(b"+23:59", b"-23:59", b"+24:00", b"+00:99", b":60", b"-02-29T", b"\x85", b"\xb2"),
            CANARY[:4].encode(),
        ],
    ),
)
