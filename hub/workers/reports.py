"""What the workers of a service have done together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import reduce
from operator import add

from hub.access.admission import AdmissionStatistics
from hub.feed.statistics import HubStatistics
from hub.sampling.metric import Totals
from hub.sampling.own_process import ProcessTotals
from hub.sampling.sampler import SamplerStatistics
from hub.web.figures import Figures, WorkerFigures
from hub.workers.letters import Report

__all__ = ["Reports"]


class Reports:
    """Adds up what workers report and have reported before they ended: no total goes back."""

    def __init__(self) -> None:
        self._ended: tuple[HubStatistics, AdmissionStatistics] | None = None

    def end(self, report: Report | None) -> None:
        """Take over the last report of a worker that has ended, if it has sent any."""
        if report is None:
            return
        last = (report.hub.ended(), report.admission.ended())
        known = self._ended
        self._ended = last if known is None else (known[0] + last[0], known[1] + last[1])

    def figures(
        self,
        reports: Collection[Report],
        sampler: SamplerStatistics,
        process: ProcessTotals | None,
        totals: Mapping[str, Totals],
        workers: Mapping[int, WorkerFigures],
    ) -> Figures | None:
        """Return the figures of the whole service; None while no worker has reported.

        Args:
            reports: the last of each worker.
            sampler: what the sampler has done.
            process: what all processes take.
            totals: what devices have counted.
            workers: what is told of each worker.
        """
        ended = [] if self._ended is None else [self._ended]
        several = [*ended, *((one.hub, one.admission) for one in reports)]
        if not reports:
            return None
        hub = reduce(add, (one for one, _ in several))
        admission = reduce(add, (one for _, one in several))
        views = len(frozenset[object]().union(*(one.views for one in reports)))
        return Figures(
            replace(hub, views=views, sampler=sampler), admission, process, totals, workers
        )
