"""Servers that send anything at all, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeAlias

import anyio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from websockets.frames import Frame, Opcode
from websockets.sync.server import ServerConnection, serve

from hub.cli.watch.disconnection import FeedRefused
from hub.cli.watch.follower import Follower
from hub.cli.watch.options import FeedOptions
from hub.cli.watch.screen import Screen
from hub.cli.watch.viewer import Phase, State
from tests.cli.test_watch import pipe
from tests.support.fakes import FakeClock
from tests.support.servers import DEADLINE
from tests.support.terminal import Terminal

Answer: TypeAlias = Callable[[bytes], bytes]
"""What a server writes, given the head of the request."""

_STAMP: Final = '"timestamp":"2025-11-10T12:30:45.000000+00:00"'
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """Run a server that writes one answer to each connection and closes it; yield its address."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def switched(head: bytes) -> bytes:
    """Return the answer to a handshake."""
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


class WatchedScreen(Screen):
    """A screen that says when there is a state to wait for."""

    def __init__(self, title: str, console: Console) -> None:
        super().__init__(title, clock=FakeClock(), console=console)
        self.over = anyio.Event()

    def on_state(self, state: State) -> None:
        super().on_state(state)
        if state.phase is Phase.RECONNECTING:
            self.over.set()


async def shown_after(answer: Answer) -> str:
    """Follow a server until the connection has ended; return what a terminal is sent then."""
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    async with answering(answer) as url:
        screen = WatchedScreen(url, console)
        follower = Follower(FeedOptions(url, history=9), screen, clock=FakeClock())
        with anyio.fail_after(DEADLINE):
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(follower.run)
                    await screen.over.wait()
                    group.cancel_scope.cancel()
            except* FeedRefused as refused:
                (error,) = refused.exceptions
                screen.on_state(State(Phase.RECONNECTING, str(error)))
    with console.capture() as shown:
        console.print(screen.render())
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.get())


def assert_harmless(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), repr(text)


DATA_FRAMES: Final = st.builds(
    Frame,
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]),
    st.binary(max_size=200) | st.text(max_size=50).map(str.encode),
    st.booleans(),
)
CONTROL_FRAMES: Final = st.builds(
    Frame, st.sampled_from([Opcode.CLOSE, Opcode.PING, Opcode.PONG]), st.binary(max_size=125)
)


@settings(max_examples=50, deadline=None)
@given(frames=st.lists(DATA_FRAMES | CONTROL_FRAMES, max_size=4))
@example([Frame(Opcode.TEXT, f'{{"a":"\x9b31m\x7f",{_STAMP}}}'.encode())])
@example([Frame(Opcode.TEXT, f'{{"a":Infinity,{_STAMP}}}'.encode())])
@example([Frame(Opcode.TEXT, b"\xff\xfe"), Frame(Opcode.BINARY, b"\xff\xfe")])
@example([Frame(Opcode.CLOSE, b"\x03\xe8\x1b]0;owned\x07")])
@example([Frame(Opcode.CLOSE, b"\x03\xf0\xc2\x9b31m")])
def test_whatever_frames_a_server_sends_the_view_goes_on(frames: list[Frame]) -> None:
    data = b"".join(frame.serialize(mask=False) for frame in frames)
    assert_harmless(anyio.run(shown_after, lambda head: switched(head) + data))


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300))
def test_whatever_bytes_a_server_sends_as_frames_the_view_goes_on(data: bytes) -> None:
    assert_harmless(anyio.run(shown_after, lambda head: switched(head) + data))


@settings(max_examples=50, deadline=None)
@given(
    status=st.integers(100, 999),
    phrase=st.binary(max_size=20),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"Location", b"Retry-After", b"Content-Length", b"Transfer-Encoding"]),
            st.binary(max_size=20)
            | st.sampled_from([b"ws://[", b"//\x9b", b"ws://a..b/", b"9" * 400, b"chunked", b"0"]),
        ),
        max_size=4,
    ),
    body=st.binary(max_size=50)
    | st.text(max_size=30).map(lambda text: json.dumps({"error": text}).encode())
    | st.sampled_from([b"[" * 5000, b'{"error":NaN}', b'{"error":[1]}', b"null"]),
)
@example(302, b"Found", [(b"Location", b"ws://["), (b"Location", b"ws://[")], b"")
@example(302, b"Found", [(b"Location", b"ws://[")], b"")
@example(302, b"Found", [(b"Location", b"http://127.0.0.1:1/")], b"")
@example(503, b"\x1b]0;owned\x07", [(b"Retry-After", b"9" * 400)], b"")
def test_whatever_a_server_answers_a_handshake_with_the_view_goes_on_or_says_why(
    status: int, phrase: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    lines = [b"HTTP/1.1 %d %s" % (status, phrase), *(b"%s: %s" % header for header in headers)]
    answer = b"\r\n".join([*lines, b"", body])
    assert_harmless(anyio.run(shown_after, lambda _: answer))


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=200))
def test_whatever_bytes_a_server_answers_with_the_view_goes_on(data: bytes) -> None:
    assert_harmless(anyio.run(shown_after, lambda _: data))


NASTY: Final = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b]8;;http://evil\x1b\\link\x9b2J"


@contextmanager
def hostile_hub(*messages: str | bytes) -> Iterator[str]:
    """Run a hub that sends messages as they are, and then waits; yield its address."""
    over = threading.Event()

    def talk(connection: ServerConnection) -> None:
        for message in messages:
            connection.send(message)
        over.wait(DEADLINE)

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, name="test-hub")
        thread.start()
        try:
            yield "127.0.0.1:{}".format(*server.socket.getsockname()[1:])
        finally:
            over.set()
            server.shutdown()
            thread.join()


def test_a_hostile_hub_commands_no_terminal_and_ends_no_view() -> None:
    process = {"pid": NASTY, "name": NASTY, "cpu": NASTY, "memory": 1.0}
    content = {
        "cpu": 12.5,
        NASTY: NASTY,
        "[link=http://evil]": "[bold]x",
        "processes": [process, 1, [NASTY]],
        "cpu_times": {NASTY: 1.0},
        "pressure": {NASTY: {"some": 1.0}},
        "container": NASTY,
        "process": [NASTY],
        "uptime": NASTY,
        "disks": {NASTY: 97.0},
        "disks_bytes": {NASTY: {"total": 10**99, "used": -1}},
        "network": {"interfaces": {NASTY: {NASTY: NASTY}}},
        "temperatures": {NASTY: 1e300},
        "gpu": {NASTY: {"utilization": 1e300}},
        "errors": {NASTY: NASTY, f"disks/{NASTY}": [NASTY]},
        "timestamp": "2025-11-10T12:30:45+00:00",
    }
    nonsense: list[str | bytes] = ["[" * 100_000, "[]", f'{{"cpu":Infinity,{_STAMP}}}', b"\xff\xfe"]
    with (
        hostile_hub(*nonsense, json.dumps(content, ensure_ascii=False)) as address,
        Terminal("hub", "watch", address, rows=60) as terminal,
    ):
        terminal.wait_until(lambda text: "Live" in text and "12.5 %" in text and "[bold]x" in text)
        terminal.press(b"?\x1b[F\x1b[F")
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert terminal.restored
        for commanded in (b"\x07", b"\x1b]", b"\xc2\x9b", b"evil\x1b"):
            assert commanded not in terminal.written
        assert b"Traceback" not in terminal.written


def test_a_hostile_hub_writes_no_control_characters_into_a_pipe() -> None:
    name = "\x7f\x9b31m\u2028\u202e"
    stamp = "2025-11-10T12:30:45+00:00"
    hostile = json.dumps({name: 1.5, "timestamp": stamp}, ensure_ascii=False, indent=1)
    good = json.dumps({"cpu": 12.5, "timestamp": stamp})
    with (
        hostile_hub(hostile, good) as address,
        Terminal("hub", "watch", address, "--json", columns=200) as terminal,
    ):
        shown = terminal.wait_until(lambda text: "12.5" in text)
        assert terminal.written.replace(b"\r\n", b"").decode().isprintable()
        first, second = shown.splitlines()
        assert json.loads(first) == {name: 1.5, "timestamp": stamp}
        assert second == good
        terminal.press(b"\x03")
        assert terminal.ended() == 0


def test_what_is_no_message_is_one_line_beside_those_that_are() -> None:
    good = json.dumps({"cpu": 12.5, "timestamp": "2025-11-10T12:30:45+00:00"})
    with hostile_hub("nonsense", NASTY, "[]", good) as address, pipe(address) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{good}\n"
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert rest == ""
    assert complaints == "metrics-hub watch: what it sends is no message of a metrics hub\n"
