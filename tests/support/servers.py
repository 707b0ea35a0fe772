"""Real servers for the tests: as processes, and in this one.

Every starter is a context manager that ends what it has started. Deadlines are safety nets: what
is waited for is an event, a line of output or the end of a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Final, Literal, Self, TypeAlias, TypeVar

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from hub import CloseReason, Hub, create_app

__all__ = [
    "DEADLINE",
    "PATH",
    "STARTERS",
    "LocalServer",
    "Log",
    "ServerProcess",
    "ThreadedServer",
    "serve_here",
    "start_granian",
    "start_hub",
    "start_hypercorn",
    "surviving",
]

_T = TypeVar("_T")

WebSockets: TypeAlias = Literal["auto", "none"]
"""Whether uvicorn speaks them, with its own protocol class."""

DEADLINE: Final = 10.0
PATH: Final = "/api/system/metrics"

_ROOT: Final = Path(__file__).parents[2]
_APP: Final = "tests.support.feed:app"
_UNWANTED: Final = ("Traceback", "ResourceWarning", "Task was destroyed", "never awaited")


class Log:
    """The lines that a process writes, read by a thread as they come."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(stream,), name="test-log")
        self._reader.start()

    @property
    def text(self) -> str:
        return "\n".join(self.since(0))

    @property
    def mark(self) -> int:
        """The number of lines so far, from which ``wait_for`` may be told to start."""
        with self._news:
            return len(self._lines)

    def since(self, mark: int) -> list[str]:
        with self._news:
            return self._lines[mark:]

    def wait_for(self, pattern: str, *, since: int = 0) -> re.Match[str]:
        """Return the first match in a line after ``since``, waiting for it if need be."""
        wanted = re.compile(pattern)
        return self._wait(
            lambda: next(filter(None, map(wanted.search, self._lines[since:])), None), pattern
        )

    def wait_for_last(self, pattern: str, value: str) -> None:
        """Wait until the last line that matches ``pattern`` has ``value`` as its group."""
        wanted = re.compile(pattern)

        def last() -> bool:
            found = [match[1] for line in self._lines if (match := wanted.search(line))]
            return bool(found) and found[-1] == value

        self._wait(last, f"{pattern} = {value}")

    def _wait(self, look: Callable[[], _T | None], what: str) -> _T:
        with self._news:
            self._news.wait_for(lambda: look() or self._ended, DEADLINE)
            if found := look():
                return found
            raise AssertionError(f"not written: {what}\n" + "\n".join(self._lines))

    def join(self) -> None:
        """Wait for the end of the output."""
        self._reader.join(DEADLINE)

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self._lines.append(line.decode(errors="surrogateescape").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class ServerProcess:
    """A server in a process (and a group) of its own, and all that it has written."""

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        port: int = 0,
        kind: str = "hub",
    ) -> None:
        self.kind = kind
        self.port = port
        self.process = subprocess.Popen(  # noqa: S603 # our own arguments
            [sys.executable, "-W", "default", "-m", *arguments],
            cwd=_ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environ or {}),
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.log = Log(self.process.stdout)

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}{query}"

    async def logged(self, pattern: str, *, since: int = 0) -> re.Match[str]:
        """Wait for a line without holding up the event loop."""
        return await anyio.to_thread.run_sync(lambda: self.log.wait_for(pattern, since=since))

    async def has_total(self, number: int) -> None:
        """Wait until the hub's last word on its clients is that there are ``number``."""
        await anyio.to_thread.run_sync(
            self.log.wait_for_last, r"Public WS client .*Total: (-?\d+)$", str(number)
        )

    async def ended(self) -> int:
        """Wait for the process and return its exit status."""
        return await anyio.to_thread.run_sync(self.wait)

    async def stopped(self) -> int:
        """End the process without holding up the event loop; return its exit status."""
        return await anyio.to_thread.run_sync(self.stop)

    def wait(self) -> int:
        status = self.process.wait(DEADLINE)
        self.log.join()
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def assert_tidy(self, *, since: int = 0) -> None:
        """Nothing in the output that only a defect would put there."""
        text = "\n".join(self.log.since(since))
        assert not [word for word in _UNWANTED if word in text], text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.wait()


@contextlib.contextmanager
def start_hub(
    *flags: str, environ: Mapping[str, str] | None = None, interval: str | None = "0.1"
) -> Iterator[ServerProcess]:
    """Run ``python -m hub`` on a port that the system chooses."""
    beat = () if interval is None else ("--interval", interval)
    port = () if "--port" in flags or "HUB_PORT" in (environ or {}) else ("--port", "0")
    with ServerProcess("hub", *port, *beat, *flags, environ=environ) as server:
        running = server.log.wait_for(r"Hub running on http://\S+:(\d+)")
        server.port = int(running[1])
        yield server
    server.assert_tidy()


@contextlib.contextmanager
def start_hypercorn(app: str = _APP) -> Iterator[ServerProcess]:
    """Run Hypercorn on a listening socket that it inherits: clients may connect at once."""
    with _listener() as listener:
        server = ServerProcess(
            *("hypercorn", "--workers", "0", "--graceful-timeout", "0"),
            *("--bind", f"fd://{listener.fileno()}", app),
            pass_fds=(listener.fileno(),),
            port=listener.getsockname()[1],
            kind="hypercorn",
        )
    with server:
        yield server


@contextlib.contextmanager
def start_granian(app: str = _APP) -> Iterator[ServerProcess]:
    """Run Granian, which takes nothing but a port number, on one that was free a moment ago."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            server = stack.enter_context(_granian(app))
            if _listening(server):
                break
        else:
            raise AssertionError(server.log.text)
        yield server


def _granian(app: str) -> ServerProcess:
    with _listener() as listener:
        port: int = listener.getsockname()[1]
    return ServerProcess(
        *("granian", "--interface", "asgi", "--port", str(port)),
        *("--workers-kill-timeout", "1", app),
        port=port,
        kind="granian",
    )


def _listening(server: ServerProcess) -> bool:
    """Wait until Granian accepts connections, of which it says nothing, or has ended."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(0.02)
            return False
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()
            return True
    return False


Starter: TypeAlias = Callable[[], AbstractContextManager[ServerProcess]]

STARTERS: Final[dict[str, Starter]] = {
    "hub": start_hub,
    "hypercorn": start_hypercorn,
    "granian": start_granian,
}


def _listener(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=1024)


class _InProcess:
    """What uvicorn is told when it serves an application inside the tests."""

    def __init__(
        self, app: ASGIApp, ws: type[asyncio.Protocol] | WebSockets = "auto", port: int = 0
    ) -> None:
        self._listener = _listener(port)
        self.port: int = self._listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, loop="asyncio", ws=ws)
        )

    def url(self, path: str = PATH) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"


class ThreadedServer(_InProcess):
    """uvicorn in a thread with an event loop that ends with it, as in a process of its own."""

    def __init__(self, app: ASGIApp, ws: type[asyncio.Protocol] | WebSockets = "auto") -> None:
        super().__init__(app, ws)
        self._thread = threading.Thread(target=self._run, name="test-server")

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def stop(self, seconds: float = DEADLINE) -> None:
        self._server.should_exit = True
        self._thread.join(seconds)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class LocalServer(_InProcess):
    """uvicorn as a task of the test's own event loop."""

    async def serve(self) -> None:
        await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        self._server.should_exit = True


@contextlib.asynccontextmanager
async def serve_here(
    app: ASGIApp, port: int = 0, ws: WebSockets = "auto"
) -> AsyncIterator[LocalServer]:
    """Serve ``app`` in the running event loop."""
    server = LocalServer(app, ws, port)
    task = asyncio.create_task(server.serve(), name="test-server")
    try:
        yield server
    finally:
        server.stop()
        with anyio.fail_after(DEADLINE):
            await task


@contextlib.asynccontextmanager
async def surviving(hub: Hub, port: int = 0) -> AsyncIterator[int]:
    """Serve a hub that goes on when its server ends; tell the port."""
    app = Starlette(routes=[Mount("/", create_app(hub=hub))])  # mounted, it follows no lifespan
    async with serve_here(app, port) as server:
        yield server.port
        hub.close_all(CloseReason.RESTART)
