"""Views over real sockets, on both ways to a socket: intervals, the past, and where both meet."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote, urlencode

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection

from hub.feed.query import FEED
from tests.support.clients import (
    assert_nothing_lost,
    client,
    handshake,
    message,
    reset,
)
from tests.support.servers import DEADLINE, PATH, STARTERS, ServerProcess, start_hub


@pytest.fixture(scope="module", params=["hub", "hypercorn"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with STARTERS[request.param]() as server:
        yield server


async def messages(websocket: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [await message(websocket) for _ in range(count)]


def timestamps(received: list[dict[str, Any]]) -> list[str]:
    return [one["timestamp"] for one in received]


async def test_a_longer_interval_is_the_mean_of_what_others_saw(server: ServerProcess) -> None:
    query = "?interval=0.3&metrics=cpu,memory"
    least, greatest = f"{query}&aggregate=min", f"{query}&aggregate=max"
    async with (
        client(server.url("?history=60")) as single,
        client(server.url(query)) as mean,
        client(server.url(least)) as low,
        client(server.url(greatest)) as high,
    ):
        windows = [await messages(one, 5) for one in (mean, low, high)]
        seen = await messages(single, 1)
        while seen[-1]["timestamp"] < windows[0][-1]["timestamp"]:
            seen += await messages(single, 1)
    for before, (averages, minima, maxima) in zip(
        windows[0][1:], itertools.islice(zip(*windows, strict=True), 2, None), strict=False
    ):
        assert len({one["timestamp"] for one in (averages, minima, maxima)}) == 1
        begin, end = (timestamps(seen).index(one["timestamp"]) for one in (before, averages))
        values = [one["cpu"] for one in seen[begin + 1 : end + 1]]
        assert averages["cpu"] == pytest.approx(sum(values) / len(values), abs=0.11)
        assert (minima["cpu"], maxima["cpu"]) == (min(values), max(values))


async def test_windows_end_at_whole_multiples_of_their_interval(server: ServerProcess) -> None:
    async with client(server.url("?interval=0.5&seq=true")) as websocket:
        received = await messages(websocket, 3)
    for one in received[1:]:
        second = float(one["timestamp"][17:26])
        assert (second - 0.39) % 0.5 < 0.25, "due in the window's last tenth, and perhaps late"
    assert [b["seq"] - a["seq"] for a, b in itertools.pairwise(received)] == [1, 1]


async def test_a_hundred_replays_join_the_feed_without_gap_or_duplicate(
    server: ServerProcess,
) -> None:
    """A client at a time, others all along, and the feed in between."""
    async with client(server.url()) as live:
        reference = await messages(live, 3)
        replayed = []
        for _ in range(100):
            async with client(server.url("?history=2&seq=true")) as websocket:
                replayed.append(await messages(websocket, 4))
        async with client(server.url("?history=3600")) as websocket:
            everything = await messages(websocket, 1)
            while everything[-1]["timestamp"] < replayed[-1][-1]["timestamp"]:
                everything += await messages(websocket, 1)
    assert_nothing_lost([timestamps(one) for one in (everything, reference, *replayed)])
    numbers: dict[str, set[int]] = {}
    for one in replayed:
        for received in one:
            numbers.setdefault(received["timestamp"], set()).add(received["seq"])
    in_order = [number for _, (number,) in sorted(numbers.items())]  # the same for all clients
    assert in_order == sorted(set(in_order))


@pytest.mark.parametrize("query", ["", "&interval=0.3"])
async def test_who_comes_back_gets_what_was_missed(server: ServerProcess, query: str) -> None:
    async with client(server.url(f"?history=3600{query}")) as bystander:
        received: list[dict[str, Any]] = []
        since = ""
        for pause in (0.0, 0.35, 0.0):
            async with client(server.url(f"?{since}{query}")) as websocket:
                received += await messages(websocket, 2)
                reset(websocket)
            await anyio.sleep(pause)
            since = f"since={quote(received[-1]['timestamp'])}"
        everything = await messages(bystander, 1)
        while everything[-1]["timestamp"] < received[-1]["timestamp"]:
            everything += await messages(bystander, 1)
    assert timestamps(received) == sorted(set(timestamps(received)))
    assert_nothing_lost([timestamps(everything), timestamps(received)])


async def test_who_comes_back_after_the_server_has_forgotten_starts_cleanly(
    server: ServerProcess,
) -> None:
    async with client(server.url("?since=2025-11-10T12:30:45Z")) as websocket:
        received = await messages(websocket, 3)
    async with client(server.url("?history=3600")) as websocket:
        everything = await messages(websocket, 3)
    assert received == everything
    async with client(server.url("?since=2125-11-10T12:30:45Z")) as websocket:
        assert len(await messages(websocket, 2)) == 2


async def test_crowds_that_come_back_at_once_all_get_everything() -> None:
    with start_hub() as server:
        async with client(server.url()) as live:
            await messages(live, 5)
            async with AsyncExitStack() as stack:
                crowd = [
                    await stack.enter_async_context(client(server.url("?history=60")))
                    for _ in range(100)
                ]
                received = [timestamps(await messages(one, 10)) for one in crowd]
    assert_nothing_lost(received)
    assert len({one[0] for one in received}) == 1


NAMES = st.sampled_from([*(one.name for one in FEED), "colour"])
TEXTS = st.sampled_from(
    ["true", "0.1", "0.5", "1", "60", "cpu", "cpu,disk", "mean", "max", "2025-11-10T12:30:45Z", ""]
)
FORMS = st.lists(st.tuples(NAMES, TEXTS | st.text(max_size=8)), max_size=4).map(urlencode)
ODDITIES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@given(FORMS | ODDITIES)
@settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def _ask(server: ServerProcess, query: str) -> None:
    """Whatever is asked for is served at once or refused with a reason."""
    target = f"{PATH}?{query.partition('#')[0]}"
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        sock.sendall(handshake(target))
        answer = b""
        while b'"timestamp"' not in answer and not answer.endswith(b"}"):
            received = sock.recv(65536)
            assert received, answer
            answer += received
    head = answer.split(b" ", 2)
    assert head[1] == (b"101" if b'"timestamp"' in answer else b"400"), answer


def test_whatever_is_asked_for_is_served_or_refused() -> None:
    with start_hub() as server:
        _ask(server)
        assert "Error" not in server.log.text
