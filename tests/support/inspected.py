"""A hub that tells on request what its server holds: ``python -m tests.support.inspected``.

SIGUSR1 makes it write a line with the number of connections, of answers under way, of connections
whose client owes a request, and of the event loop's tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil

from hub.__main__ import main
from hub.server.runner import Server
from tests.support.servers import DEADLINE, ServerProcess

__all__ = ["Held", "held", "start_inspected"]

Held = Mapping[str, int]
"""What a server holds, by name."""

_LINE: Final = re.compile(
    r"Holds (?P<connections>\d+) connections, (?P<answers>\d+) answers, "
    r"(?P<pending>\d+) pending, (?P<tasks>\d+) tasks$"
)
_METRIC: Final = re.compile(r"^hub_(clients\{.*\}|views) (\d+)", re.MULTILINE)


@contextlib.contextmanager
def start_inspected(environ: Mapping[str, str]) -> Iterator[ServerProcess]:
    """Run such a hub on a port that the system chooses."""
    flags = ("--port", "0", "--interval", "0.1", "--no-access-log")
    with ServerProcess("tests.support.inspected", *flags, environ=environ) as server:
        server.port = int(server.log.wait_for(r"Hub running on http://\S+:(\d+)")[1])
        yield server
        assert server.stop() == 0


def held(server: ServerProcess) -> Held:
    """Ask what the server holds, as it, the system and its own figures say."""
    figures = {name: int(value) for name, value in _METRIC.findall(_metrics(server.port))}
    assert "views" in figures
    mark = server.log.mark
    server.process.send_signal(signal.SIGUSR1)
    found = server.log.wait_for(_LINE.pattern, since=mark)
    figures |= {name: int(value) for name, value in found.groupdict().items()}
    return figures | {"descriptors": psutil.Process(server.process.pid).num_fds()}


def _metrics(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        read = b""
        while more := sock.recv(65536):
            read += more
    assert read.startswith(b"HTTP/1.1 200 "), read[:100]
    return read.decode()


class _Inspected(Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._report)
        await super().startup(sockets)

    def _report(self) -> None:
        state = self.server_state
        print(  # noqa: T201 # what it is for
            f"Holds {len(state.connections)} connections, {len(state.tasks)} answers, "
            f"{len(self._pending)} pending, {len(asyncio.all_tasks())} tasks",
            flush=True,
        )


def _main() -> int:
    runner: Any = sys.modules[Server.__module__]
    runner.Server = _Inspected
    return main()


if __name__ == "__main__":
    sys.exit(_main())
