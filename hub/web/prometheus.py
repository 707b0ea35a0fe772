"""The hub's own figures and the machine's gauges, as OpenMetrics.

Names are in base units and say so, counters end in ``_total``, and no label is a client's address.
A scrape reads what is there; it samples nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hub.access.admission import Admission, AdmissionStatistics, Transport
from hub.errors import CloseReason, RefusalReason
from hub.feed.hub import Hub
from hub.feed.statistics import HubStatistics
from hub.histogram import Distribution
from hub.sampling.sampler import SamplerStatistics
from hub.sampling.snapshot import Snapshot

__all__ = ["Telemetry"]

_VERSION: Final = re.compile(r"version=[0-9]{1,9}(\.[0-9]{1,9}){1,3}")

_PERCENTAGES: Final = {
    "cpu": "Processor time used, of all processors.",
    "memory": "Memory used.",
    "disk": "Space used on the file system of --disk-path.",
    "swap": "Swap space used.",
}


class Telemetry(Collector):
    """Reads a hub's figures whenever it is asked for them.

    Args:
        hub: whose figures they are.
        admission: knows of its clients, and of those that were not let in.
    """

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub = hub
        self._admission = admission

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all figures as text, and its media type, in the format that ``accept`` prefers.

        Formats whose version is no number are none that it prefers: the library fails on them.
        """
        formats = [one for one in accept.split(",") if _has_sound_version(one)]
        encode, media_type = choose_encoder(",".join(formats))
        return encode(self), media_type

    def collect(self) -> Iterator[Metric]:
        """Iterate over all figures as they are now."""
        statistics = self._hub.statistics()
        yield from _clients(self._admission.statistics(), statistics)
        yield from _frames(statistics)
        if statistics.sampler is not None:
            yield from _sampling(statistics.sampler)
        if statistics.age is not None:
            text = "Time since the newest sample was published."
            yield GaugeMetricFamily("hub_snapshot_age", text, statistics.age, unit="seconds")
        text = "Time by which the event loop is late."
        yield _histogram("hub_loop_lag", text, {"": statistics.lag})
        if self._hub.latest is not None:
            yield from _machine(self._hub.latest, self._hub.metrics)


def _has_sound_version(media_range: str) -> bool:
    _, *parameters = media_range.split(";")
    return all(_VERSION.fullmatch(one.strip()) for one in parameters if "version" in one)


def _clients(admission: AdmissionStatistics, hub: HubStatistics) -> Iterator[Metric]:
    here = sum(admission.clients.values())
    receivers: dict[str, float] = {"process": max(0, hub.subscribers - here)}
    receivers.update({name.value: count for name, count in admission.clients.items()})
    yield _gauges("hub_clients", "Receivers of the feed.", "transport", receivers)
    if admission.limit is not None:
        yield GaugeMetricFamily("hub_clients_limit", "How many there may be.", admission.limit)
    yield GaugeMetricFamily("hub_views", "Different views among them.", hub.views)
    refused = {reason.value: admission.refused.get(reason, 0) for reason in RefusalReason}
    text = "Requests and handshakes that were refused."
    yield _counters("hub_refused", text, "reason", refused)
    closed = {reason.value: hub.closed.get(reason, 0) for reason in CloseReason}
    text = "Receivers that the hub itself has sent away."
    yield _counters("hub_clients_closed", text, "reason", closed)
    text = "How long clients stayed."
    yield _histogram("hub_connection_duration", text, admission.durations, "transport")


def _frames(hub: HubStatistics) -> Iterator[Metric]:
    text = "Messages published to receivers, or replayed for them."
    yield CounterMetricFamily("hub_frames_offered", text, hub.offered)
    text = "Messages handed on to sockets and readers."
    yield CounterMetricFamily("hub_frames_delivered", text, hub.delivered)
    dropped = {
        "queue_full": hub.dropped - hub.expired,
        "overtaken": hub.expired,
        "abandoned": hub.abandoned,
    }
    text = "Messages given up: the queue was full, the history had moved on, the receiver left."
    yield _counters("hub_frames_dropped", text, "reason", dropped)
    text = "Messages in the receivers' queues."
    yield GaugeMetricFamily("hub_frames_pending", text, hub.pending)
    text = "Deliveries that were still under way at the next tick."
    yield CounterMetricFamily("hub_delivery_overruns", text, hub.overruns)


def _sampling(sampler: SamplerStatistics) -> Iterator[Metric]:
    yield CounterMetricFamily("hub_ticks", "Samples taken.", sampler.ticks)
    text = "Ticks that passed without a sample."
    yield CounterMetricFamily("hub_ticks_missed", text, sampler.missed)
    text = "Time by which ticks began after they were due."
    yield _histogram("hub_tick_lateness", text, {"": sampler.lateness})
    text = "Time that it took to take a sample."
    yield _histogram("hub_sample_duration", text, {"": sampler.duration})
    text = "Ticks in which a metric could not be collected."
    yield _counters("hub_metric_failures", text, "metric", sampler.failures)


def _machine(snapshot: Snapshot, names: Iterable[str]) -> Iterator[Metric]:
    own: dict[str, float] = {}
    for name in names:
        value = snapshot.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if name in _PERCENTAGES:
            yield GaugeMetricFamily(
                f"hub_{name}_usage", _PERCENTAGES[name], value / 100, unit="ratio"
            )
        else:
            own[name] = value
    if own:
        yield _gauges("hub_metric_value", "Newest values of other metrics.", "metric", own)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _histogram(
    name: str,
    text: str,
    values: Mapping[str, Distribution] | Mapping[Transport, Distribution],
    label: str = "",
) -> Metric:
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
