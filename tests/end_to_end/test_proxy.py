"""The hub behind proxies, as operators run it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final

import anyio
import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from hub import Hub
from hub.feed.deflate import THRESHOLD
from hub.feed.query import RESTRICTED_FEED_PATH
from hub.web.openapi import openapi
from tests.support.browser import needs_chromium, open_page
from tests.support.clients import DEFAULT_MESSAGE, receive, strict_json
from tests.support.proxy import PROXIES, Kind, Proxy, needs, needs_nginx, start_nginx, start_proxy
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub
from tests.support.tokens import TOKEN

pytestmark = pytest.mark.long

HISTORY = f"{PATH}/history"
LARGE = (
    "metrics=cpu_times,memory_bytes,pressure,process,disk_io,network,disks_bytes&devices=network:*"
)
STREAM = f"{PATH}/stream"


@contextmanager
def start_behind_nginx(*flags: str, interval: str = "0.1") -> Iterator[tuple[ServerProcess, Proxy]]:
    with start_hub(*flags, interval=interval) as hub, start_nginx(hub.port) as nginx:
        yield hub, nginx


@pytest.fixture(scope="module")
def nginx() -> Iterator[Proxy]:
    with start_behind_nginx() as (_, nginx):
        yield nginx


@asynccontextmanager
async def visitor(
    port: int,
    *,
    source: str = "127.0.0.1",
    host: str = "127.0.0.1",
    path: str = PATH,
    compression: str | None = None,
    **headers: str,
) -> AsyncIterator[ClientConnection]:
    """Connect from an address of one's own choice, calling the server by a name of one's own."""
    with anyio.fail_after(2 * DEADLINE):
        async with connect(
            f"ws://{host}:{port}{path}",
            additional_headers={name.replace("_", "-"): headers[name] for name in headers},
            compression=compression,
            proxy=None,
            close_timeout=2,
            max_queue=None,
            host="127.0.0.1",
            port=port,
            local_addr=(source, 0),
        ) as websocket:
            yield websocket


async def refusal(port: int, **how: str) -> Response:
    with pytest.raises(InvalidStatus) as refused:
        async with visitor(port, **how):
            pass
    return refused.value.response


def reason(response: Response) -> str:
    return str(strict_json((response.body or b"").decode())["reason"])


async def assert_full(port: int, **how: str) -> None:
    """There is no place left for the address that such a visitor is taken to have."""
    response = await refusal(port, **how)
    assert (response.status_code, reason(response)) == (429, "address")
    assert int(response.headers["retry-after"]) > 0


@asynccontextmanager
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    with anyio.fail_after(2 * DEADLINE):
        async with httpx2.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
            yield http


# What passes through


@needs_nginx
async def test_messages_come_through_in_exactly_the_form_of_the_contract(nginx: Proxy) -> None:
    async with visitor(nginx.port) as websocket:
        for _ in range(3):
            assert DEFAULT_MESSAGE.fullmatch(await receive(websocket))


@needs_nginx
async def test_requests_come_through(nginx: Proxy) -> None:
    async with browser() as http:
        assert DEFAULT_MESSAGE.fullmatch((await http.get(nginx.url())).text)
        assert (await http.get(nginx.url(f"{PATH}?metrics=gpu"))).status_code == 400


@needs_nginx
@needs_chromium
async def test_the_page_comes_through(nginx: Proxy) -> None:
    async with open_page(nginx.url("/").replace("127.0.0.1", "localhost")) as page:
        await page.locator("#state[data-state=live]").wait_for()
        await page.locator("#panels").wait_for()


@needs_nginx
async def test_events_come_through_one_by_one_as_they_are_made() -> None:
    """Even compressed: the hub tells nginx to gather nothing, else the first would not arrive."""
    with start_behind_nginx(interval="1") as (hub, nginx):
        async with browser() as http, http.sse(nginx.url(STREAM)) as events:
            assert events.response.headers["content-encoding"] == "gzip"
            arriving = aiter(events)
            first, second = (await anext(arriving)).id, (await anext(arriving)).id
            past = (await http.get(f"http://127.0.0.1:{hub.port}{HISTORY}")).json()["timestamp"]
    assert first < second
    assert past.index(second) == past.index(first) + 1
    assert len(past[past.index(second) :]) < 5, "made before the second had arrived"


@needs_nginx
@pytest.mark.parametrize(
    "path",
    [
        "/metrics", "/livez", "/readyz", "/asyncapi.jso", "/openapi.jsonx", "/static", "/apis/",
        "/api/system/%2e%2e/%2e%2e/metrics", "/static/../metrics",
    ],
)  # fmt: skip
async def test_what_is_for_operators_does_not_come_through(nginx: Proxy, path: str) -> None:
    async with browser() as http:
        response = await http.get(nginx.url(path))
    assert (response.status_code, "nginx" in response.text) == (404, True)


PUBLIC: Final = (
    "/", "/static/page.js", "/static/metrics-feed.js", "/openapi.json", "/asyncapi.json",
    "/api/system/info", PATH, HISTORY,
)  # fmt: skip
PRIVATE: Final = ("/metrics", "/livez", "/readyz")


@pytest.mark.parametrize(
    "kind", [pytest.param(PROXIES[n], id=n, marks=needs(PROXIES[n])) for n in PROXIES]
)
async def test_every_route_is_either_passed_on_or_not_found(kind: Kind) -> None:
    """As the documents say of each proxy's configuration; the hub knows no other routes."""
    documented = openapi(Hub().catalog())["paths"]
    assert isinstance(documented, dict)
    known = {*documented, "/"}
    feeds = {STREAM, RESTRICTED_FEED_PATH}
    assert known - feeds - set(PRIVATE) == {path for path in PUBLIC if "static" not in path}
    with start_hub(environ={"HUB_TOKENS": TOKEN}) as hub, start_proxy(kind, hub.port) as proxy:
        async with browser() as http:
            found = {path: (await http.get(proxy.url(path))).status_code for path in PUBLIC}
            hidden = {path: (await http.get(proxy.url(path))).status_code for path in PRIVATE}
            async with http.sse(proxy.url(STREAM)) as events:
                await anext(aiter(events))
        async with visitor(proxy.port) as websocket:
            await receive(websocket)
        token = {"Authorization": f"Bearer {TOKEN}"}
        async with visitor(proxy.port, path=RESTRICTED_FEED_PATH, **token) as websocket:
            await receive(websocket)
        async with visitor(proxy.port, path=f"{PATH}?{LARGE}", compression="deflate") as websocket:
            assert websocket.response is not None
            agreed = websocket.response.headers["Sec-WebSocket-Extensions"]
            large = await receive(websocket)
    assert found == dict.fromkeys(PUBLIC, 200)
    assert agreed.startswith("permessage-deflate; server_no_context_takeover")
    assert len(large) >= THRESHOLD
    assert hidden == dict.fromkeys(PRIVATE, 404)


GZIP: Final = {"Accept-Encoding": "gzip"}
COMPRESSING: Final = {
    "nginx": (
        "listen 127",
        "gzip on; gzip_types *; gzip_min_length 20; gzip_proxied any; listen 127",
    ),
    "caddy": ("bind 127", "encode {\n        gzip\n        minimum_length 1\n    }\n    bind 127"),
    "haproxy": ("backend hub\n", "backend hub\n    compression algo gzip\n"),
}
"""What is replaced in a configuration, and by what, so that the proxy compresses all it can."""


@pytest.mark.parametrize(
    "kind", [pytest.param(PROXIES[n], id=n, marks=needs(PROXIES[n])) for n in COMPRESSING]
)
async def test_what_the_hub_has_compressed_no_proxy_compresses_again(kind: Kind) -> None:
    configuration = kind.configuration.replace(*COMPRESSING[kind.name])
    kind = replace(kind, configuration=configuration)
    with start_hub() as hub, start_proxy(kind, hub.port) as proxy:
        async with browser() as http:
            for path in ("/", "/static/page.js", "/openapi.json"):
                hubs = f"http://127.0.0.1:{hub.port}{path}"
                own = await http.get(hubs, headers=GZIP)
                passed = await http.get(proxy.url(path), headers=GZIP)
                for name in ("content-encoding", "content-length", "etag", "vary"):
                    assert passed.headers.get_list(name) == own.headers.get_list(name)
                assert passed.content == own.content
            other = await http.get(proxy.url(f"{HISTORY}?metrics=load"), headers=GZIP)
    assert other.headers["content-encoding"] == "gzip", "the proxy compresses nothing at all"


# Whose address it is


@needs_nginx
async def test_clients_are_told_apart_by_the_address_that_nginx_names() -> None:
    flags = ("--trusted-proxies", "127.0.0.1", "--max-clients-per-ip", "1")
    with start_behind_nginx(*flags) as (_, nginx):
        async with (
            visitor(nginx.port, source="127.0.0.2") as one,
            visitor(nginx.port, source="127.0.0.3") as other,
        ):
            await receive(one)
            await receive(other)
            await assert_full(nginx.port, source="127.0.0.2")
            await receive(one)


@needs_nginx
@pytest.mark.parametrize("source", ["127.0.0.2", "127.0.0.1"])
async def test_what_clients_say_of_their_address_does_not_come_through(source: str) -> None:
    """Not even from an address that is trusted, of whose word the hub would take more."""
    flags = ("--trusted-proxies", "127.0.0.1", "--max-clients-per-ip", "1")
    with start_behind_nginx(*flags) as (_, nginx):
        async with visitor(nginx.port, source=source):
            await assert_full(nginx.port, source=source, X_Forwarded_For="127.0.0.9")


@needs_nginx
async def test_all_of_nginx_s_clients_are_one_to_a_hub_that_does_not_trust_it() -> None:
    with start_behind_nginx("--max-clients-per-ip", "1") as (_, nginx):
        async with visitor(nginx.port, source="127.0.0.2"):
            await assert_full(nginx.port, source="127.0.0.3")


@pytest.mark.parametrize(
    ("source", "flags"),
    [("127.0.0.1", ()), ("127.0.0.2", ("--trusted-proxies", "127.0.0.1"))],
)
async def test_who_is_no_trusted_proxy_is_not_believed(source: str, flags: tuple[str, ...]) -> None:
    with start_hub(*flags, "--max-clients-per-ip", "1") as hub:
        async with visitor(hub.port, source=source):
            await assert_full(hub.port, source=source, X_Forwarded_For="127.0.0.9")


# Under which name


@needs_nginx
async def test_a_name_that_the_hub_does_not_serve_is_refused(nginx: Proxy) -> None:
    response = await refusal(nginx.port, host="metrics.example")
    assert (response.status_code, reason(response)) == (403, "host")


@needs_nginx
async def test_a_name_that_it_serves_may_be_called_by_pages_of_that_name() -> None:
    host = "metrics.example"
    with start_behind_nginx("--allow-host", host) as (_, nginx):
        async with (
            visitor(nginx.port, host=host) as one,
            visitor(nginx.port, host=host, Origin=f"https://{host}") as page,
        ):
            await receive(one)
            await receive(page)
        response = await refusal(nginx.port, host=host, Origin="https://other.example")
        assert (response.status_code, reason(response)) == (403, "origin")


# At the end


@needs_nginx
async def test_when_the_hub_stops_all_of_nginx_s_clients_are_told() -> None:
    with start_behind_nginx() as (hub, nginx):
        async with (
            visitor(nginx.port) as websocket,
            browser() as http,
            http.sse(nginx.url(STREAM)) as events,
        ):
            await receive(websocket)
            arriving = aiter(events)
            await anext(arriving)
            hub.process.send_signal(signal.SIGTERM)
            await websocket.wait_closed()
            assert websocket.close_code == 1012
            async for _ in arriving:  # to its proper end: a broken one would raise
                pass
        assert await hub.ended() == 0
