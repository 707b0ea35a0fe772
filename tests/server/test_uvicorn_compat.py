from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hub.server import uvicorn_compat
from hub.server.uvicorn_compat import METHODS, incompatibilities


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Let every ``is_supported`` be the first one, before and after the test."""
    uvicorn_compat.is_supported.cache_clear()
    yield
    uvicorn_compat.is_supported.cache_clear()


class Altered(WebSocketsSansIOProtocol):
    """Has a longer signature than the hub knows."""

    def data_received(self, data: bytes, *, at: float = 0.0) -> None:
        raise NotImplementedError


class Bare(WebSocketsSansIOProtocol):
    """Sets other attributes than the hub knows; still has the methods."""

    def __init__(self) -> None:
        self.conn = self.transport = self.connections = None  # type: ignore[assignment]


def without(method: str) -> type[WebSocketsSansIOProtocol]:
    """Make a uvicorn whose protocol class lacks a method."""
    kept = {n: getattr(WebSocketsSansIOProtocol, n) for n in METHODS if n != method}
    made: type[WebSocketsSansIOProtocol] = type(
        "Lacking", (), {**kept, "__init__": WebSocketsSansIOProtocol.__init__}
    )
    return made


def test_the_installed_uvicorn_is_as_known() -> None:
    changed = incompatibilities()
    assert not changed, (
        f"uvicorn {uvicorn.__version__} differs from what the takeover leans on: {changed}; "
        "see hub/server/uvicorn_compat.py"
    )


@pytest.mark.parametrize("version", ["0.53.9", "0.55.0", "0.540.1", "1.0"])
def test_a_version_that_was_never_tested_is_named(version: str) -> None:
    assert incompatibilities(version) == [f"version {version}"]


@pytest.mark.parametrize("version", ["0.54.0", "0.54.3"])
def test_every_patch_of_a_known_version_will_do(version: str) -> None:
    assert incompatibilities(version) == []


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_that_is_gone_is_named(method: str) -> None:
    assert incompatibilities("0.54.0", without(method))[0] == f"method {method}"


def test_a_method_that_takes_something_else_is_named() -> None:
    assert incompatibilities("0.54.0", Altered) == ["method data_received"]


def test_attributes_that_are_gone_are_named() -> None:
    found = incompatibilities("0.54.0", Bare)
    assert found == ["attribute ping_interval", "attribute read_paused"]


def test_an_answer_without_the_attributes_that_are_known_is_named() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.disconnected = False

    found = incompatibilities("0.54.0", cycle=Cycle)
    assert found == ["attribute message_event", "attribute response_complete"]


def test_all_that_has_changed_is_named() -> None:
    class Both(Altered, Bare):
        pass

    found = incompatibilities("9.9", Both)
    assert found[:2] == ["version 9.9", "method data_received"]
    assert "attribute ping_interval" in found[2:]


@pytest.mark.usefixtures("forgetful")
def test_a_sound_footing_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    assert uvicorn_compat.is_supported()
    assert caplog.record_tuples == []


@pytest.mark.usefixtures("forgetful")
def test_an_unsound_footing_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    look: Callable[[], list[str]] = lambda: ["version 9.9", "method run_asgi"]  # noqa: E731
    monkeypatch.setattr(uvicorn_compat, "incompatibilities", look)
    assert [uvicorn_compat.is_supported() for _ in range(3)] == [False] * 3
    line = "uvicorn is not as known (version 9.9, method run_asgi): serving more slowly"
    assert caplog.record_tuples == [("hub", logging.WARNING, line)]


STRANGER = """
import asyncio, socket, sys, types
import uvicorn.protocols.websockets.wsproto_impl as other
sys.modules["uvicorn.protocols.websockets.websockets_sansio_impl"] = None
auto = types.ModuleType("auto")
auto.AutoWebSocketsProtocol = other.WSProtocol
sys.modules["uvicorn.protocols.websockets.auto"] = auto

import uvicorn, websockets
from hub import Settings, create_app
from hub.server import BroadcastProtocol

async def main():
    app = create_app(Settings(interval=0.1))
    config = uvicorn.Config(app, ws=BroadcastProtocol, log_level="warning")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        url = "ws://127.0.0.1:%d/api/system/metrics" % listener.getsockname()[1]
        async with asyncio.timeout(10), websockets.connect(url) as feed:
            print(await feed.recv())
        server.should_exit = True
        await task

asyncio.run(main())
"""


def test_on_a_uvicorn_without_the_protocol_that_is_known_the_feed_is_served_all_the_same() -> None:
    ran = subprocess.run(  # noqa: S603 # our own text
        [sys.executable, "-c", STRANGER], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout.startswith('{"cpu":')
    assert ran.stderr.count("uvicorn is not as known") == 1
