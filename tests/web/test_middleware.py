from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Send
from starlette.websockets import WebSocketDisconnect

from hub import Hub, Settings, create_app
from hub.access.admission import Admission
from hub.feed.query import FEED_PATH, RESTRICTED_FEED_PATH
from hub.web.middleware import Guard
from tests.support.fakes import FakeClock


def caller(app: Starlette) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost")


# What fails behind it


async def broken(_request: Request) -> Response:
    raise ZeroDivisionError("twice\nno number")


async def breaks_off(_request: Request) -> Response:
    async def content() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ZeroDivisionError

    return StreamingResponse(content())


async def missing(_request: Request) -> Response:
    raise HTTPException(404)


@pytest.fixture
def app() -> Starlette:
    guard = [Middleware(Guard, Admission(clock=FakeClock()))]
    endpoints = {"/broken": broken, "/breaks-off": breaks_off, "/missing": missing}
    return Starlette(routes=[Route(path, one, middleware=guard) for path, one in endpoints.items()])


async def test_a_failure_is_one_line_and_an_answer(
    app: Starlette, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with caller(app) as http:
        answer = await http.get("/broken")
    assert answer.status_code == 500
    assert "twice" not in answer.text
    (line,) = [record.getMessage() for record in caplog.records if record.name == "hub"]
    assert line == r"Request for /broken failed: ZeroDivisionError('twice\nno number')"


async def test_an_answer_that_has_begun_is_broken_off(
    app: Starlette, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    messages: list[dict[str, object]] = []

    async def receive() -> dict[str, str]:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        if messages and message["type"] == "http.response.start":
            raise RuntimeError("an answer has begun")  # as servers do
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": "/breaks-off", "headers": []}
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert [one.get("body") for one in messages] == [None, b"begun"]
    assert next(one for one in caplog.records if one.name == "hub").levelno == logging.ERROR


async def test_the_framework_s_own_answers_are_its_own(app: Starlette) -> None:
    async with caller(app) as http:
        assert (await http.get("/missing")).status_code == 404


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        ({}, ["websocket.close"]),
        (
            {"websocket.http.response": {}},
            ["websocket.http.response.start", "websocket.http.response.body"],
        ),
    ],
)
async def test_a_handshake_that_fails_is_answered_as_the_server_can(
    extensions: dict[str, object], said: list[str]
) -> None:
    sent: list[Message] = []

    async def endpoint(_scope: object, _receive: object, _send: object) -> None:
        raise ZeroDivisionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    guard = Guard(endpoint, Admission(clock=FakeClock()))
    scope = {"type": "websocket", "path": "/", "headers": [], "extensions": extensions}
    await guard(scope, receive, send)
    assert [message["type"] for message in sent] == said
    assert sent[0].get("status", 500) == 500


async def test_a_server_is_left_its_own_way_to_say_that_a_client_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Gone(OSError):
        pass

    async def endpoint(_scope: object, _receive: object, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def send(_message: object) -> None:
        raise Gone

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    guard = Guard(endpoint, Admission(clock=FakeClock()))
    with pytest.raises(Gone):
        await guard({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert not caplog.records


# A hub that serves another event loop


@contextmanager
def running_elsewhere() -> Iterator[Hub]:
    """Run a hub in another thread's event loop."""
    hub, started, over = Hub(Settings(interval=0.1)), threading.Event(), threading.Event()

    async def run() -> None:
        async with hub.lifespan():
            started.set()
            await anyio.to_thread.run_sync(over.wait)

    thread = threading.Thread(target=anyio.run, args=(run,))
    thread.start()
    try:
        assert started.wait(10)
        yield hub
    finally:
        over.set()
        thread.join()


SENTENCE = "a hub serves one event loop at a time"


@pytest.mark.parametrize("path", [FEED_PATH, f"{FEED_PATH}/stream", f"{FEED_PATH}/history"])
async def test_a_hub_of_another_event_loop_says_so(path: str) -> None:
    with running_elsewhere() as hub:
        async with caller(create_app(hub=hub)) as http:
            answer = await http.get(path)
            assert answer.status_code == 503
            assert answer.json() == {"error": SENTENCE, "reason": "loop"}
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.text) == (503, f"not ready: {SENTENCE}\n")
            assert (await http.get("/livez")).status_code == 200


def test_a_hub_of_another_event_loop_refuses_handshakes() -> None:
    with running_elsewhere() as hub:
        client = TestClient(create_app(hub=hub), base_url="http://localhost")
        for path, status in ((FEED_PATH, 503), (RESTRICTED_FEED_PATH, 401)):
            with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect(path):
                pass
            assert getattr(refused.value, "status_code", status) == status
