"""What the hub does when the machine under it fails it; each fault is a real one."""

from __future__ import annotations

import itertools
import re
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support.clients import client, close_code, message, receive
from tests.support.hanging import needs_fuse
from tests.support.hosts import another_host, needs_hosts
from tests.support.servers import DEADLINE, ServerProcess, start_hub

RUNNING: Final = r"Hub running on http://\S+:(\d+)"


async def times(websocket: ClientConnection, count: int) -> list[float]:
    """Return the timestamps of the next messages, none of which may be an error."""
    messages = [await message(websocket) for _ in range(count)]
    assert not [one for one in messages if "error" in one]
    return [taken_at(one) for one in messages]


def taken_at(one: dict[str, Any]) -> float:
    return datetime.fromisoformat(one["timestamp"]).timestamp()


def longest_gap(seen: list[float]) -> float:
    return max(gaps(seen))


def gaps(seen: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(seen)]


async def figure(server: ServerProcess, name: str) -> float:
    text = await get(server, "/metrics")
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


async def get(server: ServerProcess, path: str) -> str:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with httpx2.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
        response = await http.get(url)
    assert response.status_code == 200, response.text
    return response.text


# A file system that never answers


def threads(server: ServerProcess) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))


@contextmanager
def start_on_hanging_mount(target: Path) -> Iterator[ServerProcess]:
    arguments = ("tests.support.hanging", str(target), "--port", "0", "--interval", "0.1")
    with ServerProcess(*arguments) as server:
        server.port = int(server.log.wait_for(RUNNING)[1])
        yield server
    server.assert_tidy()


@needs_fuse
async def test_a_mount_that_hangs_takes_a_thread_and_nothing_else(tmp_path: Path) -> None:
    with start_hub() as sound:
        async with client(sound.url()) as websocket:
            await times(websocket, 3)
            usual = threads(sound)
    with start_on_hanging_mount(tmp_path) as server:
        async with client(server.url("?metrics=cpu,memory")) as fresh, client(server.url()) as hung:
            said = [await message(hung) for _ in range(5)]
            await times(fresh, 10)  # the first of which may have waited with the mount
            seen = await times(fresh, 30)
            assert longest_gap(seen) < 0.5
            assert threads(server) <= usual + 1
            assert {one["error"] for one in said} == {
                "Metric collection failed: disk: no answer within 0.5 s"
            }
            server.process.terminate()
            assert await close_code(fresh) == 1012
            with anyio.fail_after(2):
                assert await server.ended() == 0
        errors = [line for line in server.log.text.splitlines() if "Error collecting" in line]
        assert len(errors) == 1


# A host that vanishes

LISTENER: Final = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1], proxy=None) as feed:
    for message in feed:
        print(message, flush=True)
"""


@needs_hosts
async def test_a_client_whose_host_vanishes_is_cut_off_at_the_deadline() -> None:
    with another_host() as host, start_hub("--host", host.here, "--stall-timeout", "2") as server:
        url = server.url().replace("127.0.0.1", host.here)
        command = [*host.command, sys.executable, "-c", LISTENER, url]
        async with await anyio.open_process(command) as far, client(url) as near:
            assert far.stdout is not None
            assert b"timestamp" in await far.stdout.receive()
            host.vanish()
            await server.logged("Slow client .*: cut off")
            assert longest_gap(await times(near, 20)) < 0.5
            far.kill()
        await server.has_total(0)


# Descriptors that run out

LIMIT: Final = 300
PLACES: Final = LIMIT - 256


@contextmanager
def few_descriptors() -> Iterator[None]:
    """Let processes that are started meanwhile have so many descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Clients that all come at once; some are let in, the others told to come back later."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self.inside: list[ClientConnection] = []
        self.outside: list[tuple[int, str]] = []

    async def come(self) -> None:
        try:
            one = await connect(self._url, compression=None, proxy=None, open_timeout=DEADLINE)
        except InvalidStatus as refused:
            response = refused.response
            self.outside.append((response.status_code, response.headers["Retry-After"]))
        else:
            self._stack.push_async_callback(one.close)
            self.inside.append(one)


async def test_when_descriptors_run_out_the_surplus_is_told_so_and_the_beat_goes_on() -> None:
    with ExitStack() as processes:
        with few_descriptors():
            server = processes.enter_context(start_hub())
        async with AsyncExitStack() as stack, client(server.url()) as early:
            await receive(early)
            crowd = Crowd(server.url(), stack)
            async with anyio.create_task_group() as group:
                for _ in range(400):
                    group.start_soon(crowd.come)
            assert len(crowd.inside) == PLACES - 1
            assert set(crowd.outside) == {(503, "5")}
            assert len(crowd.outside) == 400 - len(crowd.inside)
            assert await get(server, "/livez") == "ok\n"
            seen = await times(early, 10)
            assert longest_gap(seen) < 0.5
            assert await figure(server, 'hub_refused_total{reason="capacity"}') == 400 - 43
        await server.has_total(0)
        async with client(server.url()) as late:
            await receive(late)
        assert "Error collecting" not in server.log.text


async def test_idle_connections_of_one_address_keep_no_other_out() -> None:
    with ExitStack() as processes:
        with few_descriptors():
            server = processes.enter_context(start_hub())
        async with client(server.url()) as early:
            await receive(early)
            for _ in range(600):
                sock = processes.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                sock.settimeout(DEADLINE)
                sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            for _ in range(20):
                async with client(server.url(), "127.0.0.2") as other:
                    await receive(other)
            seen = await times(early, 10)
            assert longest_gap(seen) < 0.5
        await server.has_total(0)


# A process that stands still


async def test_after_standing_still_the_beat_goes_on_without_a_burst() -> None:
    with start_hub() as server:
        async with client(server.url()) as websocket:
            before = await times(websocket, 3)
            server.process.send_signal(signal.SIGSTOP)
            await anyio.sleep(3)  # the fault itself
            server.process.send_signal(signal.SIGCONT)
            after = await times(websocket, 10)
        stamps = [*before, *after]
        pauses = [number for number, gap in enumerate(gaps(stamps), 1) if gap > 2]
        assert len(pauses) == 1
        since = stamps[pauses[0] :]
        # Ticks that are late by less than their interval come closer together, by one at most.
        assert since[-1] - since[0] > 0.1 * (len(since) - 2), "a burst"
        assert 20 <= await figure(server, "hub_ticks_missed_total") <= 40
        assert await get(server, "/readyz") == "ready\n"
