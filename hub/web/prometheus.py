"""The figures of the hub, of its process and of the machine, as OpenMetrics.

Names are in base units and say so, counters end in ``_total``, and no label is a client's address.
A scrape reads what is there, and of the system only what the process itself takes; it samples
nothing.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hub.access.admission import AdmissionStatistics
from hub.errors import CloseReason, RefusalReason
from hub.feed.hub import Hub
from hub.feed.statistics import HubStatistics
from hub.sampling.own_process import ProcessTotals
from hub.sampling.sampler import SamplerStatistics
from hub.web.figures import Figures, WorkerFigures
from hub.web.host_figures import counter_figures, host_figures
from hub.web.openmetrics import counters, gauges, histogram
from hub.web.version import installed_version

__all__ = ["Telemetry"]

_VERSION: Final = re.compile(r"version=[0-9]{1,9}(\.[0-9]{1,9}){1,3}")


class Telemetry(Collector):
    """Reads a hub's figures whenever it is asked for them.

    Args:
        hub: is asked for the newest sample and for its history.
        figures: returns all others.
    """

    def __init__(self, hub: Hub, figures: Callable[[], Figures]) -> None:
        self._hub = hub
        self._figures = figures
        self._build = _build()  # what never changes while it runs

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all figures as text, and its media type, in the format that ``accept`` prefers.

        Formats whose version is no number are none that it prefers: the library fails on them.
        """
        formats = [one for one in accept.split(",") if _has_sound_version(one)]
        encode, media_type = choose_encoder(",".join(formats))
        return encode(self), media_type

    def collect(self) -> Iterator[Metric]:
        """Iterate over all figures as they are now."""
        yield InfoMetricFamily("hub_build", "Versions of the hub and of Python.", self._build)
        figures = self._figures()
        if figures.process is not None:
            yield from _process(figures.process)
        yield from _clients(figures.admission, figures.hub)
        yield from _frames(figures.hub)
        if figures.hub.sampler is not None:
            yield from _sampling(figures.hub.sampler)
        if figures.hub.age is not None:
            text = "Time since the newest sample was published."
            yield GaugeMetricFamily("hub_snapshot_age", text, figures.hub.age, unit="seconds")
        text = "Time by which the event loop is late."
        yield histogram("hub_loop_lag", text, {"": figures.hub.lag})
        text = "How far back the history reaches."
        yield GaugeMetricFamily("hub_history", text, self._hub.history.seconds, unit="seconds")
        text = "Memory that the history takes, estimated."
        yield GaugeMetricFamily("hub_history_size", text, self._hub.history.bytes, unit="bytes")
        if figures.workers:
            yield from _workers(figures.workers)
        if self._hub.latest is not None:
            yield from host_figures(self._hub.latest, self._hub.metrics)
            yield from counter_figures(figures.totals)


def _has_sound_version(media_range: str) -> bool:
    _, *parameters = media_range.split(";")
    return all(_VERSION.fullmatch(one.strip()) for one in parameters if "version" in one)


def _build() -> dict[str, str]:
    version = installed_version()
    build = {"python": platform.python_version()}
    return build if version is None else {**build, "version": version}


def _process(totals: ProcessTotals) -> Iterator[Metric]:
    """Make the figures that Prometheus' own libraries have of every process."""
    text = "When the process was started, as seconds since the Unix epoch."
    yield GaugeMetricFamily("process_start_time", text, totals.start_time, unit="seconds")
    text = "Processor time that the process has used, in user and system mode."
    yield CounterMetricFamily("process_cpu", text, totals.cpu_seconds, unit="seconds")
    text = "Memory of the process that is resident."
    yield GaugeMetricFamily("process_resident_memory", text, totals.rss_bytes, unit="bytes")
    text = "Virtual memory of the process."
    yield GaugeMetricFamily("process_virtual_memory", text, totals.virtual_bytes, unit="bytes")
    text = "File descriptors that are open."
    yield GaugeMetricFamily("process_open_fds", text, totals.descriptors)
    if totals.max_descriptors is not None:
        text = "File descriptors that may be open."
        yield GaugeMetricFamily("process_max_fds", text, totals.max_descriptors)


def _clients(admission: AdmissionStatistics, hub: HubStatistics) -> Iterator[Metric]:
    here = sum(admission.clients.values())
    receivers: dict[str, float] = {"process": max(0, hub.subscribers - here)}
    receivers.update({name.value: count for name, count in admission.clients.items()})
    yield gauges("hub_clients", "Clients that follow the feed now.", "transport", receivers)
    if admission.limit is not None:
        text = "Clients that may follow the feed at the same time."
        yield GaugeMetricFamily("hub_clients_limit", text, admission.limit)
    yield GaugeMetricFamily("hub_views", "Different views that clients follow now.", hub.views)
    refused = {reason.value: admission.refused.get(reason, 0) for reason in RefusalReason}
    text = "Requests and handshakes that were refused."
    yield counters("hub_refused", text, "reason", refused)
    closed = {reason.value: hub.closed.get(reason, 0) for reason in CloseReason}
    text = "Clients that the hub has disconnected."
    yield counters("hub_clients_closed", text, "reason", closed)
    text = "How long clients stayed connected."
    durations = {name.value: found for name, found in admission.durations.items()}
    yield histogram("hub_connection_duration", text, durations, "transport")


def _workers(workers: Mapping[int, WorkerFigures]) -> Iterator[Metric]:
    """Make what is told of each worker: never the parts of a sum that is told as well."""
    by_number = {str(number): found for number, found in workers.items()}
    text = "Clients that follow the feed now, by the worker that serves them."
    clients = {number: float(found.clients) for number, found in by_number.items()}
    yield gauges("hub_worker_clients", text, "worker", clients)
    text = "Time by which a worker's event loop was late at most in the last five seconds."
    lags = {number: found.lag for number, found in by_number.items()}
    yield gauges("hub_worker_loop_lag_seconds", text, "worker", lags)
    text = "Samples that a worker was too slow to take."
    lost = {number: found.lost for number, found in by_number.items()}
    yield counters("hub_worker_samples_lost", text, "worker", lost)
    text = "Processes that were started as a worker."
    starts = {number: found.starts for number, found in by_number.items()}
    yield counters("hub_worker_starts", text, "worker", starts)


def _frames(hub: HubStatistics) -> Iterator[Metric]:
    text = "Messages published to clients, or replayed for them."
    yield CounterMetricFamily("hub_frames_offered", text, hub.offered)
    text = "Messages handed on to the clients' sockets and readers."
    yield CounterMetricFamily("hub_frames_delivered", text, hub.delivered)
    dropped = {
        "queue_full": hub.dropped - hub.expired,
        "overtaken": hub.expired,
        "abandoned": hub.abandoned,
    }
    text = "Messages lost: the queue was full, the history no longer had them, or the client left."
    yield counters("hub_frames_dropped", text, "reason", dropped)
    text = "Messages that wait in the clients' queues."
    yield GaugeMetricFamily("hub_frames_pending", text, hub.pending)
    text = "Ticks whose messages were not all handed out by the next tick."
    yield CounterMetricFamily("hub_delivery_overruns", text, hub.overruns)


def _sampling(sampler: SamplerStatistics) -> Iterator[Metric]:
    yield CounterMetricFamily("hub_ticks", "Samples taken.", sampler.ticks)
    text = "Ticks that passed without a sample."
    yield CounterMetricFamily("hub_ticks_missed", text, sampler.missed)
    text = "Time by which ticks began after they were due."
    yield histogram("hub_tick_lateness", text, {"": sampler.lateness})
    text = "Time that it took to take a sample."
    yield histogram("hub_sample_duration", text, {"": sampler.duration})
    text = "Ticks in which a metric could not be collected."
    yield counters("hub_metric_failures", text, "metric", sampler.failures)
