"""Which views the page asks for, so that the hub always has room for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from hub.devices import Selection
from hub.feed.catalog import Catalog
from hub.feed.view import View

__all__ = ["page_views"]

# As in static/page.js and static/lists.js.
_NOT_SHOWN: Final = frozenset({"memory_bytes"})
_ON_DEMAND: Final = "temperatures"
_PROCESSES: Final = "processes"
_ALL: Final = Selection(include=("*",))

# As in static/charts.js.
_CHOOSABLE: Final = ("disk_io", "network")


def page_views(catalog: Catalog) -> Iterator[View]:
    """Iterate over the views of the page: with the usual devices and with all.

    Each is of the base interval: for its longer ranges the page folds messages into buckets, and
    asks for the past of those, which takes no view.

    Args:
        catalog: what may be asked for; with a token also restricted families, of which the page
            shows the processes.
    """
    shown = tuple(
        metric.name
        for metric in catalog.metrics
        if metric.name not in _NOT_SHOWN and (not metric.restricted or metric.name == _PROCESSES)
    )
    resting = tuple(name for name in shown if name != _ON_DEMAND)
    selections: tuple[Mapping[str, Selection], ...] = ({}, dict.fromkeys(_CHOOSABLE, _ALL))
    for names, chosen in itertools.product((resting, shown), selections):
        yield View(names, partial=True, devices=catalog.select(names, chosen))
