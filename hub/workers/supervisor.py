"""The process that starts the workers of a service, and keeps them running."""

from __future__ import annotations

import logging
import signal
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from hub.access.shared_limits import SharedLimits
from hub.clock import Clock
from hub.sampling.link import Letter
from hub.server.runner import announce
from hub.workers.letters import Setup
from hub.workers.process import WorkerProcess
from hub.workers.service import SharedService

__all__ = ["Supervisor"]

_logger = logging.getLogger("hub")

_GRACE_SECONDS: Final = 5.0
"""How long a worker may take to end, beside the time over which it sends its clients away."""

_START_SECONDS: Final = 30.0
"""How long a worker that is to replace another may take until it serves."""

_SHORT_LIFE: Final = 1.0
"""A worker that has lived for fewer seconds is started again only after a while."""

_LONGEST_DELAY: Final = 10.0


class Supervisor:
    """Keeps a process running for each worker, until told to stop.

    Args:
        setup: what each worker is told, but for its number and descriptors.
        listeners: the sockets of each worker, which outlive it: clients that connect while there
            is no process wait for the next one.
        clock: tells and passes the time.
    """

    def __init__(
        self, setup: Setup, listeners: Sequence[Sequence[socket.socket]], clock: Clock
    ) -> None:
        self._setup = setup
        self._listeners = listeners
        self._clock = clock
        self._service = SharedService(setup.settings, clock)
        # While one process replaces another there are two for a worker, each with its part.
        self._parts = set(range(len(listeners) + 1))  # those that no process has
        self._limits = SharedLimits.create(
            len(self._parts), views=setup.settings.views, max_clients=setup.settings.max_clients
        )
        self._processes: dict[WorkerProcess, None] = {}  # all that run
        self._workers: dict[int, WorkerProcess] = {}  # those in charge, by number
        self._starts: Counter[int] = Counter()  # how many processes there have been, by number
        self._changed = anyio.Event()  # set when a process serves or ends; then there is another
        self._is_stopping = False
        self._is_replacing = False
        self._is_announced = False
        self._status = 0  # the exit status
        self._group: TaskGroup  # of all that is done; there is one while it runs

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status.

        SIGUSR2 replaces all workers, one after another. The status is 1 where no worker could be
        started.
        """
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._service.sample)
            group.start_soon(self._tell_every_second)
            group.start_soon(self._obey)
            for number in range(1, len(self._listeners) + 1):
                group.start_soon(self._keep, number)
            await self._stopped()
            group.cancel_scope.cancel()
        self._limits.close()
        _logger.info("Hub stopped")
        return self._status

    async def _stopped(self) -> None:
        while not self._is_stopping or self._processes:
            await self._changed.wait()

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _tell_every_second(self) -> None:
        due = self._clock.monotonic() + 0.5  # halfway between two ticks, as a rule
        while True:
            await self._clock.sleep_until(due)
            self._service.tell(list(self._processes), self._starts)
            due += 1.0

    # Processes

    async def _keep(self, number: int, worker: WorkerProcess | None = None) -> None:
        """Keep a process running for a worker, at first the given one, until it is told to end."""
        delay = 0.0
        while not self._is_stopping:
            begun = self._clock.monotonic()
            worker = worker or await self._start(number)
            if worker is not None:
                self._workers[number] = worker
                await worker.ended.wait()
                if worker.is_leaving:
                    return
                self._note_loss(worker)
            worker = None
            is_short = self._clock.monotonic() - begun < _SHORT_LIFE
            delay = min(max(0.5, 2 * delay), _LONGEST_DELAY) if is_short else 0.0
            await self._clock.sleep_until(self._clock.monotonic() + delay)

    def _note_loss(self, worker: WorkerProcess) -> None:
        """Say that a process has ended by itself; where none has ever served, that is the end."""
        if self._is_announced or worker.serves.is_set():
            text = "Worker %d has ended (status %s); another one takes its place"
            _logger.error(text, worker.number, worker.status)
        elif not self._is_stopping:
            _logger.error("Worker %d did not start (status %s)", worker.number, worker.status)
            self._status = 1
            self._stop()

    async def _start(self, number: int) -> WorkerProcess | None:
        """Start a process; None if that cannot be done now."""
        self._starts[number] += 1
        part = self._parts.pop()
        try:
            setup = replace(self._setup, number=number, limits=(self._limits.fd, part))
            worker = await WorkerProcess.start(setup, self._listeners[number - 1])
        except OSError as error:
            self._parts.add(part)
            cause = error.strerror or error
            _logger.error("Worker %d cannot be started: %s", number, cause)  # noqa: TRY400
            return None
        self._processes[worker] = None
        self._group.start_soon(self._watch, worker)
        self._group.start_soon(self._service.attend, worker)
        self._group.start_soon(self._announce, worker)
        if self._is_stopping:  # meanwhile
            self._end(worker)
        return worker

    async def _announce(self, worker: WorkerProcess) -> None:
        """Wait until a worker serves, and say so; at first, where, once all do."""
        await worker.serves.wait()
        self._change()
        if self._is_announced:
            _logger.info("Worker %d serves again", worker.number)
        elif all(number in self._serving for number in range(1, len(self._listeners) + 1)):
            self._is_announced = True
            announce(self._listeners[0])

    @property
    def _serving(self) -> set[int]:
        return {worker.number for worker in self._processes if worker.serves.is_set()}

    async def _watch(self, worker: WorkerProcess) -> None:
        await worker.wait()
        self._limits.clear(worker.part)
        self._parts.add(worker.part)
        del self._processes[worker]
        self._change()

    async def _gone(self, worker: WorkerProcess, seconds: float) -> None:
        """Wait until a process has ended; after so many seconds it is killed."""
        with anyio.move_on_after(seconds):
            await worker.ended.wait()
        worker.tell(signal.SIGKILL)
        await worker.ended.wait()

    def _end(self, worker: WorkerProcess) -> None:
        worker.is_leaving = True
        worker.tell(signal.SIGTERM)

    # Signals

    async def _obey(self) -> None:
        told = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
        with anyio.open_signal_receiver(*told) as signals:
            async for number in signals:
                if number != signal.SIGUSR2:
                    self._stop()
                elif not self._is_replacing and not self._is_stopping:
                    self._is_replacing = True
                    self._group.start_soon(self._replace_all)

    def _stop(self) -> None:
        """Have all workers end; a second time, without further ado."""
        if not self._is_stopping:
            _logger.info("Hub stopping")
        self._is_stopping = True
        for worker in self._processes:
            self._end(worker)
            self._group.start_soon(self._gone, worker, self._patience)
        self._change()

    @property
    def _patience(self) -> float:
        """How many seconds a worker has that was told to end."""
        return self._setup.options.drain_seconds + _GRACE_SECONDS

    async def _replace_all(self) -> None:
        _logger.info("Replacing all workers")
        for number in sorted(self._workers):
            if not self._is_stopping:
                await self._replace(number)
        self._is_replacing = False
        _logger.info("Replacing workers has ended")

    async def _replace(self, number: int) -> None:
        """Have a new process take over from a worker's, and see the old one off."""
        old, new = self._workers[number], await self._start(number)
        if new is None:
            return
        with anyio.move_on_after(_START_SECONDS):
            while not (new.serves.is_set() or new.ended.is_set()):
                await self._changed.wait()
        is_unfit = self._is_stopping or new.ended.is_set() or not new.serves.is_set()
        if is_unfit:
            _logger.error("Worker %d is not replaced, for the new one does not serve", number)
        if is_unfit or old.ended.is_set():  # the latter by itself: its place has been taken
            self._end(new)
            await self._gone(new, self._patience)
        else:
            self._group.start_soon(self._keep, number, new)
            old.is_leaving = True
            old.link.send(Letter.RETIRE)
            await self._gone(old, self._patience)
