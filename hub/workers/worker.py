"""A worker: serves what another process samples."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from typing import Final

from hub.access.admission import Admission
from hub.access.shared_limits import WorkerLimits
from hub.feed.hub import Hub
from hub.feed.view_limit import ViewLimit
from hub.sampling.link import Letter, Link
from hub.sampling.remote import RemoteSource
from hub.server.runner import Duties, make_server, tune_process
from hub.web.app import create_app
from hub.web.figures import Figures
from hub.workers.letters import Report, Service, Setup, pack, unpack

__all__ = ["Worker", "end_with_parent"]

_LAST_SECONDS: Final = 1.5
"""How long a worker may take to end once the process that samples has ended."""

_REPORT_SECONDS: Final = 5
"""How often it reports: with thousands of clients that takes some milliseconds."""

_HURRY_SECONDS: Final = 0.1
"""How long it then waits before it sends all clients away at once."""


class Worker:
    """Runs a server whose hub's snapshots come over a link.

    Args:
        setup: what it was told to be.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._link: Link | None = None  # once it is open
        self._seconds = 0  # for which it has served
        self._figures: Figures | None = None  # the last that it was told of the whole service
        self._source = RemoteSource(
            self._connect, self._on_letter, on_lost=self._on_lost, on_end=self._report
        )
        limits = WorkerLimits.attach(*setup.limits)
        view_limit = ViewLimit(setup.settings.views, limits.views)
        self._hub = Hub(setup.settings, source=self._source, view_limit=view_limit)
        app = create_app(hub=self._hub, figures=lambda: self._figures, shared=limits)
        self._admission: Admission = app.state.admission
        duties = Duties(prepare=self._prepare, every_second=self._count_second)
        self._server = make_server(self._hub, app, setup.options, duties)

    def run(self) -> None:
        """Serve until told to stop, or until the process that samples has ended."""
        tune_process()
        self._server.run(sockets=[socket.socket(fileno=one) for one in self._setup.listeners])

    async def _connect(self) -> Link:
        self._link = await Link.over(socket.socket(fileno=self._setup.link))
        return self._link

    async def _prepare(self) -> None:
        """Wait for the past: clients that ask for it get the same from all workers."""
        self._hub.start()
        await self._source.present.wait()

    def _on_letter(self, letter: Letter, body: bytes) -> None:
        if letter is Letter.SERVICE:
            service = unpack(body, Service)
            self._figures = service.figures or self._figures
            self._source.note(service.sampler, service.failure)
        elif letter is Letter.RETIRE:
            self._server.retire()

    def _on_lost(self) -> None:
        """Stop at once: without samples there is nothing to serve."""
        self._server.stop()
        asyncio.get_running_loop().call_later(_HURRY_SECONDS, self._server.stop)

    def _count_second(self) -> None:
        """Report now and then; the first time that also tells that it serves."""
        if self._seconds % _REPORT_SECONDS == 0:
            self._report()
        self._seconds += 1

    def _report(self) -> None:
        """Tell what it has done."""
        if self._link is not None:
            statistics = self._hub.statistics()
            report = Report(statistics, self._admission.statistics(), self._hub.views)
            self._link.send(Letter.REPORT, pack(report))


def end_with_parent() -> None:
    """End this process soon after the one that started it, also where the event loop hangs.

    The other end of standard input is that process's, which writes no more.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not through the buffer, which has a lock
            pass
        time.sleep(_LAST_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
