"""Makes families of figures, as OpenMetrics has them, out of plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric

from hub.histogram import Distribution

__all__ = ["counters", "gauges", "histogram"]


def gauges(name: str, text: str, label: str, values: Mapping[str, float], unit: str = "") -> Metric:
    """Make a family of states, one for each value of a label; the name gets the unit."""
    family = GaugeMetricFamily(name, text, labels=[label], unit=unit)
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def counters(
    name: str, text: str, label: str, values: Mapping[str, float], unit: str = ""
) -> Metric:
    """Make a family of totals, one for each value of a label; the name gets unit and total."""
    family = CounterMetricFamily(name, text, labels=[label], unit=unit)
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def histogram(name: str, text: str, values: Mapping[str, Distribution], label: str = "") -> Metric:
    """Make a histogram of seconds; the library wants its buckets to be cumulative."""
    family = HistogramMetricFamily(name, text, labels=[label] if label else [], unit="seconds")
    for key, found in values.items():
        reached = 0
        buckets = []
        for bound, count in zip((*found.bounds, math.inf), found.counts, strict=True):
            reached += count
            buckets.append((_bound(bound), float(reached)))
        family.add_metric([key] if label else [], buckets, found.total)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == math.inf else str(bound)
