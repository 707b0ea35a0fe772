"""Applications that servers run in several processes, with one process that samples for all."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
import httpx2
import orjson
import psutil
import pytest
from websockets.asyncio.client import ClientConnection

from tests.support.clients import client, receive
from tests.support.servers import DEADLINE, ServerProcess

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.name != "posix", reason="this system has no such sockets"),
]

APP: Final = "tests.support.attached:app"
WORKERS: Final = 2
MOST_CLIENTS: Final = 60
"""Connections of which never all meet the same worker."""

WARNING: Final = "Each of several server processes samples by itself"
SILENCE: Final = 8.0
"""Seconds after which the warning has come, where it is to come at all."""


@contextmanager
def sampler(path: Path, *flags: str, interval: str = "0.1") -> Iterator[ServerProcess]:
    arguments = ("--socket", str(path), "--interval", interval, *flags)
    with ServerProcess("hub", "sample", *arguments) as server:
        server.log.wait_for("Sampling for hubs that attach to ")
        yield server
    server.assert_tidy()


@contextmanager
def served(
    *command: str, path: Path | None, started: str = r"Uvicorn running on http://\S+:(\d+)"
) -> Iterator[ServerProcess]:
    environ = {} if path is None else {"TEST_SOCKET": str(path)}
    with ServerProcess(*command, environ=environ) as server:
        found = server.log.wait_for(started)
        server.port = int(found[1]) if found.groups() else int(command[command.index("--port") + 1])
        yield server
    # What uvicorn's own first process leaves open is its own.
    assert "Traceback" not in server.log.text
    assert "never awaited" not in server.log.text


def uvicorn(*flags: str) -> Sequence[str]:
    ws = ("--ws", "hub.server:BroadcastProtocol")
    return ("uvicorn", APP, "--port", "0", *ws, *flags)


def with_workers() -> Sequence[str]:
    return uvicorn("--workers", str(WORKERS))


async def get(server: ServerProcess, path: str) -> httpx2.Response:
    """Ask any worker, over a connection of its own."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://127.0.0.1:{server.port}{path}")


async def readiness(server: ServerProcess, wanted: str) -> httpx2.Response:
    """Wait until a worker says this of its readiness."""
    with anyio.fail_after(2 * DEADLINE):
        while True:
            with suppress(httpx2.ConnectError):  # uvicorn tells the address before it listens
                found = await get(server, "/readyz")
                if wanted in found.text:
                    return found
            await anyio.sleep(0.05)


async def attached(server: ServerProcess, since: int = 0) -> None:
    """Wait until all workers are."""
    with anyio.fail_after(2 * DEADLINE):
        while count_attached(server, since) < WORKERS:  # noqa: ASYNC110 # nothing tells of it
            await anyio.sleep(0.05)


def count_attached(server: ServerProcess, since: int) -> int:
    return sum("Attached to" in line for line in server.log.since(since))


async def worker_of(server: ServerProcess, websocket: ClientConnection) -> int:
    """Tell which worker serves a connection: the one that has its other end."""
    for worker in psutil.Process(server.process.pid).children(recursive=True):
        for one in await anyio.to_thread.run_sync(worker.net_connections):
            if one.raddr == websocket.local_address[:2]:
                return worker.pid
    raise AssertionError("no worker has it")


@asynccontextmanager
async def one_at_each(server: ServerProcess, query: str) -> AsyncIterator[list[ClientConnection]]:
    """Connect a client to each worker."""
    async with AsyncExitStack() as stack:
        found: dict[int, ClientConnection] = {}
        for _ in range(MOST_CLIENTS):
            websocket = await stack.enter_async_context(client(server.url(query)))
            found.setdefault(await worker_of(server, websocket), websocket)
            if len(found) == WORKERS:
                break
        assert len(found) == WORKERS
        yield list(found.values())


async def test_all_workers_send_the_same_bytes_and_their_own_numbers(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with sampler(path), served(*with_workers(), path=path) as server:
        await attached(server)
        query = "?seq=true&metrics=cpu,network,load,own_number"
        async with one_at_each(server, query) as clients:
            received = [[await receive(one) for _ in range(10)] for one in clients]
        by_seq = {orjson.loads(text)["seq"]: text for texts in received for text in texts}
        assert len(by_seq) == len({text for texts in received for text in texts})
        assert len(set(received[0]) & set(received[1])) >= 3
        numbers = [orjson.loads(texts[-1]).get("own_number") for texts in received]
        assert numbers == [7, 7]
        metrics = (await get(server, "/metrics")).text
        assert "hub_ticks_total" in metrics
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert WARNING not in server.log.text


async def test_a_restarted_sampler_goes_on_and_no_client_notices_more_than_a_pause(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    with sampler(path) as first, served(*with_workers(), path=path) as server:
        await attached(server)
        async with one_at_each(server, "?seq=true&metrics=cpu") as clients:
            for one in clients:
                await receive(one)
            mark = server.log.mark
            first.process.kill()
            await first.ended()
            refused = await readiness(server, "no samples from")
            assert refused.status_code == 503
            assert path.exists()  # a dead process's
            with sampler(path):
                # Workers that go on at all have the same numbers for the same time.
                seen = [await through(one, server, mark) for one in clients]
                await readiness(server, "ready\n")
                lines = server.log.since(mark)
        for numbers, _ in seen:
            assert numbers == sorted(set(numbers))
        stamps: dict[int, set[str]] = {}
        for _, texts in seen:
            for text in texts:
                message = orjson.loads(text)
                stamps.setdefault(message["seq"], set()).add(message["timestamp"])
        assert all(len(one) == 1 for one in stamps.values())
        assert sum("No samples from" in line for line in lines) == WORKERS
        assert count_attached(server, mark) == WORKERS


async def through(
    websocket: ClientConnection, server: ServerProcess, mark: int
) -> tuple[list[int], list[str]]:
    """Receive until some messages have come after all workers have attached again."""
    texts: list[str] = []
    left = 5
    while left:
        texts.append(await receive(websocket))
        left -= count_attached(server, mark) == WORKERS
    return [orjson.loads(text)["seq"] for text in texts], texts


async def test_another_interval_is_told_and_the_application_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with sampler(path, interval="0.5"), served(*with_workers(), path=path) as server:
        text = "its interval is 0.5 s, and this hub's is 0.1 s"
        found = await readiness(server, text)
        assert found.status_code == 503
        assert (await get(server, "/livez")).status_code == 200
        await anyio.sleep(2.0)  # some attempts
        assert server.log.text.count(f"Cannot use the samples from {path}: {text}") == WORKERS


async def test_without_a_sampler_an_application_serves_and_says_why_it_is_not_ready(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    with served(*with_workers(), path=path) as server:
        found = await readiness(server, f"no samples from {path}: No such file or directory")
        assert found.status_code == 503
        with sampler(path):
            await readiness(server, "ready\n")


# The warning


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def servers() -> Iterator[tuple[str, Sequence[str], str]]:
    yield "uvicorn", with_workers(), r"Uvicorn running on http://\S+:(\d+)"
    port = free_port()
    hypercorn = ("hypercorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", APP)
    yield "hypercorn", hypercorn, rf"Running on http://127.0.0.1:({port})"
    port = free_port()
    granian = ("granian", "--interface", "asgi", "--workers", "2", "--port", port, APP)
    yield "granian", granian, rf"Listening at: http://127.0.0.1:({port})|Started worker-2"
    if find_spec("gunicorn") is not None:
        worker = ("-k", "uvicorn.workers.UvicornWorker", "--bind", "127.0.0.1:0")
        gunicorn = ("gunicorn", "--workers", "2", *worker, APP)
        yield "gunicorn", gunicorn, r"Listening at: http://127.0.0.1:(\d+)"


@pytest.mark.parametrize(
    ("command", "started"),
    [pytest.param(command, started, id=name) for name, command, started in servers()],
)
async def test_one_of_several_workers_that_all_sample_warns(
    command: Sequence[str], started: str
) -> None:
    with ServerProcess(*command) as server:
        await server.logged(started)
        with suppress(AssertionError):  # on a busy machine it takes longer until all serve
            await server.logged(WARNING)
        await server.logged(WARNING)
        await anyio.sleep(2.0)  # for the others
        assert server.log.text.count(WARNING) == 1


@pytest.mark.parametrize("flags", [(), ("--reload", "--reload-dir", "tests/fuzz/corpus")])
async def test_a_single_process_does_not_warn(flags: Sequence[str]) -> None:
    with served(*uvicorn(*flags), path=None) as server:
        await readiness(server, "ready\n")
        await anyio.sleep(SILENCE)
        assert WARNING not in server.log.text


async def test_workers_that_are_attached_do_not_warn(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with sampler(path), served(*with_workers(), path=path) as server:
        await attached(server)
        await anyio.sleep(SILENCE)
        assert WARNING not in server.log.text


# The command


def test_a_second_sampler_at_the_same_socket_is_one_line_and_status_1(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with sampler(path), ServerProcess("hub", "sample", "--socket", str(path)) as second:
        assert second.wait() == 1
        assert second.log.text.endswith(f"cannot listen on {path}: Address already in use")
        assert path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_the_socket_is_gone(
    number: signal.Signals, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with sampler(path, "--socket-mode", "660") as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert server.stop(number) == 0
        assert not list(tmp_path.iterdir())
        assert server.log.text.endswith("Sampling stopped")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((), "--socket must be given, as the path to listen on"),
        (("--socket", "s", "--interval", "0"), "--interval must be a number of seconds"),
        (("--socket", "s", "--socket-mode", "rw"), "--socket-mode must be an octal mode such as"),
        (("--socket", "s", "--devices", "cpu:x"), "--devices must be about families that have"),
        (("--socket", "s", "--port", "1"), "unrecognized arguments: --port 1"),
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(flags: Sequence[str], text: str) -> None:
    with ServerProcess("hub", "sample", *flags) as server:
        assert server.wait() == 2
        (line,) = server.log.since(0)
        assert text in line


def test_a_variable_is_as_good_as_a_flag(tmp_path: Path) -> None:
    environ = {"HUB_SOCKET": str(tmp_path / "s"), "HUB_INTERVAL": "zero"}
    with ServerProcess("hub", "sample", environ=environ) as server:
        assert server.wait() == 2
        assert "HUB_INTERVAL must be a number of seconds" in server.log.text
