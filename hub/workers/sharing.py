"""Sampling for other programs, which come and go over a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

from hub.clock import Clock
from hub.feed.history import History
from hub.sampling.collector import Collector, ThreadCollector
from hub.sampling.hello import Hello, Standing, write_hello, write_standing
from hub.sampling.link import Letter, LinkLost, UnfitLetter
from hub.sampling.sampler import Sampler
from hub.sampling.system import standard_metrics
from hub.sampling.wire import UnreadableDemand
from hub.settings import Settings
from hub.text import one_line
from hub.workers.distributor import Distributor
from hub.workers.guest import Guest
from hub.workers.sampling import LastingSampler

__all__ = ["SharedSampler"]

_logger = logging.getLogger("hub")

_MOST_GUESTS: Final = 256

_SILENCE_SECONDS: Final = 10.0
"""How long a guest may take to say what it wants."""

_FAULT_LENGTH: Final = 120
"""Characters of what a guest did wrong, in the log: some of it is what the guest has sent."""


class SharedSampler:
    """Samples, and sends what it finds to all that connect.

    Args:
        settings: how to sample; what concerns clients is without effect.
        clock: tells and passes the time.
        collector: reads the metrics, instead of threads of its own.
    """

    def __init__(
        self, settings: Settings, clock: Clock, collector: Collector | None = None
    ) -> None:
        self._clock = clock
        self._guests: dict[Guest, None] = {}
        self._pids: tuple[int, ...] = ()  # of guests; replaced as a whole, as a thread reads it
        metrics = standard_metrics(settings, others=lambda: self._pids)
        epoch = secrets.token_hex(8)
        names = frozenset(metric.name for metric in metrics)
        self._hello = write_hello(Hello(epoch, settings.interval, names))
        history = History(settings.snapshots, settings.history_bytes)
        self._distributor = Distributor(epoch, metrics, history)
        sampler = Sampler(
            interval=settings.interval,
            demand=self._distributor.demand,
            publish=self._distributor.publish,
            collector=collector or ThreadCollector.of_interval(settings.interval, clock),
            clock=clock,
        )
        self._sampler = LastingSampler(sampler, settings.interval, clock)

    async def run(self, listener: socket.socket) -> None:
        """Sample, and serve all that connect to a Unix socket, until cancelled."""
        async with anyio.create_task_group() as group:

            def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                self._welcome(Guest(reader, writer, self._clock), group)

            server = await asyncio.start_unix_server(welcome, sock=listener)
            group.start_soon(self._sampler.run)
            try:
                await self._tell_every_second()
            finally:
                server.close()

    async def _tell_every_second(self) -> None:
        """Tell all how the sampler does."""
        due = self._clock.monotonic()
        while True:
            body = self._standing()
            for guest in self._guests:
                guest.send(Letter.STANDING, body)
            due += 1.0
            await self._clock.sleep_until(due)

    def _standing(self) -> bytes:
        return write_standing(Standing(self._sampler.statistics(), self._sampler.failure))

    def _welcome(self, guest: Guest, group: TaskGroup) -> None:
        if len(self._guests) >= _MOST_GUESTS:
            guest.fail(f"there are {_MOST_GUESTS} already")
            self._say_fault(guest)
            return
        self._guests[guest] = None
        self._note_guests()
        group.start_soon(self._attend, guest)

    def _note_guests(self) -> None:
        self._pids = tuple({guest.pid for guest in self._guests} - {0})

    async def _attend(self, guest: Guest) -> None:
        """Serve a guest until it has gone, or has misbehaved."""
        told = anyio.Event()
        guest.send(Letter.HELLO, self._hello)
        guest.send(Letter.STANDING, self._standing())
        try:
            async with anyio.create_task_group() as group:

                async def until_lost(work: Callable[[], Awaitable[None]]) -> None:
                    try:
                        await work()
                    except UnfitLetter as error:
                        guest.fail(str(error))
                    except LinkLost:
                        pass
                    group.cancel_scope.cancel()

                group.start_soon(until_lost, lambda: self._distributor.serve(guest))
                group.start_soon(until_lost, lambda: self._listen(guest, told))
                group.start_soon(self._hurry, guest, told)
        finally:
            guest.abort()
            self._distributor.forget(guest)
            del self._guests[guest]
            self._note_guests()
            self._say_fault(guest)

    async def _listen(self, guest: Guest, told: anyio.Event) -> None:
        async for letter, body in guest.letters():
            guest.count()
            if letter is not Letter.DEMAND:
                guest.fail(f"a letter of the kind {letter.name}")
                return
            try:
                self._distributor.want(guest, body)
            except UnreadableDemand as error:
                guest.fail(str(error))
                return
            told.set()

    async def _hurry(self, guest: Guest, told: anyio.Event) -> None:
        """Cut a guest off that says nothing."""
        if not await self._clock.wait(told, _SILENCE_SECONDS):
            guest.fail(f"it has said nothing for {_SILENCE_SECONDS:g} s")

    def _say_fault(self, guest: Guest) -> None:
        if guest.fault:
            cause = one_line(guest.fault, _FAULT_LENGTH)
            whose = f"process {guest.pid}" if guest.pid else "another user's process"
            _logger.warning("Closed the link to %s: %s", whose, cause)
