"""A log whose reader is slow, stands still or has gone."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.log_handler import BackgroundHandler, stream_writer
from tests.support.clients import handshake
from tests.support.servers import DEADLINE, PATH

NOTICE: Final = r"(\d+) log lines were left out: they were not read in time"


class Gate:
    """Where a handler writes: it lets lines through only while it is open."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.reached = threading.Semaphore(0)
        self.open = threading.Event()

    def write(self, text: str) -> None:
        self.reached.release()
        self.open.wait(DEADLINE)
        self.written += text.splitlines()


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("hub", logging.INFO, "", 0, text, args, None)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def test_lines_are_written_in_order_and_all_of_them_before_the_end() -> None:
    gate = Gate()
    gate.open.set()
    with closing(BackgroundHandler(gate.write)) as handler:
        for number in range(1000):
            handler.handle(record("line %d", number))
    assert gate.written == [f"line {number}" for number in range(1000)]
    assert not handler._thread.is_alive()


def test_what_a_record_says_is_what_it_said_when_it_was_logged(gate: Gate) -> None:
    clients = ["one"]
    with closing(BackgroundHandler(gate.write)) as handler:
        handler.handle(record("clients: %s", clients))
        clients.append("two")
        gate.open.set()
    assert gate.written == ["clients: ['one']"]


def test_what_is_not_read_is_left_out_and_counted(gate: Gate) -> None:
    handler = BackgroundHandler(gate.write, capacity=100)
    with closing(handler):
        for number in range(1000):
            handler.handle(record("line %03d", number))  # nine characters with its end
        assert handler._queued - handler._written <= 100 + 9
        gate.open.set()
    assert gate.written[:12] == [f"line {number:03d}" for number in range(12)]
    assert len(gate.written) == 13
    notice = re.fullmatch(NOTICE, gate.written[12])
    assert notice is not None
    assert int(notice[1]) == 1000 - 12


def test_when_writing_resumes_a_line_says_so_where_lines_are_missing(gate: Gate) -> None:
    handler = BackgroundHandler(gate.write, capacity=100)
    with closing(handler):
        for _ in range(30):
            handler.handle(record("before !"))
        gate.open.set()
        while handler._left_out:
            assert gate.reached.acquire(timeout=DEADLINE)
        handler.handle(record("after"))
    assert gate.written == ["before !"] * 12 + [
        "18 log lines were left out: they were not read in time", "after",
    ]  # fmt: skip


@given(
    capacity=st.integers(1, 200),
    lengths=st.lists(st.integers(0, 50) | st.none(), max_size=60),
)
def test_every_line_is_written_or_counted(capacity: int, lengths: list[int | None]) -> None:
    """None lets what is queued be written meanwhile."""
    written: list[str] = []
    going = threading.Event()

    def write(text: str) -> None:
        going.wait(DEADLINE)
        written.extend(text.removesuffix("\n").split("\n"))

    with closing(BackgroundHandler(write, capacity=capacity, pause=0)) as handler:
        for length in lengths:
            if length is None:
                going.set()
                while not handler._lines.empty():
                    pass
                going.clear()
            else:
                handler.handle(record("x" * length))
        going.set()
    notices = [re.fullmatch(NOTICE, line) for line in written]
    counted = sum(int(notice[1]) for notice in notices if notice)
    lines = sum(notice is None for notice in notices)
    assert lines + counted == sum(length is not None for length in lengths)


def test_a_writer_that_is_stuck_holds_up_the_end_for_no_longer_than_a_second(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = BackgroundHandler(gate.write)
    handler.handle(record("a line"))
    waits: list[float | None] = []
    monkeypatch.setattr(handler._thread, "join", waits.append)
    handler.close()
    handler.close()
    handler.handle(record("too late"))
    assert waits == [1.0]
    assert gate.written == []


def test_what_is_logged_after_the_end_is_written_at_once() -> None:
    written: list[str] = []
    handler = BackgroundHandler(written.append)
    handler.close()
    handler.handle(record("late"))
    assert written == ["late\n"]


def test_a_reader_that_has_gone_ends_nothing() -> None:
    def write(_text: str) -> None:
        raise BrokenPipeError

    with closing(BackgroundHandler(write)) as handler:
        handler.handle(record("a line"))
    assert not handler._thread.is_alive()


def test_a_record_that_cannot_be_formatted_is_told_as_every_handler_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written: list[str] = []
    with closing(BackgroundHandler(written.append)) as handler:
        handler.handle(record("%d", "no number"))
        handler.handle(record("fine"))
    assert written == ["fine\n"]
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_stream_in_memory_is_written_as_one() -> None:
    stream = io.StringIO()
    stream_writer(stream)("text\n")
    assert stream.getvalue() == "text\n"


def test_without_standard_error_there_is_no_log() -> None:
    stream_writer(None)("text\n")


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as stream:
        stream_writer(stream)("caf\u00e9 \udcff\n")
    assert path.read_bytes() == rb"caf\xe9 \udcff" + b"\n"


def test_a_stream_that_does_not_block_gets_all_of_a_line() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        text = "x" * 1_000_000
        thread = threading.Thread(target=stream_writer(stream), args=(text,))
        thread.start()
        assert reader.read(len(text)) == text.encode()
        thread.join()


# A hub whose log is not read


@contextlib.contextmanager
def unread_hub(*flags: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a hub whose standard error is a full pipe as soon as it serves; yield its port, too."""
    arguments = [sys.executable, "-m", "hub", "--port", "0", *flags]
    with subprocess.Popen(  # noqa: S603 # our own arguments
        arguments, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            begun = b""
            while not (running := re.search(rb"feed is at ws://\S+:(\d+)/", begun)):
                begun += os.read(process.stderr.fileno(), 4096)
            yield process, int(running[1])
        finally:
            process.kill()


async def answer(port: int, request: bytes) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        with anyio.fail_after(DEADLINE):
            return (await stream.receive())[:12]


@pytest.mark.parametrize("flags", [(), ("--access-log", "--log-format", "json")])
async def test_a_log_that_is_not_read_holds_up_no_client_and_no_signal(
    flags: tuple[str, ...],
) -> None:
    with unread_hub("--log-level", "info", *flags) as (process, port):
        for _ in range(600):
            assert await answer(port, handshake(PATH)) == b"HTTP/1.1 101"
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert process.stderr.read().count(b"Public WS client") < 600


def test_a_log_whose_reader_has_gone_holds_up_no_signal() -> None:
    with unread_hub("--interval", "0.1") as (process, _):
        assert process.stderr is not None
        process.stderr.close()
        process.terminate()
        assert process.wait(DEADLINE) == 0
