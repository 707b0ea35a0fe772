"""Several workers on one address: a feed, its limits and its faults, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
import httpx2
import orjson
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.clients import client, close_code, receive
from tests.support.exposition import samples
from tests.support.servers import DEADLINE, ServerProcess, start_hub

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.name != "posix", reason="this system cannot share a port"),
]

WORKERS: Final = 2
MANY: Final = 20
"""Connections of which hardly ever all meet the same worker."""


@contextmanager
def service(*flags: str, workers: int = WORKERS, interval: str = "0.1") -> Iterator[ServerProcess]:
    with start_hub("--workers", str(workers), *flags, interval=interval) as server:
        yield server


def workers(server: ServerProcess) -> list[psutil.Process]:
    found = psutil.Process(server.process.pid).children()  # among them those that have ended
    return sorted(
        (one for one in found if one.status() != psutil.STATUS_ZOMBIE), key=lambda one: one.pid
    )


async def get(server: ServerProcess, path: str, **headers: str) -> httpx2.Response:
    """Ask any worker, over a connection of its own."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://127.0.0.1:{server.port}{path}", headers=headers)


async def figures(server: ServerProcess) -> dict[str, float]:
    return samples((await get(server, "/metrics", Accept="application/openmetrics-text")).text)


async def wait_until(look: Any, wanted: Any) -> Any:  # noqa: ANN401 # what is looked at
    found = None
    with anyio.move_on_after(DEADLINE):
        while not wanted(found := await look()):  # noqa: ASYNC110 # nothing tells of it
            await anyio.sleep(0.05)
        return found
    raise AssertionError(f"it stayed at {found!r}")


@asynccontextmanager
async def crowd(
    server: ServerProcess, query: str, count: int = MANY
) -> AsyncIterator[list[ClientConnection]]:
    async with AsyncExitStack() as stack:
        # Those that have not read all do not see the answer to their farewell.
        clients = [connect(server.url(query), proxy=None, close_timeout=0) for _ in range(count)]
        yield [await stack.enter_async_context(one) for one in clients]


async def worker_of(server: ServerProcess, websocket: ClientConnection) -> psutil.Process:
    """Tell which worker serves a connection: the one that has its other end."""
    for worker in workers(server):
        for one in await anyio.to_thread.run_sync(worker.net_connections):
            if one.raddr == websocket.local_address[:2]:
                return worker
    raise AssertionError("no worker has it")


async def test_all_clients_get_the_same_bytes_whichever_worker_they_meet() -> None:
    with service() as server:
        query = "?seq=true&metrics=cpu,process,network,load&interval=0.2"
        async with crowd(server, query) as clients:
            assert len({(await worker_of(server, one)).pid for one in clients}) == WORKERS
            received = [[await receive(one) for _ in range(6)] for one in clients]
        common = set(received[0]).intersection(*received)
        assert len(common) >= 4
        by_seq = {orjson.loads(text)["seq"]: text for texts in received for text in texts}
        assert len(by_seq) == len({text for texts in received for text in texts})


async def test_the_past_is_the_same_at_all_workers_also_at_one_that_has_just_begun() -> None:
    with service() as server:
        await wait_until(
            lambda: get(server, "/api/system/metrics/history?seconds=60"),
            lambda found: len(found.json()["cpu"]) > 5,
        )
        async with client(server.url("?seq=true")) as first:
            message = orjson.loads(await receive(first))
        await replaced(server, signal.SIGKILL)
        pasts = []
        for _ in range(MANY):
            found = (
                await get(server, "/api/system/metrics/history?seconds=60&metrics=cpu,network")
            ).json()
            at = found["timestamp"].index(message["timestamp"])
            pasts.append(
                (
                    at,
                    found["timestamp"][: at + 1],
                    found["cpu"][: at + 1],
                    found["network"][: at + 1],
                )
            )
        assert all(past == pasts[0] for past in pasts)
        async with crowd(server, f"?seq=true&since={message['timestamp']}") as clients:
            following = [orjson.loads(await receive(one)) for one in clients]
        assert {one["seq"] for one in following} == {message["seq"] + 1}


async def replaced(server: ServerProcess, number: signal.Signals) -> psutil.Process:
    """End a worker, wait until another serves in its place, and return the one that was left."""
    (ended, left), mark = workers(server), server.log.mark
    ended.send_signal(number)
    await server.logged("Worker . serves again", since=mark)
    return left


class Follower:
    """Follows the feed as a client should that reconnects."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.numbers: list[int] = []  # of all messages
        self.connections = 0  # how many it has had

    async def run(self) -> None:
        """Follow until cancelled."""
        since = ""
        while True:
            try:
                url = self._server.url(f"?seq=true{since}")
                async with connect(url, proxy=None) as websocket:
                    self.connections += 1
                    async for text in websocket:
                        message = orjson.loads(text)
                        self.numbers.append(message["seq"])
                        since = f"&since={message['timestamp']}"
            except (OSError, ConnectionClosed):
                await anyio.sleep(0.05)


async def further(followers: Sequence[Follower], count: int) -> None:
    """Wait until each has had so many more messages."""
    before = [len(one.numbers) for one in followers]

    async def look() -> int:
        return min(len(one.numbers) - had for one, had in zip(followers, before, strict=True))

    await wait_until(look, lambda found: found >= count)


async def test_when_a_worker_is_killed_the_others_miss_nothing_and_its_clients_come_back() -> None:
    with service() as server:
        async with crowd(server, "?seq=true") as clients:
            homes = [(await worker_of(server, one)).pid for one in clients]
            followers = [Follower(server) for _ in range(MANY)]
            async with anyio.create_task_group() as group:
                for one in followers:
                    group.start_soon(one.run)
                await further(followers, 3)
                killed = workers(server)[0].pid
                left = await replaced(server, signal.SIGKILL)
                await further(followers, 10)
                group.cancel_scope.cancel()
            staying = [one for one, home in zip(clients, homes, strict=True) if home == left.pid]
            assert staying
            assert killed in homes
            found = [one.numbers for one in followers]
            assert any(one.connections > 1 for one in followers), "none has met the killed one"
            # Later than those: a busy machine misses ticks, and clients that stay show which.
            seen = [await numbers_until(one, max(map(max, found))) for one in staying]
        for numbers in (*found, *seen):
            wanted = [one for one in seen[0] if numbers[0] <= one <= numbers[-1]]
            assert [one for one in numbers if one >= seen[0][0]] == wanted
        assert restarts(server) == 1


async def numbers_until(websocket: ClientConnection, last: int) -> list[int]:
    """Receive messages up to a number; return the numbers of all."""
    numbers = [0]
    while numbers[-1] < last:
        numbers.append(orjson.loads(await receive(websocket))["seq"])
    return [one for one in numbers if 0 < one <= last]


def restarts(server: ServerProcess) -> int:
    return server.log.text.count("another one takes its place")


async def test_figures_tell_of_the_whole_service_and_never_go_back() -> None:
    with service() as server:
        async with crowd(server, "?metrics=cpu,process"):
            await wait_until(
                lambda: figures(server),
                lambda found: found["hub_clients{transport=websocket}"] == MANY,
            )
            before = [await figures(server) for _ in range(6)]
            assert len({one["hub_clients{transport=websocket}"] for one in before}) == 1
            parts = [before[0][f"hub_worker_clients{{worker={n}}}"] for n in (1, 2)]
            assert sum(parts) == MANY
            assert min(parts) > 0
            sums = sum(
                one.memory_info().rss
                for one in (*workers(server), psutil.Process(server.process.pid))
            )
            assert before[0]["process_resident_memory_bytes"] == pytest.approx(sums, rel=0.1)
            async with client(server.url("?metrics=process")) as one:
                await receive(one)
                process = orjson.loads(await receive(one))["process"]
            assert process["rss_bytes"] == pytest.approx(sums, rel=0.1)
            delivered = before[-1]["hub_frames_delivered_total"]
            await replaced(server, signal.SIGKILL)
            after = await wait_until(
                lambda: figures(server),
                lambda found: (
                    found["hub_worker_starts_total{worker=1}"]
                    + found["hub_worker_starts_total{worker=2}"]
                    == 3
                ),
            )
            assert after["hub_frames_delivered_total"] >= delivered
            assert (await get(server, "/readyz")).text == "ready\n"
            assert (await get(server, "/livez")).text == "ok\n"


async def test_sigterm_sends_all_clients_away_and_ends_with_status_0() -> None:
    with service() as server:
        async with crowd(server, "") as clients:
            assert await server.stopped() == 0
            assert {await close_code(one) for one in clients} == {1012}
        assert server.log.since(server.log.mark - 1)[0].endswith("Hub stopped")


async def test_workers_end_with_the_process_that_samples() -> None:
    with service() as server:
        left = workers(server)
        async with crowd(server, ""):
            server.process.kill()
            begun = time.monotonic()
            gone, alive = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(left, DEADLINE))
            assert not alive
            assert len(gone) == WORKERS
            assert time.monotonic() - begun < 2.5


async def test_sigusr2_replaces_all_workers_without_refusing_a_connection() -> None:
    with service() as server:
        before = {one.pid for one in workers(server)}
        refused: list[BaseException] = []
        served = [0]

        async def knock() -> None:
            while True:
                try:
                    async with connect(server.url(), proxy=None) as websocket:
                        await websocket.recv()
                except (OSError, InvalidStatus, ConnectionClosed) as error:
                    if (
                        not isinstance(error, ConnectionClosed)
                        or error.rcvd is None
                        or error.rcvd.code != 1012
                    ):
                        refused.append(error)
                served[0] += 1

        async def look() -> set[int]:
            return {one.pid for one in workers(server)}

        async def count() -> int:
            return served[0]

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(knock)
            server.process.send_signal(signal.SIGUSR2)
            await wait_until(look, lambda pids: len(pids) == WORKERS and not pids & before)
            so_far = served[0]
            await wait_until(count, lambda found: found >= so_far + MANY)
            group.cancel_scope.cancel()
        assert not refused
        assert restarts(server) == 0


async def test_what_a_replaced_worker_has_done_is_not_forgotten() -> None:
    with service() as server:
        mark = server.log.mark
        async with crowd(server, "") as clients:
            server.process.send_signal(signal.SIGUSR2)
            assert {await close_code(one) for one in clients} == {1012}
        await wait_until(
            lambda: figures(server),
            lambda found: found["hub_clients_closed_total{reason=restart}"] == MANY,
        )
        assert sum("serves again" in line for line in server.log.since(mark)) == WORKERS


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
async def test_a_worker_that_dies_while_all_are_replaced_has_one_successor(delay: float) -> None:
    with service() as server:
        before = {one.pid for one in workers(server)}
        first = workers(server)[0]
        server.process.send_signal(signal.SIGUSR2)
        await anyio.sleep(delay)
        first.kill()

        async def look() -> set[int]:
            return {one.pid for one in workers(server)}

        await server.logged("Replacing workers has ended")
        await wait_until(look, lambda pids: len(pids) == WORKERS and not pids & before)
        mark = server.log.mark
        server.process.send_signal(signal.SIGUSR2)  # and it goes on as ever
        await server.logged("Replacing workers has ended", since=mark)
        await wait_until(look, lambda pids: len(pids) == WORKERS)
        assert await server.stopped() == 0


async def test_limits_hold_for_all_workers_together() -> None:
    flags = ("--max-clients", "8", "--views", "4", "--connect-rate", "40/minute")
    with service(*flags) as server:
        async with AsyncExitStack() as stack:
            statuses: list[int] = []
            for _ in range(30):
                try:
                    await stack.enter_async_context(client(server.url()))
                except InvalidStatus as error:
                    statuses.append(error.response.status_code)
            assert statuses == [503] * 22
            mark = server.log.mark
        await server.logged("Total: 0$", since=mark)
        statuses = []
        for _ in range(MANY):
            try:
                async with client(server.url()):
                    pass
            except InvalidStatus as error:
                statuses.append(error.response.status_code)
        assert statuses == [429] * (MANY - 10)


async def test_a_killed_worker_s_places_are_free_again() -> None:
    with service("--max-clients", str(MANY), "--max-clients-per-ip", str(MANY)) as server:
        async with crowd(server, "") as clients:
            with pytest.raises(InvalidStatus):
                async with client(server.url()):
                    pass
            left = await replaced(server, signal.SIGKILL)
            homes = [one for one in clients if one.close_code is None and one.state == 1]
            async with AsyncExitStack() as stack:
                for _ in range(MANY - len(homes)):
                    await stack.enter_async_context(client(server.url()))
                with pytest.raises(InvalidStatus):
                    async with client(server.url()):
                        pass
            assert left.is_running()


async def test_log_lines_name_the_worker_and_count_all_clients() -> None:
    with service() as server:
        async with crowd(server, ""):
            await server.logged(f"Total: {MANY}$")
        await server.logged("Total: 0$")
        named = [line for line in server.log.since(0) if "WS client" in line]
        assert all("[worker 1]" in line or "[worker 2]" in line for line in named)
        assert {line.split("[worker ")[1][0] for line in named} == {"1", "2"}


@pytest.mark.parametrize("text", ["0", "257", "-1", "two", "1.5", ""])
def test_a_number_of_workers_breaks_its_rule_in_one_line(text: str) -> None:
    with ServerProcess("hub", "--workers", text) as server:
        assert server.wait() == 2
        assert "argument" not in server.log.text
        assert server.log.text.endswith(
            f"--workers must be a whole number from 1 to 256, or auto, not {text!r}"
        )


def test_one_worker_is_a_single_process_without_any_of_this() -> None:
    with start_hub("--workers", "1") as server:
        assert not workers(server)
    code = "import hub.__main__, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 # our own
    wanted = ("hub.workers", "hub.access.segment", "hub.access.shared_limits")
    assert not [one for one in loaded.stdout.split() if one.startswith(wanted)]
