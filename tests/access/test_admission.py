"""Who may come in, over real sockets."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from hub import Hub, Settings, create_app
from hub.access.address import peer_name
from hub.access.admission import Admission, Transport
from hub.access.places import descriptor_limit
from hub.errors import CloseReason, RefusalReason, Refused
from tests.support.clients import client, close_code, message, receive, reset, strict_json
from tests.support.fakes import FakeClock
from tests.support.servers import (
    DEADLINE,
    PATH,
    ServerProcess,
    serve_here,
    start_granian,
    start_hub,
    start_hypercorn,
)
from tests.support.tokens import TOKEN

RESTRICTED: Final = "/api/system/ws"
STREAM: Final = f"{PATH}/stream"
Headers: TypeAlias = dict[str, str] | list[tuple[str, str]] | None

BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}

STARTERS: Final[dict[str, Callable[[], AbstractContextManager[ServerProcess]]]] = {
    "hub": partial(start_hub, environ={"HUB_TOKENS": f"another, {TOKEN}"}),
    "hypercorn": start_hypercorn,
    "granian": start_granian,
}


@pytest.fixture(scope="module", params=STARTERS)
def shared(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with STARTERS[request.param]() as server:
        yield server


@pytest.fixture
def server(shared: ServerProcess) -> Iterator[ServerProcess]:
    """A server with tokens, which has written none of them, nor a traceback."""
    mark = shared.log.mark
    yield shared
    shared.assert_tidy(since=mark)
    assert TOKEN not in shared.log.text
    assert "another" not in shared.log.text


@asynccontextmanager
async def admit_attempt(
    port: int,
    target: str = PATH,
    headers: Headers = None,
    subprotocols: list[str] | None = None,
    *,
    name: str = "127.0.0.1",
) -> AsyncIterator[ClientConnection]:
    """Connect to this machine, by whatever name."""
    with anyio.fail_after(2 * DEADLINE):
        async with connect(
            f"ws://{name}:{port}{target}",
            host="127.0.0.1",
            additional_headers=headers,
            subprotocols=[Subprotocol(name) for name in subprotocols or ()] or None,
            compression=None,
            proxy=None,
            close_timeout=2,
        ) as websocket:
            yield websocket


async def refusal(
    port: int,
    target: str = PATH,
    headers: Headers = None,
    subprotocols: list[str] | None = None,
    *,
    name: str = "127.0.0.1",
) -> tuple[int, str, Mapping[str, str]]:
    """Be refused; return the status, the reason, and the headers of the answer."""
    with pytest.raises(InvalidStatus) as refused:
        async with admit_attempt(port, target, headers, subprotocols, name=name):
            pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/json"
    body = strict_json(bytes(response.body or b"").decode())
    assert list(body) == ["error", "reason"]
    assert body["error"].isprintable()
    assert TOKEN not in body["error"]
    return response.status_code, body["reason"], response.headers


# The feed for those who have a token


async def test_a_token_in_the_header_opens_all_families(server: ServerProcess) -> None:
    async with admit_attempt(
        server.port, f"{RESTRICTED}?metrics=cpu,processes", BEARER
    ) as websocket:
        values = await message(websocket)
    assert 1 <= len(values["processes"]) <= 10
    assert set(values["processes"][0]) == {"pid", "name", "cpu", "memory"}


@pytest.mark.parametrize("header", [f"bearer {TOKEN}", f"BEARER  {TOKEN}", "Bearer another"])
async def test_every_token_does_and_the_scheme_s_case_does_not_matter(
    server: ServerProcess, header: str
) -> None:
    async with admit_attempt(server.port, RESTRICTED, {"Authorization": header}) as websocket:
        assert list(await message(websocket)) == ["cpu", "memory", "disk", "timestamp"]


@pytest.mark.parametrize(
    "names", [["metrics.v1", f"bearer.{TOKEN}"], [f"bearer.{TOKEN}", "metrics.v1"]]
)
async def test_a_token_among_the_subprotocols_does_and_is_not_the_one_selected(
    server: ServerProcess, names: list[str]
) -> None:
    async with admit_attempt(server.port, RESTRICTED, None, names) as websocket:
        assert websocket.subprotocol == "metrics.v1"
        await message(websocket)


@pytest.mark.parametrize(
    ("query", "headers", "names"),
    [
        ("", None, None),
        ("", {"Authorization": TOKEN}, None),
        ("", {"Authorization": "Bearer"}, None),
        ("", {"Authorization": "Bearer "}, None),
        ("", {"Authorization": f"Basic {TOKEN}"}, None),
        ("", {"Authorization": f"Bearer {TOKEN}x"}, None),
        ("", {"Authorization": f"Bearer {TOKEN[:-1]}"}, None),
        ("", {"Authorization": f"Bearer {TOKEN.upper()}"}, None),
        ("", {"Authorization": f"Bearer {TOKEN} {TOKEN}"}, None),
        ("", [("Authorization", f"Bearer {TOKEN}")] * 2, None),
        ("", {"Authorization": "Bearer wrong"}, ["metrics.v1", f"bearer.{TOKEN}"]),
        ("", None, ["metrics.v1"]),
        ("", None, ["metrics.v1", "bearer."]),
        ("", None, ["metrics.v1", TOKEN]),
        ("", None, ["metrics.v1", "bearer.wrong", f"bearer.{TOKEN}"]),
        (f"?token={TOKEN}", None, None),
        (f"?access_token={TOKEN}", None, None),
        (f"?{TOKEN}", None, None),
        ("?metrics=processes", None, None),
        ("?metrics=nonsense", None, None),
    ],
)
async def test_without_the_right_token_nobody_comes_in_and_nothing_is_told(
    server: ServerProcess, query: str, headers: Headers, names: list[str] | None
) -> None:
    status, reason, answer = await refusal(server.port, f"{RESTRICTED}{query}", headers, names)
    assert (status, reason) == (401, "token")
    assert answer["WWW-Authenticate"] == "Bearer"


async def test_a_token_in_the_query_is_refused_without_being_repeated(
    server: ServerProcess,
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with admit_attempt(server.port, f"{RESTRICTED}?token={TOKEN}", BEARER):
            pass
    assert refused.value.response.status_code == 400
    assert TOKEN.encode() not in (refused.value.response.body or b"")


async def test_the_public_feed_is_as_it_was(server: ServerProcess) -> None:
    async with admit_attempt(server.port, PATH, {"Authorization": "Bearer wrong"}) as websocket:
        await message(websocket)
    async with admit_attempt(server.port, PATH, None, ["metrics.v1", "bearer.wrong"]) as websocket:
        assert websocket.subprotocol == "metrics.v1"
    with pytest.raises(InvalidStatus):
        async with admit_attempt(server.port, f"{PATH}?metrics=processes", BEARER):
            pass


async def test_both_feeds_count_their_own_clients_in_the_log(server: ServerProcess) -> None:
    mark = server.log.mark
    async with (
        admit_attempt(server.port, RESTRICTED, BEARER) as one,
        admit_attempt(server.port, PATH) as other,
    ):
        await message(one)
        await message(other)
        await server.logged(r"Authenticated WS client connected\. Total: 1$", since=mark)
        await server.logged(r"Public WS client connected\. Total: 1$", since=mark)
    await server.logged(r"Authenticated WS client disconnected\. Total: 0$", since=mark)


async def test_without_tokens_nobody_has_the_right_one() -> None:
    async with serve_here(create_app(Settings())) as local:
        status, _, _ = await refusal(local.port, RESTRICTED, {"Authorization": "Bearer "})
        assert status == 401


def with_token(token: str, host: str = "192.0.2.7") -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return {"headers": headers, "client": (host, 4711)}


async def test_wrong_tokens_are_limited_by_address_and_right_ones_always_pass() -> None:
    clock = FakeClock()
    admission = Admission(clock=clock, tokens=(TOKEN,))

    def reason(token: str, host: str = "192.0.2.7") -> RefusalReason | None:
        try:
            admission.authenticate(with_token(token, host))
        except Refused as refused:
            return refused.reason
        return None

    for _ in range(20):
        assert reason("") is RefusalReason.TOKEN, "which is no guess"
    guesses = [reason(f"guess-{number}") for number in range(15)]
    assert guesses == 10 * [RefusalReason.TOKEN] + 5 * [RefusalReason.RATE]
    assert reason(TOKEN) is None
    assert reason("guess", "192.0.2.8") is RefusalReason.TOKEN
    await clock.advance(60)
    assert reason("guess") is RefusalReason.TOKEN


# Where tokens come from


def token_file(path: Path, text: str) -> str:
    target = path / "tokens"
    target.write_text(text)
    return os.fspath(target)


async def test_tokens_come_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    path = token_file(tmp_path, f"# those of the office\n\n  first  \n{TOKEN}\n#no-token\n")
    with start_hub("--token-file", path, environ={"HUB_TOKENS": "third\nfourth"}) as server:
        for token in ("first", TOKEN, "third", "fourth"):
            headers = {"Authorization": f"Bearer {token}"}
            async with admit_attempt(server.port, RESTRICTED, headers) as websocket:
                await message(websocket)
        for token in ("#no-token", "those", "#"):
            found = await refusal(server.port, RESTRICTED, {"Authorization": f"Bearer {token}"})
            assert found[0] == 401


# Places


async def test_above_the_limit_there_is_no_place_until_somebody_leaves() -> None:
    hub = Hub(Settings(interval=0.1, max_clients=2))
    async with serve_here(create_app(hub=hub)) as server, AsyncExitStack() as stack:
        first = await stack.enter_async_context(admit_attempt(server.port))
        await message(first)
        http = await stack.enter_async_context(http_client(server.port))
        async with http.stream("GET", STREAM) as events:
            assert events.status_code == 200
            status, reason, headers = await refusal(server.port)
            assert (status, reason, headers["Retry-After"]) == (503, "capacity", "5")
            refused = await http.get(STREAM)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            assert (await http.get(PATH)).status_code == 200
        await until_clients(hub, 1)
        async with admit_attempt(server.port) as second:
            await message(second)
            reset(second)
        await until_clients(hub, 1)
        async with admit_attempt(server.port) as third:
            await message(third)


@asynccontextmanager
async def http_client(port: int) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as http:
        yield http


async def until_clients(hub: Hub, count: int) -> None:
    """Wait until the hub has heard who is gone; each tick is a chance to."""
    with anyio.fail_after(DEADLINE):
        async with hub.subscribe() as frames:
            async for _ in frames:
                if hub.statistics().subscribers == count + 1:
                    return


async def test_a_place_is_free_again_however_its_client_went() -> None:
    hub = Hub(Settings(interval=0.1, max_clients=1))
    async with serve_here(create_app(hub=hub)) as server:
        for number in range(20):
            async with admit_attempt(server.port) as websocket:
                await message(websocket)
                if number % 2:
                    reset(websocket)
            await until_clients(hub, 0)
            with pytest.raises(InvalidStatus) as refused:
                async with admit_attempt(server.port, f"{PATH}?metrics=nonsense"):
                    pass
            assert refused.value.response.status_code == 400


async def test_above_the_limit_of_an_address_the_others_still_come_in() -> None:
    with start_hub("--max-clients-per-ip", "2") as server:
        async with client(server.url()) as one, client(server.url()) as two:
            await receive(one)
            await receive(two)
            status, reason, headers = await refusal(server.port)
            assert (status, reason, headers["Retry-After"]) == (429, "address", "5")
            async with connect(
                server.url(), local_addr=("127.0.0.2", 0), proxy=None, compression=None
            ) as other:
                await message(other)
        await server.has_total(0)
        async with client(server.url()) as again:
            await receive(again)


async def test_who_comes_too_often_has_to_wait() -> None:
    with start_hub("--connect-rate", "3/hour") as server:
        for _ in range(3):
            async with client(server.url()) as websocket:
                await receive(websocket)
        status, reason, headers = await refusal(server.port)
        assert (status, reason) == (429, "rate")
        assert 3500 < int(headers["Retry-After"]) <= 3600
        async with http_client(server.port) as http:
            assert (await http.get(STREAM)).status_code == 429
            assert (await http.get(PATH)).status_code == 200


async def test_the_rate_holds_for_guesses_of_tokens_too() -> None:
    with start_hub("--connect-rate", "2/hour", environ={"HUB_TOKENS": TOKEN}) as server:
        found = [(await refusal(server.port, RESTRICTED))[0] for _ in range(4)]
        assert found == [401, 401, 429, 429]


# HostPolicy


async def test_a_plain_request_is_told_why_a_handshake_would_be_refused(
    server: ServerProcess,
) -> None:
    async def asked(query: str, headers: dict[str, str]) -> tuple[int, str]:
        url = f"http://127.0.0.1:{server.port}{RESTRICTED}{query}"
        async with httpx2.AsyncClient(trust_env=False) as http:
            response = await http.get(url, headers=headers)
        return response.status_code, response.json()["error"]

    wrong = {"Authorization": "Bearer wrong"}
    rule = "a valid token is needed: Authorization: Bearer TOKEN"
    assert await asked("", wrong) == (401, rule)
    assert await asked("?metrics=processes", BEARER) == (426, "this feed needs a WebSocket")
    status, error = await asked("?metrics=nothing", BEARER)
    assert status == 400
    assert error.startswith("metrics must be one or more of cpu, memory")


@pytest.mark.parametrize("target", [PATH, RESTRICTED])
async def test_foreign_names_and_pages_are_refused_before_anything_else(
    server: ServerProcess, target: str
) -> None:
    port, nonsense = server.port, f"{target}?nonsense"
    found = await refusal(port, nonsense, name="evil.example")
    assert found[:2] == (403, "host")
    for page in ("https://evil.example", "null"):
        found = await refusal(port, nonsense, {"Origin": page})
        assert found[:2] == (403, "origin")


@pytest.mark.parametrize("target", [PATH, f"{PATH}/history", STREAM, "/metrics", "/openapi.json"])
async def test_over_http_the_same_names_are_refused(server: ServerProcess, target: str) -> None:
    async with http_client(server.port) as http:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            response = await http.get(target, headers=headers)
            assert response.status_code == 403
            assert "access-control-allow-origin" not in response.headers
            assert strict_json(response.text)["reason"] == next(iter(headers)).lower()


@pytest.mark.parametrize("path", ["/metrics/", f"{PATH}/", "/livez/", "/static"])
async def test_no_redirect_leads_to_a_name_that_is_not_served(
    server: ServerProcess, path: str
) -> None:
    url = f"http://127.0.0.1:{server.port}{path}?token=canary"
    async with httpx2.AsyncClient(trust_env=False) as http:
        response = await http.get(url, headers={"Host": "evil.example"})
    assert response.status_code in {403, 404}
    assert "evil" not in response.text + str(response.headers)


async def test_pages_of_this_machine_may_read_answers(server: ServerProcess) -> None:
    origin = "http://localhost:3000"
    async with http_client(server.port) as http:
        for target in (PATH, f"{PATH}?metrics=nonsense"):
            response = await http.get(target, headers={"Origin": origin})
            assert response.headers["access-control-allow-origin"] == origin
            assert "Origin" in response.headers["vary"]
        async with http.stream("GET", STREAM, headers={"Origin": origin}) as events:
            assert events.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-origin" not in (await http.get(PATH)).headers


async def test_names_and_pages_that_are_listed_come_in() -> None:
    flags = ("--allow-host", "metrics.example,b.example", "--allow-host", "c.example")
    with start_hub(*flags, "--allow-origin", "https://dash.example") as server:
        page = {"Origin": "https://dash.example"}
        for name in ("metrics.example", "b.example", "c.example", "localhost"):
            async with admit_attempt(server.port, PATH, page, name=name) as websocket:
                await message(websocket)
        found = await refusal(server.port, PATH, page, name="d.example")
        assert found[:2] == (403, "host")


async def test_the_hub_may_be_called_by_the_name_that_it_is_bound_to() -> None:
    with start_hub("--host", "localhost") as server:
        async with client(f"ws://localhost:{server.port}{PATH}") as websocket:
            await receive(websocket)


# Refusals in the log


def test_of_many_refusals_in_a_short_time_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    admission = Admission(clock=clock)
    with caplog.at_level(logging.INFO, logger="hub"):
        for _ in range(5000):
            admission.refused(RefusalReason.HOST, "192.0.2.7:1")
        anyio.run(clock.advance, 10.0)
        admission.refused(RefusalReason.RATE, "192.0.2.8:2")
    assert caplog.messages == [
        "Refused client 192.0.2.7:1: host",
        "Refused client 192.0.2.8:2: rate (4999 more since the last such line)",
    ]
    assert admission.statistics().refused == {RefusalReason.HOST: 5000, RefusalReason.RATE: 1}


# Addresses


def scope(host: str | None) -> dict[str, Any]:
    return {"headers": [], "client": (host, 4711) if host is not None else None}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
    ],
)
def test_ipv6_addresses_of_one_line_are_one(one: str, other: str, *, same: bool) -> None:
    admission = Admission(clock=FakeClock(), max_clients_per_ip=1)
    ticket = admission.acquire(scope(one), Transport.EVENTS)
    if same:
        with pytest.raises(Refused):
            admission.acquire(scope(other), Transport.WEBSOCKET)
    else:
        admission.acquire(scope(other), Transport.WEBSOCKET).release()
    ticket.release()
    admission.acquire(scope(other), Transport.WEBSOCKET).release()
    assert not admission._client_shares._clients


def test_clients_without_an_address_are_not_one() -> None:
    admission = Admission(clock=FakeClock(), max_clients_per_ip=1, connect_rate="1/hour")
    for _ in range(3):
        admission.admit_attempt(scope(None))
        admission.acquire(scope(None), Transport.WEBSOCKET)
    assert admission.statistics().clients == {Transport.WEBSOCKET: 3, Transport.EVENTS: 0}


async def test_how_long_clients_stayed_is_known_by_transport() -> None:
    clock = FakeClock()
    admission = Admission(clock=clock)
    ticket = admission.acquire(scope("192.0.2.7"), Transport.EVENTS)
    await clock.advance(30.0)
    ticket.release()
    found = admission.statistics().durations
    assert (found[Transport.EVENTS].count, found[Transport.EVENTS].total) == (1, 30.0)
    assert found[Transport.WEBSOCKET].count == 0


def test_by_default_the_limit_on_open_files_is_the_limit_of_clients() -> None:
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert Admission(clock=FakeClock()).statistics().limit == max(limit - 256, limit // 8)
    assert descriptor_limit(2 * limit) == limit // 8


# While the hub is sent to rest


async def test_a_hub_that_drains_lets_nobody_in_and_is_not_ready() -> None:
    hub = Hub(Settings(interval=0.1))
    async with serve_here(create_app(hub=hub)) as server, http_client(server.port) as http:
        async with admit_attempt(server.port) as websocket:
            await message(websocket)
            async with anyio.create_task_group() as group:
                group.start_soon(hub.drain, CloseReason.RESTART)
                assert await close_code(websocket) == 1012
        status, reason, _ = await refusal(server.port)
        assert (status, reason) == (503, "stopping")
        assert (await http.get(STREAM)).status_code == 503
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "not ready: draining\n")
        assert (await http.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("192.0.2.7", 4711), "192.0.2.7:4711"),
        (("2001:db8::1", 4711), "[2001:db8::1]:4711"),
        (("2001:db8::1", 4711, 0, 0), "[2001:db8::1]:4711"),
        (("192.0.2.7", 0), "192.0.2.7"),
        (("192.0.2.7", None), "192.0.2.7"),
        (("192.0.2.7",), "192.0.2.7"),
        ((), "of unknown address"),
        (None, "of unknown address"),
    ],
)
def test_names_of_clients(address: tuple[Any, ...] | None, name: str) -> None:
    assert peer_name(address) == name
