"""The feed over real sockets, the same on every server."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, suppress

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.clients import (
    DEFAULT_MESSAGE,
    assert_nothing_lost,
    client,
    close_code,
    handshake,
    message,
    receive,
    reset,
    reset_on_close,
)
from tests.support.servers import (
    DEADLINE,
    PATH,
    STARTERS,
    ServerProcess,
    start_granian,
    start_hub,
    start_hypercorn,
)

BUDGET = 64
LIMIT = 4096


@pytest.fixture(scope="module", params=STARTERS)
def shared(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with STARTERS[request.param]() as server:
        yield server


@pytest.fixture
async def server(shared: ServerProcess) -> AsyncIterator[ServerProcess]:
    """The server, which must know of no client and have logged no traceback afterwards."""
    mark = shared.log.mark
    yield shared
    async with client(shared.url()) as websocket:
        await receive(websocket)
    await shared.has_total(0)
    shared.assert_tidy(since=mark)


async def timestamps(websocket: ClientConnection, count: int) -> list[str]:
    return [(await message(websocket))["timestamp"] for _ in range(count)]


async def test_the_first_message_has_exactly_the_form_of_the_contract(
    server: ServerProcess,
) -> None:
    async with client(server.url()) as websocket:
        assert DEFAULT_MESSAGE.fullmatch(await receive(websocket))


async def test_values_are_percentages(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        values = await message(websocket)
    assert all(0 <= values[name] <= 100 for name in ("cpu", "memory", "disk"))


async def test_timestamps_increase_from_message_to_message(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        seen = await timestamps(websocket, 2)
    assert seen == sorted(set(seen))


async def test_the_latest_sample_is_sent_at_once(server: ServerProcess) -> None:
    async with client(server.url()) as early, client(server.url()) as late:
        seen = await timestamps(early, 2)
        first = (await message(late))["timestamp"]
        assert first in seen or first < seen[0]


@pytest.mark.parametrize(
    "query",
    [
        "?metrics=disk,cpu",
        "?metrics=disk&metrics=cpu",
        "?metrics=cpu,disk,cpu,disk",
        "?metrics=d%69sk%2Ccpu",
        "?&metrics=cpu,disk&",
    ],
)
async def test_only_the_chosen_metrics_come_in_the_contract_s_order(
    server: ServerProcess, query: str
) -> None:
    async with client(server.url(query)) as websocket:
        assert list(await message(websocket)) == ["cpu", "disk", "timestamp"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?metrics=gpu", "metrics"),
        ("?metrics=cpu,gpu", "metrics"),
        ("?metrics=CPU", "metrics"),
        ("?metrics=", "metrics"),
        ("?metrics", "metrics"),
        ("?metrics=cpu,", "metrics"),
        ("?metrics=%zz", "metrics"),
        ("?metrics=cpu;disk", "metrics"),
        ("?metrics=cpu&colour=red", "colour"),
        ("?Metrics=cpu", "Metrics"),
        ("?=cpu", ""),
        ("?metrics=%ff", "query"),
        ("?%ff=cpu", "query"),
        ("?metrics=%ed%a0%80", "query"),
    ],
)
async def test_a_bad_query_is_refused_with_400_before_it_is_accepted(
    server: ServerProcess, query: str, parameter: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with client(server.url(query)):
            pass
    response = refused.value.response
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    body = json.loads(response.body or b"")
    assert list(body) == ["error", "parameter"]
    assert body["parameter"] == parameter
    assert len(body["error"].splitlines()) == 1


async def test_a_refusal_of_a_metric_lists_the_valid_names(server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with client(server.url("?metrics=gpu")):
            pass
    body = json.loads(refused.value.response.body or b"")
    assert "cpu, memory, disk" in body["error"]
    assert "'gpu'" in body["error"]


async def test_a_path_that_is_not_the_feed_s_is_refused(server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with client(f"ws://127.0.0.1:{server.port}/api/system/other"):
            pass
    assert refused.value.response.status_code in {403, 404}


async def test_what_a_client_says_within_its_budget_is_ignored(server: ServerProcess) -> None:
    async with client(server.url()) as bystander, client(server.url()) as talker:
        before = await timestamps(bystander, 1)
        for number in range(BUDGET):
            await talker.send("hello" if number % 2 else b"\xff\x00")
        after = await timestamps(talker, 2)
        assert_nothing_lost([before + await timestamps(bystander, 2), after])


async def test_messages_of_the_greatest_size_allowed_are_ignored(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        for said in ("", b"", "x" * LIMIT, b"\0" * LIMIT, "€" * (LIMIT // 3)):
            await websocket.send(said)
        await timestamps(websocket, 2)


async def test_a_message_too_big_is_answered_with_1009(server: ServerProcess) -> None:
    async with client(server.url()) as bystander:
        before = await timestamps(bystander, 1)
        for said in ("x" * (LIMIT + 1), b"\0" * (LIMIT + 1), "x" * (64 * LIMIT)):
            async with client(server.url()) as talker:
                await talker.send(said)
                assert await close_code(talker) == 1009
        assert_nothing_lost([before + await timestamps(bystander, 2)])


async def test_the_size_of_text_is_counted_in_bytes(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        await websocket.send("€" * LIMIT)
        with anyio.fail_after(DEADLINE):
            assert await close_code(websocket) == 1009


async def test_text_that_is_not_utf_8_ends_the_connection(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        await websocket.send(b"\xff\xfe", text=True)
        code = await close_code(websocket)
    assert code == 1007 or server.kind != "hub"  # others are cut off by their server in its way


async def test_a_message_too_big_is_noticed_in_fragments(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        with suppress(ConnectionClosed):
            await websocket.send(["x" * 1024] * 5)
        assert await close_code(websocket) == 1009


async def test_a_client_that_talks_too_much_is_answered_with_1008(server: ServerProcess) -> None:
    async with client(server.url()) as bystander, client(server.url()) as talker:
        before = await timestamps(bystander, 1)
        for _ in range(BUDGET + 1):
            await talker.send("hello")
        assert await close_code(talker) == 1008
        assert_nothing_lost([before + await timestamps(bystander, 2)])


async def test_a_flood_ends_the_connection_it_comes_on(server: ServerProcess) -> None:
    async with client(server.url()) as bystander, client(server.url()) as talker:
        before = await timestamps(bystander, 1)
        with suppress(ConnectionClosed):
            for _ in range(5 * BUDGET):
                await talker.send("hello")
        try:
            with anyio.fail_after(DEADLINE):
                await talker.wait_closed()
        finally:
            talker.transport.abort()
        # Granian resets a connection with unread input, so that its close frame may be lost.
        assert talker.close_code == 1008 or (talker.close_code, server.kind) == (1006, "granian")
        assert_nothing_lost([before + await timestamps(bystander, 2)])


async def test_a_client_that_vanishes_disturbs_nobody(server: ServerProcess) -> None:
    async with client(server.url()) as bystander:
        before = await timestamps(bystander, 1)
        for _ in range(5):
            async with client(server.url()) as victim:
                await receive(victim)
                reset(victim)
        await server.has_total(1)
        assert_nothing_lost([before + await timestamps(bystander, 2)])


async def test_clients_that_vanish_during_the_handshake_disturb_nobody(
    server: ServerProcess,
) -> None:
    mark = server.log.mark
    async with client(server.url()) as bystander:
        before = await timestamps(bystander, 1)
        for query in ("", "?metrics=cpu", "?metrics=gpu") * 10:
            with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
                reset_on_close(sock)
                sock.sendall(handshake(PATH + query))
        assert_nothing_lost([before + await timestamps(bystander, 2)])
    await server.has_total(0)
    server.assert_tidy(since=mark)


async def test_a_hundred_clients_all_get_the_same_tick(server: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(client(server.url())) for _ in range(100)]
        received = [await timestamps(websocket, 2) for websocket in crowd]
        newest = max(seen[-1] for seen in received)
        for websocket, seen in zip(crowd, received, strict=True):
            while seen[-1] < newest:
                seen.extend(await timestamps(websocket, 1))
        assert all(newest in seen for seen in received)
        assert_nothing_lost(received)


async def test_a_polite_close_is_answered(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        await receive(websocket)
        await websocket.close(1000, "goodbye")
        assert websocket.close_code == 1000


async def test_a_ping_is_answered(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        await (await websocket.ping(b"are you there?"))


async def test_connections_are_counted_in_the_log(server: ServerProcess) -> None:
    mark = server.log.mark
    async with client(server.url()) as first, client(server.url()) as second:
        await receive(first)
        await receive(second)
        await server.logged(r" Public WS client connected\. Total: 1$", since=mark)
        await server.logged(r" Public WS client connected\. Total: 2$", since=mark)
    await server.logged(r" Public WS client disconnected\. Total: 1$", since=mark)
    await server.logged(r" Public WS client disconnected\. Total: 0$", since=mark)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            start_hypercorn,
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 12),
                reason="Hypercorn 0.18 waits there for its clients, whatever the application",
            ),
        ),
        start_granian,
    ],
)
async def test_mounted_in_a_host_the_feed_comes_and_sigterm_ends_the_process(
    start: Callable[[str], AbstractContextManager[ServerProcess]],
) -> None:
    with start("tests.support.feed:host") as server:
        url = f"ws://127.0.0.1:{server.port}/monitor{PATH}"
        async with client(url) as reading, client(url) as idle:
            assert DEFAULT_MESSAGE.fullmatch(await receive(reading))
            await receive(idle)
            server.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(3):
                await close_code(reading)
                await server.ended()
    assert "/hub/" not in server.log.text, "a traceback of Hypercorn's own is not our concern"
    assert "Task was destroyed" not in server.log.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_stop_tells_clients_and_ends_with_status_0(
    number: signal.Signals,
) -> None:
    with start_hub() as server, socket.create_connection(("127.0.0.1", server.port)) as silent:
        async with AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(client(server.url())) for _ in range(10)]
            for websocket in crowd:
                await receive(websocket)
            server.process.send_signal(number)
            with anyio.fail_after(3):
                assert {await close_code(websocket) for websocket in crowd} <= {1001, 1012}
                assert await server.ended() == 0
        assert silent.recv(1) == b""
        await server.has_total(0)


STRANGE = [
    handshake(f"{PATH}?metrics={'cpu,' * 2500}cpu"),
    handshake(PATH, *(f"X-{n}: 1" for n in range(200))),
    handshake(PATH, "Content-Length: 5") + b"hello",
]


async def test_strange_handshakes_do_not_spoil_the_stop() -> None:
    with start_hub() as server, ExitStack() as strangers:
        for request in STRANGE:
            address = ("127.0.0.1", server.port)
            strangers.enter_context(socket.create_connection(address)).sendall(request)
        async with client(server.url()) as websocket:
            await receive(websocket)
            server.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(3):
                assert await close_code(websocket) in {1001, 1012}
                assert await server.ended() == 0
