"""A worker as the process that samples sees it: a process, and the link to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import anyio
from anyio.abc import Process

from hub.sampling.link import Link
from hub.workers.letters import Report, Setup, pack

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A process that was started as a worker.

    Args:
        number: which worker it is.
        process: the process.
        link: to it.
        part: which part of the shared limits is its own.
    """

    def __init__(self, number: int, process: Process, link: Link, part: int) -> None:
        self.number = number
        self.part = part
        self.link = link
        self.report: Report | None = None
        """The last that it has sent."""
        self.serves = anyio.Event()
        """Set once it accepts connections."""
        self.ended = anyio.Event()
        """Set once it has ended; see ``wait``."""
        self.is_leaving = False
        """Whether it was told to end."""
        self._process = process

    @classmethod
    async def start(cls, setup: Setup, listeners: Sequence[socket.socket]) -> WorkerProcess:
        """Start a process; of its setup the descriptors are filled in.

        It is in a session of its own, so that a terminal's Ctrl-C is not for it. Its standard input
        stays open for as long as this process lives.

        Raises:
            OSError: it cannot be started.
        """
        here, there = socket.socketpair()
        descriptors = tuple(one.fileno() for one in listeners)
        setup = replace(setup, link=there.fileno(), listeners=descriptors)
        link = await Link.over(here)
        try:
            with there:
                process = await anyio.open_process(
                    [sys.executable, "-m", "hub.workers"],
                    stdin=subprocess.PIPE,
                    stdout=None,
                    stderr=None,
                    pass_fds=(there.fileno(), setup.limits[0], *descriptors),
                    start_new_session=True,
                )
            assert process.stdin is not None  # noqa: S101 # it was asked for
            await process.stdin.send(pack(setup))
        except (OSError, anyio.BrokenResourceError):
            link.close()
            raise
        return cls(setup.number, process, link, setup.limits[1])

    @property
    def pid(self) -> int:
        """Its number as the system has it."""
        return self._process.pid

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process.returncode is None:
            os.kill(self._process.pid, number)

    @property
    def status(self) -> int | None:
        """Its exit status, negative where a signal has ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> None:
        """Wait for its end; to be called by one task, which has others know of it."""
        await self._process.wait()
        await self._process.aclose()
        self.ended.set()
