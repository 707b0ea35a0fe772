"""What the workers of a service share: one sampler, its past, and what is told of all of them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress

import anyio

from hub.clock import Clock
from hub.feed.history import History
from hub.sampling.collector import ThreadCollector
from hub.sampling.link import Letter, LinkLost
from hub.sampling.metric import Totals
from hub.sampling.own_process import ProcessTotals, process_totals
from hub.sampling.sampler import Sampler
from hub.sampling.system import standard_metrics
from hub.settings import Settings
from hub.web.figures import Figures, WorkerFigures
from hub.workers.distributor import Distributor
from hub.workers.letters import Report, Service, pack, unpack
from hub.workers.process import WorkerProcess
from hub.workers.reports import Reports
from hub.workers.sampling import LastingSampler

__all__ = ["SharedService"]


class SharedService:
    """Samples for workers, and tells each of them what they are together.

    Args:
        settings: the hub's.
        clock: tells and passes the time.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._reports = Reports()
        self._figures_told: Figures | None = None  # the last that all were told
        self._has_news = False  # whether a worker has reported, or ended, since all were told
        # Both are replaced as a whole, for the thread that samples reads them.
        self._pids: tuple[int, ...] = ()  # the workers' processes
        self._lag = 0.0  # the greatest lag of the workers' event loops of late
        self._metrics = standard_metrics(settings, lambda: self._lag, lambda: self._pids)
        self._history = History(settings.snapshots, settings.history_bytes)
        self._distributor = Distributor(secrets.token_hex(8), self._metrics, self._history)
        sampler = Sampler(
            interval=settings.interval,
            demand=self._distributor.demand,
            publish=self._distributor.publish,
            collector=ThreadCollector.of_interval(settings.interval, clock),
            clock=clock,
        )
        self._sampler = LastingSampler(sampler, settings.interval, clock)

    async def sample(self) -> None:
        """Sample until cancelled."""
        await self._sampler.run()

    async def attend(self, worker: WorkerProcess) -> None:
        """Send a worker the past and all that comes, and hear what it says, until it has ended."""
        # So that its totals are never its own alone, not even at first.
        worker.link.send(Letter.SERVICE, self._service(self._figures_told))
        async with anyio.create_task_group() as group:
            group.start_soon(self._serve, worker)
            with suppress(LinkLost):
                async for letter, body in worker.link.letters():
                    self._take(worker, letter, body)
            group.cancel_scope.cancel()
        worker.link.close()
        self._reports.end(worker.report)
        worker.report = None
        self._has_news = True

    async def _serve(self, worker: WorkerProcess) -> None:
        with suppress(LinkLost):
            await self._distributor.serve(worker.link)

    def _take(self, worker: WorkerProcess, letter: Letter, body: bytes) -> None:
        if letter is Letter.DEMAND:
            self._distributor.want(worker.link, body)
        elif letter is Letter.REPORT:
            worker.report = unpack(body, Report)
            self._has_news = True
            worker.serves.set()

    def tell(self, workers: Collection[WorkerProcess], starts: Mapping[int, int]) -> None:
        """Tell all workers how the sampler does and, if one has reported, what they are together.

        Args:
            workers: those that run; where one replaces another, both.
            starts: how many processes there have been for each number.

        One that takes nothing is told once it does again.
        """
        self._pids = tuple(worker.pid for worker in workers)
        figures: Figures | None = None
        if self._has_news:
            self._has_news = False
            figures = self._figures_told = self._merged(workers, starts)
        body = self._service(figures)
        for worker in workers:
            if not worker.link.is_full:
                worker.link.send(Letter.SERVICE, body)

    def _service(self, figures: Figures | None) -> bytes:
        return pack(Service(figures, self._sampler.statistics(), self._sampler.failure))

    def _merged(
        self, workers: Collection[WorkerProcess], starts: Mapping[int, int]
    ) -> Figures | None:
        reports = [worker.report for worker in workers if worker.report is not None]
        self._lag = max((report.hub.recent_lag for report in reports), default=0.0)
        return self._figures(workers, reports, starts)

    def _figures(
        self,
        workers: Collection[WorkerProcess],
        reports: Collection[Report],
        starts: Mapping[int, int],
    ) -> Figures | None:
        process: ProcessTotals | None = None
        with suppress(OSError):  # the others can be had without asking the system
            process = process_totals(self._pids)
        lost = self._distributor.lost
        by_worker = {
            number: WorkerFigures(
                clients=sum(found.hub.subscribers for found in reports_of(workers, number)),
                lag=max(
                    (found.hub.recent_lag for found in reports_of(workers, number)), default=0.0
                ),
                lost=sum(lost.get(one.link, 0) for one in workers if one.number == number),
                starts=count,
            )
            for number, count in starts.items()
        }
        statistics = self._sampler.statistics()
        return self._reports.figures(reports, statistics, process, self._totals(), by_worker)

    def _totals(self) -> dict[str, Totals]:
        if not self._history:
            return {}
        sampled = self._history[self._history.end - 1].readings
        return {
            metric.name: metric.totals()
            for metric in self._metrics
            if metric.totals is not None and metric.name in sampled
        }


def reports_of(workers: Collection[WorkerProcess], number: int) -> list[Report]:
    """Return the reports of the processes that are a worker."""
    found = (worker.report for worker in workers if worker.number == number)
    return [report for report in found if report is not None]
