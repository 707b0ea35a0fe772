"""The terminal view: in a terminal, in a pipe, and piece by piece."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from hub.cli.watch import watch
from hub.cli.watch.follower import (
    FeedOptions,
    FeedRefused,
    Follower,
    Message,
    Phase,
    State,
    feed_url,
)
from hub.cli.watch.screen import Screen
from hub.errors import InvalidValue
from tests.support.clients import DEFAULT_MESSAGE
from tests.support.fakes import FakeClock, settle
from tests.support.servers import DEADLINE, ServerProcess, start_hub
from tests.support.terminal import Terminal

TOKEN: Final = "canary-watch-77aa"  # noqa: S105 # of a hub that ends with its tests


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub(environ={"HUB_TOKENS": TOKEN}) as server:
        yield server


def address(server: ServerProcess) -> str:
    return f"127.0.0.1:{server.port}"


# In a terminal


def test_it_shows_the_machine_live_until_somebody_presses_q(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server)) as terminal:
        shown = terminal.wait_until(lambda text: "Live" in text and "network sent" in text)
        for family in ("cpu", "memory", "swap", "disk"):
            assert re.search(rf"^{family} +[▁-█]+ +\d+\.\d %$", shown, re.MULTILINE), shown
        assert re.search(r"^core 0 +[━╸╺ ]+ +\d+\.\d %$", shown, re.MULTILINE), shown
        assert re.search(r"^load .* \d+\.\d\d \d+\.\d\d \d+\.\d\d$", shown, re.MULTILINE), shown
        before = re.findall(r"[▁-█]+", shown)[0]
        terminal.wait_until(lambda text: len(re.findall(r"[▁-█]+", text)[0]) > len(before))
        terminal.press(b"xq")
        assert terminal.ended() == 0
        assert terminal.restored


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_it_leaves_the_terminal_as_it_was(server: ServerProcess, how: str) -> None:
    with Terminal("hub", "watch", address(server)) as terminal:
        terminal.wait_until(lambda text: "Live" in text)
        assert not terminal.restored
        if how == "Ctrl-C":
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(signal.Signals[how])
        assert terminal.ended() == 0
        assert terminal.restored


def test_it_finds_a_hub_again_that_comes_back() -> None:
    with start_hub() as first:
        port = str(first.port)
        with Terminal("hub", "watch", f"http://127.0.0.1:{port}/") as terminal:
            terminal.wait_until(lambda text: "Live" in text)
            assert first.stop() == 0
            text = terminal.wait_until(lambda text: "Reconnecting" in text)
            assert "next try in" in text
            with start_hub("--port", port):
                terminal.wait_until(lambda text: "Live" in text and "next try" not in text)
                terminal.press(b"q")
                assert terminal.ended() == 0


def test_it_fits_into_whatever_terminal_there_is(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server), columns=60, rows=12) as terminal:
        terminal.wait_until(lambda text: "Live" in text and "cpu" in text)
        terminal.resize(120, 40)
        terminal.wait_until(lambda text: "network sent" in text)
        terminal.resize(40, 5)
        terminal.wait_until(lambda text: "Live" in text and "network" not in text)
        terminal.press(b"Q")
        assert terminal.ended() == 0


def test_processes_are_shown_to_those_who_have_a_token(
    server: ServerProcess, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# for the wall\n{TOKEN}\n")
    flags = ("--token-file", str(tokens))
    with Terminal("hub", "watch", address(server), *flags, rows=50) as terminal:
        shown = terminal.wait_until(re.compile(r"^ *\d+ +python", re.MULTILINE).search)
        assert re.search(r"^ *pid +name +cpu +memory$", shown, re.MULTILINE)
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert TOKEN.encode() not in terminal.written


def test_what_the_hub_refuses_is_one_line_after_the_terminal_is_as_it_was(
    server: ServerProcess,
) -> None:
    with Terminal("hub", "watch", address(server), "--metrics", "cpu,nothing") as terminal:
        assert terminal.ended() == 1
        assert terminal.restored
        said = terminal.written.rpartition(b"\x1b[?1049l")[2].decode()
        assert re.search(
            "^metrics-hub watch: metrics must be one or more of cpu,.*'nothing'\r$",
            said,
            re.MULTILINE,
        )
        assert "Traceback" not in said


# In a pipe


def pipe(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 # our own arguments
        [sys.executable, "-X", "dev", "-W", "error", "-m", "hub", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environ},
    )


def test_in_a_pipe_each_message_is_a_line_as_it_came(server: ServerProcess) -> None:
    with pipe(address(server)) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert complaints == ""
    assert all(DEFAULT_MESSAGE.fullmatch(line.rstrip("\n")) for line in lines)
    assert rest == "" or rest.endswith("\n")


def test_a_terminal_that_can_do_nothing_is_like_a_pipe(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server), environ={"TERM": "dumb"}) as terminal:
        terminal.wait_until(lambda text: text.count('{"cpu"') > 2)
        terminal.press(b"\x03")
        assert terminal.ended() == 0
        assert b"\x1b" not in terminal.written


def test_a_reader_that_has_had_enough_ends_it_without_a_word(server: ServerProcess) -> None:
    with pipe(
        address(server), "--json", "--metrics", "load, cores", "--interval", "0.2"
    ) as process:
        assert process.stdout is not None
        message = json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(DEADLINE) == 0
    assert list(message) == ["cores", "load", "timestamp"]


def test_a_full_disk_is_one_line(server: ServerProcess) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 # our own arguments
            [sys.executable, "-m", "hub", "watch", address(server)],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"metrics-hub watch: cannot write: No space left on device\n"


def test_why_there_is_no_connection_is_said_beside_the_lines() -> None:
    with pipe("127.0.0.1:1") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
    assert re.fullmatch(r"metrics-hub watch: Connection refused; next try in [01] s\n", line)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "complaint"),
    [
        (["ftp://x"], {}, "URL must be an address such as ws://127.0.0.1:54112, without a query"),
        (["--interval", "often"], {}, "--interval must be a number of seconds from 0.1 to 3600"),
        ([], {"HUB_WATCH_INTERVAL": "-1"}, "HUB_WATCH_INTERVAL must be a number of seconds"),
        (["--metrics", "cpu,,"], {}, "--metrics must be names of families, separated by commas"),
        (["--token-file", "/nowhere"], {}, "--token-file must be a file that can be read"),
        ([], {"HUB_WATCH_JSON": "perhaps"}, "HUB_WATCH_JSON must be one of 1, true"),
        ([], {"HUB_WATCH_URL": "http://"}, "HUB_WATCH_URL must be an address such as"),
        (["--nonsense"], {}, "unrecognized arguments: --nonsense"),
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(
    arguments: list[str],
    environ: dict[str, str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        watch(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"metrics-hub watch: {complaint}")
    assert said.count("\n") == 1


# Addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:54112", "ws://127.0.0.1:54112"),
        ("metrics.example", "ws://metrics.example"),
        ("http://127.0.0.1:54112/", "ws://127.0.0.1:54112"),
        ("https://metrics.example/monitor/", "wss://metrics.example/monitor"),
        ("ws://[::1]:80/api/system/metrics", "ws://[::1]:80"),
        ("wss://metrics.example/m/api/system/ws", "wss://metrics.example/m"),
    ],
)
def test_a_hub_is_known_by_its_page_its_feed_or_its_host(text: str, url: str) -> None:
    assert feed_url("URL", text) == url


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://x", "ws://x?metrics=cpu", "ws://x#y", "ws://u:p@x", "ws://x:99999",
     "ws://x:0", "ws://[::1", "ws://" + "a" * 70 + ".example"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="URL must be an address"):
        feed_url("URL", text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    with suppress(InvalidValue):
        assert feed_url("URL", text).startswith(("ws://", "wss://"))


# Following


class FakeFeed:
    """A connection whose messages a test puts in; what is no text ends it."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[str | Exception] = asyncio.Queue()

    def say(self, second: int, **content: object) -> str:
        stamp = f"2025-11-10T12:30:{second:02}.000000+00:00"
        text = json.dumps({**content, "timestamp": stamp})
        self.sent.put_nowait(text)
        return text

    async def recv(self, *, decode: bool) -> str:
        assert decode
        said = await self.sent.get()
        if isinstance(said, Exception):
            raise said
        return said


class Stage:
    """A follower of feeds that a test plays, in time that it moves."""

    def __init__(self, options: FeedOptions | None = None) -> None:
        self.clock = FakeClock()
        self.dialled: list[tuple[str, Mapping[str, Any]]] = []
        self.answers: list[FakeFeed | Exception] = []
        self.messages: list[str] = []
        self.states: list[State] = []
        self.follower = Follower(
            options or FeedOptions("ws://hub"),
            self,
            clock=self.clock,
            jitter=lambda: 0.5,
            connect=cast("type[connect]", self._connect),
        )

    @asynccontextmanager
    async def _connect(self, url: str, **options: object) -> AsyncIterator[FakeFeed]:
        self.dialled.append((url, options))
        answer = self.answers.pop(0) if self.answers else OSError(111, "as it were")
        if isinstance(answer, Exception):
            raise answer
        yield answer

    def show(self, message: Message) -> None:
        self.messages.append(message.text)

    def on_state(self, state: State) -> None:
        self.states.append(state)

    def answer(self) -> FakeFeed:
        feed = FakeFeed()
        self.answers.append(feed)
        return feed

    @property
    def urls(self) -> list[str]:
        return [url for url, _ in self.dialled]

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.follower.run)
            await settle()
            yield
            group.cancel_scope.cancel()


async def test_messages_are_handed_on_as_they_come() -> None:
    stage = Stage(FeedOptions("ws://hub/m", {"metrics": "cpu,load"}, history=60))
    feed = stage.answer()
    said = [feed.say(1, cpu=1.0), feed.say(2, cpu=2.0)]
    async with stage.playing():
        assert stage.messages == said
    assert stage.urls == ["ws://hub/m/api/system/metrics?metrics=cpu,load&history=60"]
    assert [state.phase for state in stage.states] == [Phase.CONNECTING, Phase.LIVE]


async def test_a_token_is_shown_in_a_header_and_opens_the_other_feed() -> None:
    stage = Stage(FeedOptions("ws://hub", token=TOKEN))
    async with stage.playing():
        pass
    ((url, options),) = stage.dialled
    assert url == "ws://hub/api/system/ws"
    assert options["additional_headers"] == {"Authorization": f"Bearer {TOKEN}"}
    assert TOKEN not in repr(stage.follower._options)


async def test_a_lost_connection_is_resumed_after_a_random_wait() -> None:
    stage = Stage(FeedOptions("ws://hub", history=60))
    feed, again = stage.answer(), FakeFeed()
    feed.say(1)
    feed.sent.put_nowait(ConnectionClosedError(Close(1012, "service restart"), None))
    stage.answers.append(again)
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, "service restart", 0.5)
        assert len(stage.dialled) == 1
        await stage.clock.advance(0.5)
        again.say(2)
        await settle()
        assert stage.states[-1].phase is Phase.LIVE
    assert stage.urls[1] == ("ws://hub/api/system/metrics?since=2025-11-10T12:30:01.000000%2B00:00")


async def test_waits_become_longer_up_to_a_limit_until_there_is_a_message() -> None:
    stage = Stage()
    async with stage.playing():
        for _ in range(8):
            await stage.clock.advance(stage.states[-1].seconds)
        waits = [state.seconds for state in stage.states[1:]]
        assert waits == [0.5, 1, 2, 4, 8, 15]
        assert len(stage.dialled) == 9
        assert stage.states[-1].reason == "Connection refused"
        feed = stage.answer()
        feed.say(1)
        feed.sent.put_nowait(ConnectionClosedError(None, None))
        await stage.clock.advance(15)
        assert stage.states[-1] == State(Phase.RECONNECTING, "connection lost", 0.5)


def refusal(status: int, body: object, headers: Mapping[str, str] | None = None) -> InvalidStatus:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return InvalidStatus(Response(status, "Reason", Headers(headers or {}), content))


async def test_a_hub_without_room_is_left_alone_for_as_long_as_it_says() -> None:
    stage = Stage()
    stage.answers.append(refusal(503, {"error": "no room"}, {"Retry-After": "5"}))
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, "no room", 5.5)


async def test_it_comes_back_however_often_it_has_tried() -> None:
    stage = Stage()
    async with stage.playing():
        await stage.clock.advance(15 * 1100)
        assert len(stage.dialled) > 1100
        feed = stage.answer()
        feed.say(1)
        await stage.clock.advance(15)
        assert stage.states[-1].phase is Phase.LIVE


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("Retry-After", "9" * 400)], 3600.5),
        ([("Retry-After", "9" * 5000)], 3600.5),
        ([("Retry-After", "0")], 0.5),
        ([("Retry-After", "-1")], 0.5),
        ([("Retry-After", "1e3")], 0.5),
        ([("Retry-After", "nan")], 0.5),
        ([("Retry-After", "\u00b2")], 0.5),
        ([("Retry-After", "5"), ("Retry-After", "6")], 0.5),
        ([("Retry-After", "Mon, 10 Nov 2025 12:30:45 GMT")], 0.5),
    ],
)
async def test_a_time_to_wait_that_makes_no_sense_is_bounded(
    headers: list[tuple[str, str]], seconds: float
) -> None:
    stage = Stage()
    response = Response(503, "Busy", Headers(headers), b'{"error":"no room"}')
    stage.answers.append(InvalidStatus(response))
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, "no room", seconds)
        screen = Screen("ws://hub", clock=FakeClock(), console=Console(file=io.StringIO()))
        screen.on_state(stage.states[-1])
        screen.render()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0001-01-01T00:00:00.000000+00:00", "9999-12-31T23:59:59.999999+00:00"),
        ("9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00.000000+00:00"),
        ("2025-11-10T12:30:45.000000+00:00", "2025-11-10T12:30:45.000000+00:00"),
    ],
)
async def test_times_that_make_no_sense_do_not_say_how_far_apart_messages_are(
    first: str, second: str
) -> None:
    stage = Stage()
    feed = stage.answer()
    for stamp in (first, second):
        feed.sent.put_nowait(json.dumps({"timestamp": stamp}))
    async with stage.playing():
        assert len(stage.messages) == 2
        await stage.clock.advance(179.9)
        assert stage.states[-1].phase is Phase.LIVE
        await stage.clock.advance(0.2)
        assert stage.states[-1].phase is Phase.STALE


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal(400, {"error": "metrics must be", "parameter": "metrics"}), "metrics must be"),
        (refusal(401, {"error": "a valid token"}), "a valid token"),
        (refusal(404, b"<h1>Not Found</h1>"), "the hub answers 404 Reason"),
        (refusal(403, [1, 2]), "the hub answers 403 Reason"),
    ],
)
async def test_what_waiting_does_not_change_ends_it(answer: InvalidStatus, reason: str) -> None:
    stage = Stage()
    stage.answers.append(answer)
    with pytest.raises(FeedRefused, match=f"^{reason}$"):
        await stage.follower.run()


async def test_a_client_that_the_hub_sends_away_for_good_stays_away() -> None:
    stage = Stage()
    stage.answer().sent.put_nowait(ConnectionClosedError(Close(1008, "too many messages"), None))
    with pytest.raises(FeedRefused, match="too many messages"):
        await stage.follower.run()


async def test_where_the_hub_keeps_less_of_the_past_it_goes_without() -> None:
    stage = Stage(FeedOptions("ws://hub", {"metrics": "cpu"}, history=60))
    stage.answers.append(refusal(400, {"error": "history must be", "parameter": "history"}))
    feed = stage.answer()
    feed.say(1)
    async with stage.playing():
        assert stage.states[-1].phase is Phase.LIVE
    assert stage.urls[1] == "ws://hub/api/system/metrics?metrics=cpu"


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        '{"timestamp":"soon"}',
        "[1]",
        '"x"',
        "null",
        "1",
        '{"timestamp":"2025-11-10T12:30:45"}',
    ],
)
async def test_what_is_no_feed_is_told_so(text: str) -> None:
    stage = Stage()
    stage.answer().sent.put_nowait(text)
    with pytest.raises(FeedRefused, match="no messages of a metrics hub"):
        await stage.follower.run()


@pytest.mark.parametrize(
    ("parameters", "said", "patience"),
    [
        ({}, 0, 3),  # the first message comes at once
        ({}, 1, 180),  # and then nobody knows yet
        ({}, 2, 30),  # here they are ten seconds apart
        ({"interval": "20"}, 1, 60),
        ({"interval": "0.1"}, 1, 3),
    ],
)
async def test_silence_is_stale_and_then_the_end(
    parameters: dict[str, str], said: int, patience: float
) -> None:
    stage = Stage(FeedOptions("ws://hub", parameters))
    feed = stage.answer()
    for number in range(said):
        feed.say(10 * number)
    async with stage.playing():
        await stage.clock.advance(patience - 0.1)
        before = stage.states[-1].phase
        assert before is (Phase.LIVE if said else Phase.CONNECTING)
        await stage.clock.advance(0.2)
        assert stage.states[-1].phase is (Phase.STALE if said else Phase.CONNECTING)
        await stage.clock.advance(2 * patience - 0.3)
        assert len(stage.states) == (3 if said else 1)
        await stage.clock.advance(0.2)
        assert stage.states[-1] == State(Phase.RECONNECTING, "the hub is silent", 0.5)
        assert stage.clock.pending == 1, "no timer but the wait for the next try"


# Drawing


def drawn(content: Mapping[str, Any], *, width: int = 60, state: State | None = None) -> str:
    """Return what a screen shows after a message, line by line."""
    stamped = {**content, "timestamp": "2025-11-10T12:30:45.123456+00:00"}
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=True)
    screen = Screen("ws://hub", clock=FakeClock(), console=console)
    screen.on_state(state or State(Phase.LIVE))
    screen.show(Message(json.dumps(stamped), stamped))
    with console.capture() as shown:
        console.print(screen.render())
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.get())
    assert "\x1b" not in text
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_a_message_is_shown_line_by_line() -> None:
    text = drawn(
        {
            "cpu": 50.0,
            "load": [0.5, 1.0, 2.0],
            "memory_bytes": {"total": 8_000_000_000, "available": 1, "used": 2_000_000_000},
            "network": {"received_bytes_per_second": 1234.5, "sent_bytes_per_second": 0.0},
            "queue_depth": 7,
            "temperatures": {"coretemp": 40.0},
        }
    )
    lines = text.splitlines()
    assert lines[0].split() == ["ws://hub", "●", "Live", "12:30:45", "UTC"]
    assert [line.split()[0] for line in lines[2:] if line] == [
        "cpu", "load", "memory_bytes", "network", "network", "queue_depth", "temperatures",
    ]  # fmt: skip
    assert re.search(r"^cpu +▅ +50\.0 %$", text, re.MULTILINE)
    assert re.search(r"^memory_bytes .* 2 GB of 8 GB$", text, re.MULTILINE)
    assert re.search(r"^network received +█ +1\.23 kB/s$", text, re.MULTILINE)
    assert re.search(r"^queue_depth +█ +7$", text, re.MULTILINE)


def test_what_could_not_be_measured_says_why() -> None:
    text = drawn({"disk": None, "cpu": 1.0, "errors": {"disk": "No such file or directory"}})
    assert re.search(r"^disk +No such file or directory +-$", text, re.MULTILINE)
    assert "errors" not in text


def test_an_error_message_is_shown_as_one() -> None:
    text = drawn({"error": "Metric collection failed: disk: gone"})
    assert "Metric collection failed: disk: gone" in text


def test_why_there_is_no_connection_is_shown() -> None:
    text = drawn({}, state=State(Phase.RECONNECTING, "service restart", 1.2))
    assert "Reconnecting" in text
    assert "service restart; next try in 2 s" in text


NASTY: Final = "\x1b]0;owned\x07\x1b[2J[red]\u202e\r\n"


def test_names_cannot_command_the_terminal() -> None:
    process = {"pid": 1, "name": NASTY, "cpu": 1.0, "memory": 1.0}
    text = drawn(
        {"disks": {f"/mnt/{NASTY}": 5.0}, "processes": [process], "other": NASTY}, width=100
    )
    assert "\x07" not in text
    assert "\u202e" not in text
    assert text.count("[red]") == 2, "markup is text"


@pytest.mark.parametrize("name", ["load", "network", "cores", "disks", "memory_bytes", "other"])
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(-1e300, 1e300)
        | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    )
)  # fmt: skip
def test_values_of_any_shape_are_shown_somehow(name: str, value: object) -> None:
    assert drawn({name: value}).startswith("ws://hub")


def test_a_terminal_without_unicode_gets_plain_letters() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")  # and no letter more
    console = Console(file=file, width=60, height=20, force_terminal=True)
    screen = Screen("ws://hub", clock=FakeClock(), console=console)
    content = {"cpu": 100.0, "timestamp": datetime.now().astimezone().isoformat()}
    screen.show(Message("", content))
    console.print(screen.render())
    file.flush()


async def test_what_comes_in_a_burst_is_drawn_once() -> None:
    clock = FakeClock()
    console = Console(file=io.StringIO(), width=60, height=20, force_terminal=True)
    with Screen("ws://hub", clock=clock, console=console) as screen:
        for number in range(100):
            screen.show(Message("", {"cpu": float(number), "timestamp": ""}))
        assert clock.pending == 1
        await clock.advance(0.1)
        assert clock.pending == 0
    assert cast("io.StringIO", console.file).getvalue().count("99.0 %") == 1
