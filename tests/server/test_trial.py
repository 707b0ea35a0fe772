from __future__ import annotations

import asyncio
import importlib
import logging
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from websockets.asyncio.client import connect

import hub.server.runner  # all that is to be imported anew has been imported
from hub import Hub, Settings, create_app
from hub.server import trial
from hub.server.trial_client import Mismatch
from hub.server.trial_scenario import Scenario
from hub.server.uvicorn_compat import (
    ATTRIBUTES,
    CYCLE_ATTRIBUTES,
    HTTP_ATTRIBUTES,
    HTTP_METHODS,
    METHODS,
)
from tests.support.altered import CHANGES, HARMLESS, UNDECLARED, Change, install
from tests.support.fakes import FakeClock, FakeCollector, snapshot
from tests.support.servers import DEADLINE, PATH, ServerProcess

WS: Final = "uvicorn.protocols.websockets.websockets_sansio_impl"
HTTP: Final = "uvicorn.protocols.http.httptools_impl"


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """Let every ``is_supported`` be the first one, before and after the test."""
    trial.is_supported.cache_clear()
    yield
    trial.is_supported.cache_clear()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# The decision


def test_the_installed_uvicorn_passes() -> None:
    assert trial.run() is None


def test_a_trial_that_passes_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert trial.is_supported()
    assert caplog.record_tuples == []


def test_it_takes_place_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[None] = []
    monkeypatch.setattr(trial, "run", lambda: runs.append(None))
    assert [trial.is_supported() for _ in range(3)] == [True] * 3
    assert len(runs) == 1


def test_a_trial_that_fails_is_reported_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "run", lambda: "frame: no answer")
    monkeypatch.setattr(trial, "incompatibilities", lambda: ["method run_asgi", "attribute conn"])
    monkeypatch.setattr(uvicorn, "__version__", "9.9")
    assert [trial.is_supported() for _ in range(3)] == [False] * 3
    line = "Unexpected uvicorn (version 9.9, method run_asgi, attribute conn): serving more slowly"
    assert caplog.record_tuples == [("hub", logging.WARNING, line)]


async def test_it_may_take_place_while_an_event_loop_is_running() -> None:
    assert trial.run() is None


def test_nothing_of_it_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "uvicorn.access", "asyncio")]
    before = [threading.enumerate(), descriptors(), [list(one.filters) for one in loggers]]
    assert trial.run() is None
    assert before == [threading.enumerate(), descriptors(), [one.filters for one in loggers]]
    assert caplog.record_tuples == []


@pytest.mark.parametrize("change", CHANGES[::5], ids=lambda change: change.name)
def test_nothing_is_left_of_one_that_fails(
    change: Change, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    altered = changed(monkeypatch, change)
    before = [threading.enumerate(), descriptors()]
    assert altered.trial.run() is not None
    assert before == [threading.enumerate(), descriptors()]
    assert caplog.record_tuples == []


def descriptors() -> int:
    """Count this process's open files, where the system shows them."""
    shown = Path("/proc/self/fd")
    return len(list(shown.iterdir())) if shown.exists() else 0


def test_what_other_threads_log_in_the_meantime_stays_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said, played = threading.Event(), threading.Event()

    class Slow(Scenario):
        async def play(self) -> None:
            played.set()
            said.wait(DEADLINE)
            logging.getLogger("uvicorn.error").info("of the trial")

    def say() -> None:
        played.wait(DEADLINE)
        logging.getLogger("uvicorn.error").error("of another")
        said.set()

    other = threading.Thread(target=say)
    other.start()
    assert trial.run(Slow) is None
    other.join()
    assert caplog.record_tuples == [("uvicorn.error", logging.ERROR, "of another")]


# What may go wrong


class Exits(Scenario):
    async def play(self) -> None:
        sys.exit(3)


class Breaks(Scenario):
    async def play(self) -> None:
        self._witness.step = "ping"
        raise OSError("no\n  buffer\tspace")


class BreaksInCallback(Scenario):
    async def play(self) -> None:
        def fail() -> None:
            raise KeyError("key")

        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Complains(Scenario):
    async def play(self) -> None:
        logging.getLogger("uvicorn.error").error("%d things are wrong", 3)


class Disagrees(Scenario):
    async def play(self) -> None:
        raise Mismatch("it is otherwise")


class IsCancelled(Scenario):
    async def play(self) -> None:
        raise asyncio.CancelledError


class Forgets(Scenario):
    async def play(self) -> None:
        self._task = asyncio.create_task(asyncio.Event().wait())


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [
        (Exits, "start: SystemExit: 3"),
        (Breaks, "ping: OSError: no buffer space"),
        (BreaksInCallback, "start: KeyError: 'key'"),
        (Complains, "start: 3 things are wrong"),
        (Disagrees, "start: it is otherwise"),
        (IsCancelled, "start: CancelledError:"),
        (Forgets, None),
    ],
)
def test_whatever_goes_wrong_is_a_line(scenario: type[Scenario], failure: str | None) -> None:
    assert trial.run(scenario) == failure


def test_a_long_error_is_cut_off() -> None:
    class Talks(Scenario):
        async def play(self) -> None:
            raise ValueError("x" * 1000)

    failure = trial.run(Talks)
    assert failure is not None
    assert len(failure) < 250


def test_code_that_does_not_return_is_given_up() -> None:
    begun, end = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    class Blocks(Scenario):
        async def play(self) -> None:
            threads.append(threading.current_thread())
            begun.set()
            end.wait()

    try:
        assert trial.run(Blocks, seconds=0.05) == "start: no end within 0.05 s"
        assert begun.wait(DEADLINE)
    finally:
        end.set()
    (thread,) = threads
    thread.join(DEADLINE)
    assert thread.daemon


def test_an_answer_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    altered = changed(monkeypatch)

    async def receive(_self: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(altered.compat.Base, "receive", receive)
    assert altered.trial.run() == "handshake: no answer"


def test_a_system_without_threads_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert trial.run() == "start: RuntimeError: can't start new thread"


# Changed uvicorns


class Altered:
    """The hub's server over the uvicorn of the moment."""

    def __init__(self) -> None:
        self.trial: Any = importlib.import_module("hub.server.trial")
        self.compat: Any = importlib.import_module("hub.server.uvicorn_compat")
        self.connection: Any = importlib.import_module("hub.server.connection")
        self.ws: Any = importlib.import_module("hub.server").BroadcastProtocol


def changed(monkeypatch: pytest.MonkeyPatch, change: Change | None = None) -> Altered:
    """Import the hub's server anew, over a changed uvicorn, until the end of the test."""
    monkeypatch.setattr(hub, "server", hub.server)
    for name in [name for name in sys.modules if name.startswith("hub.server")]:
        monkeypatch.delitem(sys.modules, name)
    for name in (WS, HTTP):
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # which is so again afterwards
    if change is not None:
        install(change)
    return Altered()


@asynccontextmanager
async def serving(ws: type[asyncio.Protocol], **options: Any) -> AsyncIterator[uvicorn.Server]:  # noqa: ANN401
    """Serve a feed that has one sample, without the pauses of uvicorn's own way to stop."""
    feed = Hub(Settings(), clock=FakeClock(), collector=FakeCollector())
    config = uvicorn.Config(create_app(hub=feed), log_config=None, ws=ws, **options)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        feed.start()
        feed.publish(snapshot())
        try:
            yield server
        finally:
            for one in server.servers:
                one.close()
            await server.lifespan.shutdown()


async def follow(server: uvicorn.Server) -> set[type]:
    """Follow the feed for one message; return the kinds of connections that the server has."""
    port = server.servers[0].sockets[0].getsockname()[1]
    async with asyncio.timeout(DEADLINE):
        async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as client:
            message = await client.recv()
            assert isinstance(message, str)
            assert message.startswith('{"cpu":25.5,')
            await (await client.ping())
            kinds = {type(one) for one in server.server_state.connections}
        while server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return kinds


def test_every_point_is_changed() -> None:
    names = {
        "WebSocketsSansIOProtocol": (METHODS, ATTRIBUTES),
        "HttpToolsProtocol": (HTTP_METHODS, HTTP_ATTRIBUTES),
        "RequestResponseCycle": ((), CYCLE_ATTRIBUTES),
    }
    declared = {
        *((place, f"method {name}") for place, (methods, _) in names.items() for name in methods),
        *((place, f"attribute {name}") for place, (_, found) in names.items() for name in found),
    }
    assert {(change.place, change.point) for change in CHANGES} == declared


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
async def test_a_change_in_a_declared_point_means_uvicorn_s_own_way_and_one_warning(
    change: Change, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    altered = changed(monkeypatch, change)
    async with serving(altered.ws, http="httptools") as server:
        for _ in range(2):
            assert await follow(server) == {altered.compat.Base}
    assert altered.compat.Base.__module__ == WS
    (line,) = warnings(caplog)
    found = line.removeprefix(f"Unexpected uvicorn (version {uvicorn.__version__}, ")
    assert change.point in found.removesuffix("): serving more slowly").split(", ")


async def test_a_change_that_no_table_shows_is_told_as_the_trial_saw_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn, "__version__", "9.9")
    altered = changed(monkeypatch, UNDECLARED)
    assert altered.compat.incompatibilities() == []
    async with serving(altered.ws) as server:
        assert await follow(server) == {altered.compat.Base}
    (line,) = warnings(caplog)
    assert re.fullmatch(
        r"Unexpected uvicorn \(version 9\.9, handshake: .*KeyError.*'extensions'.*\): "
        "serving more slowly",
        line,
    )


async def test_a_change_that_breaks_nothing_is_not_worth_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    altered = changed(monkeypatch, HARMLESS)
    assert altered.compat.incompatibilities() == [HARMLESS.point]
    async with serving(altered.ws) as server:
        assert await follow(server) == {altered.connection.CompressedConnection}
    assert warnings(caplog) == []


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_a_version_that_is_not_known_does_not_matter(
    http: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn, "__version__", "9.9")
    altered = changed(monkeypatch)
    async with serving(altered.ws, http=http) as server:
        assert await follow(server) == {altered.connection.CompressedConnection}
    assert warnings(caplog) == []


# As a process


@pytest.mark.parametrize(
    "change",
    [
        next(c for c in CHANGES if c.point == "method run_asgi"),
        next(c for c in CHANGES if c.point == "attribute url"),
    ],
    ids=lambda change: change.name,
)
async def test_the_command_line_serves_over_a_changed_uvicorn(change: Change) -> None:
    flags = ("--port", "0", "--interval", "0.1")
    with ServerProcess("tests.support.altered", change.name, *flags) as server:
        server.port = int((await server.logged(r"Hub running on http://\S+:(\d+)"))[1])
        async with asyncio.timeout(DEADLINE), connect(server.url(), proxy=None) as client:
            message = await client.recv()
            assert isinstance(message, str)
            assert message.startswith('{"cpu":')
        assert await server.stopped() == 0
    assert server.log.text.count("Unexpected uvicorn") == 1
    assert f"{change.point}): serving more slowly" in server.log.text
    server.assert_tidy()


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
    assert ran.stderr.count("Unexpected uvicorn") == 1
