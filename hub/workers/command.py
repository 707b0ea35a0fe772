"""Serving with several workers, from the command line's values on."""

from __future__ import annotations

import itertools
import socket
import sys

import anyio

from hub.clock import SystemClock
from hub.server.listener import listen, listen_again
from hub.server.runner import tune_process
from hub.workers.letters import Setup
from hub.workers.supervisor import Supervisor

__all__ = ["serve_with_workers"]


def serve_with_workers(count: int, setup: Setup, host: str, port: int) -> int:
    """Sample in this process and serve in others, until SIGTERM or SIGINT; return the exit status.

    Args:
        count: how many workers there are.
        setup: what each is told, but for its number and descriptors.
        host: a name or an address.
        port: 0 lets the system choose.

    Raises:
        OSError: as ``listen``.
        UnicodeError: as ``listen``.
    """
    listeners = _listeners(count, host, port, setup.settings.stall_timeout)
    tune_process()
    try:
        return anyio.run(Supervisor(setup, listeners, SystemClock()).run)
    finally:
        for listener in itertools.chain(*listeners):
            listener.close()


def _listeners(count: int, host: str, port: int, stall_timeout: float) -> list[list[socket.socket]]:
    """Open the sockets of each worker: on Linux its own, elsewhere the same for all.

    Only Linux shares new connections out evenly among sockets of the same address. Elsewhere
    the quickest takes them.
    """
    is_even = sys.platform == "linux"
    first = listen(host, port, stall_timeout=stall_timeout, shared=is_even)
    if not is_even:
        return [first] * count
    others = (
        [listen_again(one, stall_timeout=stall_timeout) for one in first] for _ in range(1, count)
    )
    return [first, *others]
