"""The hub inside somebody else's application."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final

import anyio
import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus

from hub import Frame, Hub, InvalidValue, Metric, Settings, create_app
from hub.server import BroadcastProtocol
from tests.support.clients import (
    DEFAULT_MESSAGE,
    assert_nothing_lost,
    client,
    handshake,
    message,
    receive,
    strict_json,
)
from tests.support.servers import DEADLINE, PATH, ThreadedServer, serve_here

FAST: Final = Settings(interval=0.1)
MOUNTED: Final = f"/monitor{PATH}"

every_loop = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "hub-sampler":
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub that somebody will start, and that is stopped in the end."""
    hub = Hub(FAST)
    yield hub
    await hub.stop()


def fastapi_host(hub: Hub | None = None) -> FastAPI:
    host = FastAPI()
    host.mount("/monitor", create_app(hub=hub or Hub(FAST)))
    return host


async def next_frame(frames: AsyncIterator[Frame]) -> dict[str, Any]:
    with anyio.fail_after(DEADLINE):
        return strict_json((await anext(frames)).text)


def hub_tasks() -> list[str]:
    return [name for task in asyncio.all_tasks() if (name := task.get_name()) == "hub-sampler"]


# Mounted, without any wiring


async def test_a_mounted_hub_does_not_sample_before_its_first_use() -> None:
    hub = Hub(FAST)
    with ThreadedServer(fastapi_host(hub)) as server:
        with pytest.raises(InvalidStatus):
            async with client(server.url("/nothing")):
                pass
        assert hub.statistics().ticks == 0
        assert "hub-sampler" not in {thread.name for thread in threading.enumerate()}


async def test_a_mounted_hub_needs_no_wiring_to_start_and_stop_with_its_host_twice() -> None:
    host = fastapi_host()
    for _ in range(2):
        with ThreadedServer(host) as server:
            async with client(server.url(MOUNTED)) as websocket:
                assert DEFAULT_MESSAGE.fullmatch(await receive(websocket))
                assert DEFAULT_MESSAGE.fullmatch(await receive(websocket))


async def test_clients_learn_that_the_host_stops_and_are_counted_anew_when_it_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = fastapi_host()
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO, "hub"), ThreadedServer(host) as server:
            async with client(server.url(MOUNTED)) as websocket:
                await receive(websocket)
                await anyio.to_thread.run_sync(server.stop)
                await websocket.wait_closed()
            assert websocket.close_code in {1001, 1012}
        assert [record.message for record in caplog.records if record.name == "hub"] == [
            "Public WS client connected. Total: 1",
            "Public WS client disconnected. Total: 0",
        ]


# With the host's lifespan


@every_loop
async def test_the_lifespan_composes_with_the_host_s_own(hub: Hub) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        events.append("host up")
        async with hub.lifespan(app):
            events.append(f"hub up: {len(hub_tasks())}")
            yield
        events.append(f"hub down: {len(hub_tasks())}")

    host = FastAPI(lifespan=lifespan)
    host.mount("/monitor", create_app(hub=hub))
    async with serve_here(host) as server, client(server.url(MOUNTED)) as websocket:
        assert DEFAULT_MESSAGE.fullmatch(await receive(websocket))
    assert events == ["host up", "hub up: 1", "hub down: 0"]


async def test_the_lifespan_can_be_the_host_s_twice_in_one_loop(hub: Hub) -> None:
    host = FastAPI(lifespan=hub.lifespan)
    host.mount("/monitor", create_app(hub=hub))
    for _ in range(2):
        async with serve_here(host) as server, client(server.url(MOUNTED)) as websocket:
            await receive(websocket)
            await receive(websocket)
        assert hub_tasks() == []
        assert hub.statistics().subscribers == 0


async def test_the_application_by_itself_leaves_nothing_behind(hub: Hub) -> None:
    before = asyncio.all_tasks()
    async with (
        serve_here(create_app(hub=hub)) as server,
        client(server.url()) as polite,
        client(server.url()) as vanishing,
    ):
        await receive(polite)
        await receive(vanishing)
        vanishing.transport.abort()
    assert asyncio.all_tasks() <= before
    assert hub.statistics().subscribers == 0


# Beside other things


async def test_two_hubs_in_one_process_do_not_meet() -> None:
    slow = Hub(Settings(interval=0.3))
    quick = Hub(FAST)
    slow.register(Metric("slow_only", lambda: 1))
    quick.register(Metric("quick_only", lambda: 2))
    host = FastAPI()
    host.mount("/slow", create_app(hub=slow))
    host.mount("/quick", create_app(hub=quick))
    with ThreadedServer(host) as server:
        async with (
            client(server.url(f"/slow{PATH}?metrics=slow_only")) as at_slow,
            client(server.url(f"/quick{PATH}?metrics=quick_only")) as at_quick,
        ):
            slow_messages = [await message(at_slow) for _ in range(2)]
            quick_messages = [await message(at_quick) for _ in range(2)]
            assert slow.statistics().subscribers == quick.statistics().subscribers == 1
        with pytest.raises(InvalidStatus) as refused:
            async with client(server.url(f"/slow{PATH}?metrics=quick_only")):
                pass
    assert refused.value.response.status_code == 400
    assert [list(m) for m in slow_messages] == [["slow_only", "timestamp"]] * 2
    assert [list(m) for m in quick_messages] == [["quick_only", "timestamp"]] * 2
    assert beat(slow_messages) == pytest.approx(0.3, abs=0.15)
    assert beat(quick_messages) == pytest.approx(0.1, abs=0.15)


def beat(messages: list[dict[str, Any]]) -> float:
    before, last = (datetime.fromisoformat(m["timestamp"]) for m in messages)
    return (last - before).total_seconds()


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-passed"] = "yes"
        return response


def test_a_mounted_hub_lives_beside_middleware() -> None:
    host = fastapi_host(Hub(Settings(interval=0.1, allow_origin=("https://example.org",))))
    host.add_middleware(CORSMiddleware, allow_origins=["https://example.org"])
    host.add_middleware(GZipMiddleware, minimum_size=1)
    host.add_middleware(Passing)
    host.add_api_route("/page", lambda: "hello" * 100)
    with TestClient(host, headers={"origin": "https://example.org"}) as browser:
        response = browser.get("/page")
        with browser.websocket_connect(MOUNTED) as websocket:
            assert DEFAULT_MESSAGE.fullmatch(websocket.receive_text())
            assert DEFAULT_MESSAGE.fullmatch(websocket.receive_text())
    assert response.headers["x-passed"] == "yes"
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["access-control-allow-origin"] == "https://example.org"


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def test_the_host_s_own_websocket_endpoints_work_beside_the_mount() -> None:
    host = Starlette(
        routes=[WebSocketRoute("/echo", echo), Mount("/monitor", create_app(FAST))],
    )
    with ThreadedServer(host) as server:
        async with (
            client(server.url("/echo")) as own,
            client(server.url(MOUNTED)) as feed,
        ):
            assert DEFAULT_MESSAGE.fullmatch(await receive(feed))
            for text in ("a", "", "€" * 5000, "x" * 100_000):
                await own.send(text)
                assert await receive(own) == text
            for number in range(200):
                await own.send(str(number))
            assert [await receive(own) for _ in range(200)] == [str(n) for n in range(200)]
            await receive(feed)


# From the host's own code


@every_loop
async def test_the_host_subscribes_to_what_its_clients_see(hub: Hub) -> None:
    async with (
        serve_here(fastapi_host(hub)) as server,
        hub.subscribe() as frames,
        client(server.url(MOUNTED)) as websocket,
    ):
        own = [await next_frame(frames) for _ in range(2)]
        theirs = [await message(websocket) for _ in range(2)]
    assert_nothing_lost([[m["timestamp"] for m in own], [m["timestamp"] for m in theirs]])
    by_time = {m["timestamp"]: m for m in own}
    assert any(m == by_time.get(m["timestamp"]) for m in theirs)


async def test_a_subscription_starts_the_hub_by_itself(hub: Hub) -> None:
    async with hub.subscribe(metrics=("disk", "cpu")) as frames:
        assert list(await next_frame(frames)) == ["cpu", "disk", "timestamp"]
        assert hub.statistics().subscribers == 1
    assert hub.statistics().subscribers == 0


async def test_the_text_of_a_frame_is_its_payload(hub: Hub) -> None:
    async with hub.subscribe() as frames:
        frame = await anext(frames)
    assert DEFAULT_MESSAGE.fullmatch(frame.text)
    assert frame.payload == frame.text.encode()


async def test_a_subscription_ends_when_the_hub_stops(hub: Hub) -> None:
    async with hub.subscribe() as frames:
        await next_frame(frames)
        await hub.stop()
        with anyio.fail_after(DEADLINE):
            assert [frame async for frame in frames] == []


async def test_a_subscription_left_early_is_gone(hub: Hub) -> None:
    async with hub.subscribe() as frames:
        async for _ in frames:
            break
    assert hub.statistics().subscribers == 0


@pytest.mark.parametrize("metrics", [("gpu",), ("cpu", "gpu"), (), ("",), ("CPU",)])
async def test_a_subscription_to_unknown_metrics_is_an_invalid_value(
    hub: Hub, metrics: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidValue, match="cpu, memory, disk"):
        async with hub.subscribe(metrics=metrics):
            pass


# The host's own numbers


async def test_a_registered_metric_is_sent_to_those_who_choose_it() -> None:
    hub = Hub(FAST)
    hub.register(Metric("queue_depth", lambda: 7))
    with ThreadedServer(fastapi_host(hub)) as server:
        async with (
            client(server.url(f"{MOUNTED}?metrics=queue_depth,cpu")) as choosing,
            client(server.url(MOUNTED)) as default,
        ):
            chosen = await message(choosing)
            assert DEFAULT_MESSAGE.fullmatch(await receive(default))
    assert list(chosen) == ["cpu", "queue_depth", "timestamp"]
    assert chosen["queue_depth"] == 7


async def test_a_metric_can_be_registered_while_the_hub_runs(hub: Hub) -> None:
    async with hub.subscribe() as frames:
        await next_frame(frames)
        hub.register(Metric("queue_depth", lambda: 7))
        async with hub.subscribe(("queue_depth",)) as late:
            assert (await next_frame(late))["queue_depth"] == 7
        assert list(await next_frame(frames)) == ["cpu", "memory", "disk", "timestamp"]


def test_a_name_can_be_registered_once() -> None:
    hub = Hub()
    with pytest.raises(InvalidValue, match="cpu"):
        hub.register(Metric("cpu", lambda: 1))


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def endless() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Callable[[], object]:
    def collect() -> object:
        raise error

    return collect


def returning(value: object) -> Callable[[], object]:
    return lambda: value


BAD: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "raises": (raising(RuntimeError("out of luck")), "out of luck"),
    "raises_lines": (raising(RuntimeError("one\r\n  two\u2028three\x85")), "one two three"),
    "raises_nothing_to_say": (raising(KeyError()), "KeyError"),
    "raises_surrogates": (raising(ValueError("a\ud800b")), "a?b"),
    "raises_at_length": (raising(ValueError("long " * 100_000)), "long long long"),
    "raises_from_the_system": (
        raising(PermissionError(13, "Permission denied", "/secret")),
        "Permission denied",
    ),
    "raises_to_exit": (raising(SystemExit("leaving")), "leaving"),
    "raises_interrupt": (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "raises_group": (raising(ExceptionGroup("several", [ValueError("a")])), "several"),
    "none": (returning(None), "no value"),
    "nan": (returning(float("nan")), "nan is not a finite number"),
    "infinite": (returning({"a": [float("-inf")]}), "-inf is not a finite number"),
    "object": (returning(object()), "a object is not a JSON value"),
    "bytes": (returning(b"abc"), "a bytes is not a JSON value"),
    "number_too_big": (returning(2**70), "a whole number of more than 64 bits"),
    "key_not_text": (returning({1: 2}), "a int is not a JSON key"),
    "endless": (endless, "nested more than 64 deep"),
    "deep": (returning(nested(5000)), "nested more than 64 deep"),
    "deeper_than_orjson": (returning(nested(300)), "nested more than 64 deep"),
    "unspeakable": (raising(Unspeakable()), "Unspeakable"),
    "strerror_not_text": (raising(OSError(5, b"bytes")), "b'bytes'"),
}


async def test_metrics_gone_bad_are_one_line_for_those_who_chose_them(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (collect, _) in BAD.items():
        hub.register(Metric(name, collect))
    async with hub.subscribe() as others, AsyncExitStack() as stack:
        choosing = {
            name: await stack.enter_async_context(hub.subscribe(("cpu", name))) for name in BAD
        }
        for _ in range(2):
            assert list(await next_frame(others)) == ["cpu", "memory", "disk", "timestamp"]
            for name, frames in choosing.items():
                received = await next_frame(frames)
                assert list(received) == ["error", "timestamp"]
                assert received["error"].startswith(
                    f"Metric collection failed: {name}: {BAD[name][1]}"
                )
                assert len(received["error"].splitlines()) == 1
                assert len(received["error"]) <= 200
    logged = [record.message for record in caplog.records]
    assert len(logged) == len(BAD)
    for line, (name, (_, cause)) in zip(logged, BAD.items(), strict=True):
        assert line.startswith(f"Error collecting metrics: {name}: {cause}")
        assert len(line.splitlines()) == 1


async def test_what_a_metric_raises_cannot_control_a_terminal(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.register(Metric("bad", raising(RuntimeError("\x1b[2Jgone\x00"))))
    async with hub.subscribe(("bad",)) as frames:
        await next_frame(frames)
    assert caplog.records
    assert all(record.message.isprintable() for record in caplog.records)


async def test_a_huge_value_with_lone_surrogates_is_valid_json(hub: Hub) -> None:
    huge = {f"k\udc80{n}": ["\ud800", {"\udfff": [n, None, True, 0.5]}] for n in range(500)}
    hub.register(Metric("huge", returning(huge)))
    async with (
        serve_here(fastapi_host(hub)) as server,
        client(server.url(f"{MOUNTED}?metrics=huge")) as websocket,
    ):
        received = (await message(websocket))["huge"]
    assert len(received) == 500
    assert received["k?7"] == ["?", {"?": [7, None, True, 0.5]}]


async def test_clients_who_did_not_choose_a_bad_metric_see_no_error() -> None:
    hub = Hub(FAST)
    hub.register(Metric("bad", raising(RuntimeError("out of luck"))))
    with ThreadedServer(fastapi_host(hub)) as server:
        async with (
            client(server.url(f"{MOUNTED}?metrics=cpu,bad")) as choosing,
            client(server.url(MOUNTED)) as other,
        ):
            for _ in range(2):
                received = await message(choosing)
                assert received["error"] == "Metric collection failed: bad: out of luck"
                assert DEFAULT_MESSAGE.fullmatch(await receive(other))


async def test_a_metric_that_hangs_holds_up_nobody_else(hub: Hub) -> None:
    release = threading.Event()
    hub.register(Metric("stuck", lambda: release.wait(2 * DEADLINE)))
    try:
        async with hub.subscribe() as others, hub.subscribe(("stuck",)) as choosing:
            for _ in range(2):
                error = (await next_frame(choosing))["error"]
                assert error == "Metric collection failed: stuck: no answer within 0.5 s"
                assert list(await next_frame(others)) == ["cpu", "memory", "disk", "timestamp"]
    finally:
        release.set()


class Counter:
    """A metric worth the number of times it was asked, in whatever thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.threads: set[str] = set()

    def __call__(self) -> int:
        self.threads.add(threading.current_thread().name)
        return next(self._numbers)


@pytest.mark.parametrize("clients", [1, 50])
async def test_every_metric_is_collected_once_a_tick_however_many_clients(clients: int) -> None:
    counters = {name: Counter() for name in ("cpu", "memory", "disk")}
    hub = Hub(FAST, metrics=[Metric(name, counter) for name, counter in counters.items()])
    queries = itertools.cycle(["", "?metrics=cpu", "?metrics=disk,cpu"])
    with ThreadedServer(fastapi_host(hub)) as server:
        async with AsyncExitStack() as stack:
            crowd = [
                await stack.enter_async_context(client(server.url(MOUNTED + next(queries))))
                for _ in range(clients)
            ]
            received = [[await message(websocket) for _ in range(3)] for websocket in crowd]
    for messages in received:
        first = messages[0]["cpu"]
        assert [m["cpu"] for m in messages] == [first, first + 1, first + 2]
    counts = {m["timestamp"]: m["cpu"] for messages in received for m in messages}
    assert all(m["cpu"] == counts[m["timestamp"]] for messages in received for m in messages)
    assert all(counter.threads == {"hub-sampler"} for counter in counters.values())


# Clients that stall


class Awaited(logging.Handler):
    """Says when a line with a phrase in it is logged."""

    def __init__(self, phrase: str) -> None:
        super().__init__()
        self._phrase = phrase
        self.seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._phrase in record.getMessage():
            self.seen.set()


@contextmanager
def awaited(phrase: str) -> Iterator[threading.Event]:
    handler = Awaited(phrase)
    logger = logging.getLogger("hub")
    logger.addHandler(handler)
    try:
        yield handler.seen
    finally:
        logger.removeHandler(handler)


def test_a_client_that_takes_nothing_is_cut_off_and_its_connection_freed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub(Settings(interval=0.1, stall_timeout=1))
    hub.register(Metric("huge", returning("x" * 1_000_000)))
    with (
        caplog.at_level(logging.INFO, "hub"),
        awaited("cut off") as cut_off,
        ThreadedServer(fastapi_host(hub), ws=BroadcastProtocol) as server,
        socket.socket() as sloth,
    ):
        sloth.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sloth.connect(("127.0.0.1", server.port))
        sloth.sendall(handshake(f"{MOUNTED}?metrics=huge"))
        assert cut_off.wait(DEADLINE)
        server.stop()
    assert hub.statistics().subscribers == 0


# In the host's tests


@pytest.mark.parametrize(("app", "path"), [(create_app(FAST), PATH), (fastapi_host(), MOUNTED)])
def test_the_test_client_works_without_a_lifespan(app: Starlette, path: str) -> None:
    browser = TestClient(app)
    for _ in range(2):
        with browser.websocket_connect(path) as websocket:
            assert DEFAULT_MESSAGE.fullmatch(websocket.receive_text())
            assert DEFAULT_MESSAGE.fullmatch(websocket.receive_text())


def test_the_test_client_works_with_the_lifespan_twice_in_a_row() -> None:
    app = create_app(FAST)
    for _ in range(2):
        with TestClient(app) as browser:
            with (
                browser.websocket_connect(PATH) as one,
                browser.websocket_connect(f"{PATH}?metrics=cpu") as other,
            ):
                assert DEFAULT_MESSAGE.fullmatch(one.receive_text())
                assert list(strict_json(other.receive_text())) == ["cpu", "timestamp"]
            with browser.websocket_connect(PATH) as again:
                assert DEFAULT_MESSAGE.fullmatch(again.receive_text())


def test_the_test_client_shows_the_refusal() -> None:
    with (
        TestClient(create_app(FAST)) as browser,
        pytest.raises(WebSocketDenialResponse) as refused,
        browser.websocket_connect(f"{PATH}?interval=0.25"),
    ):
        pass
    assert refused.value.status_code == 400
    assert refused.value.json()["parameter"] == "interval"


def test_an_application_is_made_of_settings_or_a_hub() -> None:
    hub = Hub()
    assert create_app(hub=hub).state.hub is hub
    assert create_app(FAST).state.hub.settings is FAST
    with pytest.raises(TypeError, match="not both"):
        create_app(FAST, hub=hub)
