"""Which views the page asks for, so that the hub always has room for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Final

from hub.devices import Selection
from hub.feed.catalog import Catalog
from hub.feed.view import View

__all__ = ["page_views"]

# As in static/page.js.
_RANGES: Final = (60, 600, 3600)
_POINTS: Final = 720
_NOT_SHOWN: Final = frozenset({"memory_bytes"})
_ON_DEMAND: Final = "temperatures"
_PROCESSES: Final = "processes"
_ALL: Final = Selection(include=("*",))

# As in static/charts.js.
_CHOOSABLE: Final = ("disk_io", "network")


def page_views(catalog: Catalog) -> Iterator[View]:
    """Iterate over the views of the page: of its ranges, with the usual devices and with all.

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
    for seconds, names, chosen in itertools.product(_RANGES, (resting, shown), selections):
        ticks = max(1, math.ceil(seconds / _POINTS / catalog.interval))
        yield View(names, ticks, partial=True, devices=catalog.select(names, chosen))
