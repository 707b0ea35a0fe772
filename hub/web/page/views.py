"""Which views the page asks for, so that the hub always has room for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from hub.feed.catalog import Catalog
from hub.feed.view import View

__all__ = ["page_views"]

# As in static/page.js.
_RANGES: Final = (60, 600, 3600)
_POINTS: Final = 720
_NOT_SHOWN: Final = frozenset({"memory_bytes", "temperatures"})
_PROCESSES: Final = "processes"


def page_views(catalog: Catalog) -> Iterator[View]:
    """Iterate over the views of the page's ranges.

    Args:
        catalog: what may be asked for; with a token also restricted families, of which the page
            shows the processes.
    """
    shown = tuple(
        metric.name
        for metric in catalog.metrics
        if metric.name not in _NOT_SHOWN and (not metric.restricted or metric.name == _PROCESSES)
    )
    for seconds in _RANGES:
        ticks = max(1, math.ceil(seconds / _POINTS / catalog.interval))
        yield View(shown, ticks, partial=True, devices=catalog.select(shown))
