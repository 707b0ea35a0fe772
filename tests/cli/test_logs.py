"""What the process writes, and what it keeps to itself."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hub.cli.logs import FORMATS, Throttle, configure_logging
from tests.access.test_admission import RESTRICTED, admit_attempt, refusal
from tests.support.clients import client, close_code, handshake, message
from tests.support.servers import PATH, ServerProcess, start_hub

CANARY = "canary-4b1d77e0"
NAMES = ("", "hub", "uvicorn", "uvicorn.access", "uvicorn.error")


@pytest.fixture
def loggers() -> Iterator[None]:
    """Begin as a new process does, and put back what configuring has changed.

    A server that another test has run in this process may have silenced uvicorn's loggers.
    """
    kept = [(logging.getLogger(n), logging.getLogger(n).__dict__.copy()) for n in NAMES]
    for logger, _ in kept[1:]:
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
    yield
    for logger, state in kept:
        logger.__dict__.update(state)
        logger.manager._clear_cache()  # type: ignore[attr-defined] # levels are remembered


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("loggers")
def test_json_lines_have_a_time_a_level_a_logger_and_the_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(configure_logging("info", access_log=False, form="json")):
        logging.getLogger("hub").warning("Slow client %s: 100%% \n \udcff", "[::1]:80")
    (record,) = records(capsys.readouterr().err)
    assert list(record) == ["level", "logger", "message", "time"]
    assert record["level"] == "WARNING"
    assert record["logger"] == "hub"
    assert record["message"] == "Slow client [::1]:80: 100% \n \udcff"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", record["time"])


@pytest.mark.usefixtures("loggers")
def test_an_exception_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(5, "Input/output error")
    with closing(configure_logging("info", access_log=False, form="json")):
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    (record,) = records(capsys.readouterr().err)
    assert "Input/output error" in record["exc_info"]


@pytest.mark.usefixtures("loggers")
def test_what_a_library_warns_of_is_a_line_of_the_log_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(configure_logging("info", access_log=False, form="json")):
        logging.getLogger("asyncio").error("Task exception was never retrieved")
        logging.getLogger("asyncio").info("unimportant")
    (line,) = records(capsys.readouterr().err)
    assert line["logger"] == "asyncio"
    assert line["message"] == "Task exception was never retrieved"
    with closing(configure_logging("critical", access_log=False, form="json")):
        logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("loggers")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(), form=st.sampled_from(FORMATS))
@example("\x9b31m\x1b]0;owned\x07\x7f\u2028\u202e\udcff\r\n2025-11-10 INFO forged", "text")
@example("\x9b31m\x1b]0;owned\x07\x7f\u2028\u202e\udcff\r\n2025-11-10 INFO forged", "json")
def test_whatever_a_client_is_called_a_line_is_one_line_of_printable_characters(
    name: str, form: str
) -> None:
    stream = io.StringIO()
    with (
        contextlib.redirect_stderr(stream),
        closing(configure_logging("info", access_log=True, form=form)),
    ):
        logging.getLogger("hub").warning("Slow client %s: dropping its oldest frames", name)
        logging.getLogger("uvicorn.access").info('%s - "%s %s"', name, "GET", "/")
        error = ValueError(name)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
    slow, access, *more = stream.getvalue().removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in (slow, access, *more))
    assert "Slow client" in slow
    assert "GET" in access
    assert more[0].endswith("Exception in ASGI application") or form == "json"


def throttled(throttle: Throttle, name: str, level: int, message: str) -> str | None:
    record = logging.LogRecord(name, level, "", 0, message, None, None)
    return record.getMessage() if throttle.filter(record) else None


def test_many_warnings_of_a_kind_become_a_few_and_a_count() -> None:
    now = 100.0
    throttle = Throttle(lambda: now)
    kind = ("uvicorn.error", logging.WARNING, "Invalid HTTP request received.")
    said = [throttled(throttle, *kind) for _ in range(1000)]
    assert [line for line in said if line] == ["Invalid HTTP request received."] * 10
    assert throttled(throttle, "uvicorn.error", logging.WARNING, "Another.") == "Another."
    now += 10.0
    assert throttled(throttle, *kind) == (
        "Invalid HTTP request received. (990 more like it were left out)"
    )
    assert throttled(throttle, *kind) == "Invalid HTTP request received."


@pytest.mark.parametrize(
    ("name", "level"), [("hub", logging.WARNING), ("uvicorn.access", logging.INFO)]
)
def test_lines_of_the_hub_and_of_the_access_log_are_all_there(name: str, level: int) -> None:
    throttle = Throttle(lambda: 100.0)
    assert all(throttled(throttle, name, level, "a line") for _ in range(1000))


def test_kinds_without_end_take_no_memory_without_end() -> None:
    throttle = Throttle(lambda: 100.0)
    for number in range(10_000):
        assert throttled(throttle, "uvicorn.error", logging.ERROR, f"kind {number}")
    assert len(throttle._kinds) <= Throttle.KINDS


def test_a_hub_that_logs_in_json_writes_nothing_else() -> None:
    with start_hub("--log-format", "json", "--access-log") as server:
        anyio.run(visit, server)
        server.stop()
        lines = records(server.log.text)
    said = [line["message"] for line in lines]
    assert "Public WS client connected. Total: 1" in said
    assert "Hub stopped" in said
    assert {line["logger"] for line in lines} >= {"hub", "uvicorn.error"}


async def test_addresses_that_a_proxy_passes_on_cannot_command_a_terminal() -> None:
    flags = ("--access-log", "--trusted-proxies", "127.0.0.1", "--connect-rate", "1/minute")
    with start_hub(*flags) as server:
        forwarded = "X-Forwarded-For: \x9b31mowned\x9c"  # the parser takes no other controls
        for _ in range(2):  # the second is refused
            await raw(server, handshake(PATH, "Connection: close", forwarded))
        await raw(server, f"GET /livez HTTP/1.0\r\n{forwarded}\r\n\r\n".encode("latin-1"))
        await server.logged("/livez")
        await server.stopped()
    assert "owned" in server.log.text
    assert all(line.isprintable() for line in server.log.text.split("\n"))


async def visit(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        await message(websocket)


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_token_used_right_and_wrong_is_in_no_line_figure_or_answer(form: str) -> None:
    flags = ("--access-log", "--log-level", "debug", "--log-format", form)
    with start_hub(*flags, environ={"HUB_TOKENS": CANARY}) as server:
        right = {"Authorization": f"Bearer {CANARY}"}
        async with admit_attempt(server.port, RESTRICTED, right) as websocket:
            await message(websocket)
        async with admit_attempt(
            server.port, RESTRICTED, None, ["metrics.v1", f"bearer.{CANARY}"]
        ) as two:
            await message(two)
            await two.send("x" * 5000)
            assert await close_code(two) == 1009
        for headers in ({"Authorization": f"Bearer {CANARY}x"}, {"Authorization": CANARY}):
            assert (await refusal(server.port, RESTRICTED, headers))[0] == 401
        assert (await refusal(server.port, f"{RESTRICTED}?token={CANARY}"))[0] == 401
        answers = [await raw(server, request) for request in requests()]
        assert await server.stopped() == 0
    assert CANARY not in server.log.text
    assert not [answer for answer in answers if CANARY.encode() in answer]


def requests() -> list[bytes]:
    """Make requests with the token in places where it does not belong."""
    header = f"Authorization: Bearer {CANARY}\r\nHost: localhost\r\n\r\n"
    return [
        f"GET {PATH}?token={CANARY} HTTP/1.0\r\n{header}".encode(),
        f"GET {PATH}/stream?token={CANARY} HTTP/1.0\r\n{header}".encode(),
        f"GET /nowhere?token={CANARY} HTTP/1.0\r\n{header}".encode(),
        f"GET /metrics HTTP/1.0\r\n{header}".encode(),
        f"GET /readyz?token={CANARY} HTTP/1.0\r\n{header}".encode(),
        f"BREW / HTTP/1.0\r\n{header}".encode(),
        handshake(f"{RESTRICTED}?token={CANARY}", f"Authorization: Bearer {CANARY}", "X-Y: \x01"),
    ]


async def raw(server: ServerProcess, request: bytes) -> bytes:
    read = b""
    async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(request)
        try:
            while True:
                read += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return read
