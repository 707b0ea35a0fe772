"""What operators are told of the hub: of the one that is asked, or of all that serve together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from hub.access.admission import Admission, AdmissionStatistics
from hub.feed.hub import Hub
from hub.feed.statistics import HubStatistics
from hub.sampling.metric import Totals
from hub.sampling.own_process import ProcessTotals, process_totals

__all__ = ["Figures", "WorkerFigures", "own_figures"]


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """What is told of one of several workers.

    Attributes:
        clients: that follow the feed at this one.
        lag: by how many seconds its event loop was late at most in the last five.
        lost: snapshots that it was too slow for.
        starts: how many processes there have been in its place.
    """

    clients: int
    lag: float
    lost: int
    starts: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of the whole service.

    Attributes:
        hub: what it has done.
        admission: who came in and who did not.
        process: what its processes take; None where the system does not tell.
        totals: what the devices of families have counted that are in the newest sample, by family.
        workers: by their numbers, if there are any.
    """

    hub: HubStatistics
    admission: AdmissionStatistics
    process: ProcessTotals | None
    totals: Mapping[str, Totals]
    workers: Mapping[int, WorkerFigures] = field(default_factory=dict)


def own_figures(hub: Hub, admission: Admission) -> Figures:
    """Return the figures of a hub that serves alone."""
    process: ProcessTotals | None = None
    with suppress(OSError):  # the others can be had without asking the system
        process = process_totals()
    return Figures(hub.statistics(), admission.statistics(), process, _totals(hub))


def _totals(hub: Hub) -> dict[str, Totals]:
    metrics = hub.catalog(restricted=True).metrics
    sampled = hub.latest.readings if hub.latest is not None else {}
    return {
        metric.name: metric.totals()
        for metric in metrics
        if metric.totals is not None and metric.name in sampled
    }
