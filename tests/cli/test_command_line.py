"""``python -m hub``: its flags and variables, its output, its log."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from hub import __version__
from hub.__main__ import main
from tests.support.clients import (
    TIMESTAMP,
    assert_nothing_lost,
    client,
    message,
    reset_on_close,
    strict_json,
)
from tests.support.servers import DEADLINE, PATH, Log, ServerProcess, start_hub

NO_SUCH_FILE = "disk: No such file or directory"

RATE: Final = "a rate such as 20/second or 100/minute"
PROXIES: Final = "addresses or networks such as 10.0.0.0/8, separated by commas"

BAD_VALUES: Final = [
    ("port", "http", "a whole number from 0 to 65535"),
    ("port", "", "a whole number from 0 to 65535"),
    ("port", "-1", "a whole number from 0 to 65535"),
    ("port", "65536", "a whole number from 0 to 65535"),
    ("port", "80.5", "a whole number from 0 to 65535"),
    ("host", "", "a host name or address"),
    ("host", " localhost", "a host name or address"),
    ("interval", "0.05", "a number of seconds from 0.1 to 60"),
    ("interval", "61", "a number of seconds from 0.1 to 60"),
    ("interval", "nan", "a number of seconds from 0.1 to 60"),
    ("interval", "often", "a number of seconds from 0.1 to 60"),
    ("interval", "1\n2", "a number of seconds from 0.1 to 60"),
    ("disk_path", "", "a path"),
    ("queue", "0", "a whole number from 1 to 1024"),
    ("queue", "1025", "a whole number from 1 to 1024"),
    ("queue", "2.5", "a whole number from 1 to 1024"),
    ("stall_timeout", "0.5", "a number of seconds from 1 to 3600"),
    ("stall_timeout", "inf", "a number of seconds from 1 to 3600"),
    ("max_clients", "0", "a whole number from 1 to 1000000"),
    ("max_clients", "many", "a whole number from 1 to 1000000"),
    ("max_clients_per_ip", "-1", "a whole number from 1 to 1000000"),
    ("connect_rate", "20", RATE),
    (
        "connect_rate",
        "0/second",
        "a rate such as 20/second or 100/minute, from 1 to 1000000 and within a day",
    ),
    ("connect_rate", "", RATE),
    ("allow_host", "http://a.example", "a host name or address without scheme and port"),
    ("allow_host", "a.example:80", "a host name or address without scheme and port"),
    ("allow_origin", "a.example/x", "an origin such as https://example.com, a host name, or *"),
    ("allow_origin", "null", "an origin such as https://example.com, a host name, or *"),
    ("token_file", "/nowhere", "a file that can be read (No such file or directory)"),
    ("token_file", "/", "a file that can be read (Is a directory)"),
    ("token_file", "/dev/null", "a file with a token in each line"),
    ("history_bytes", "32M", "a whole number from 65536 to 1099511627776"),
    ("history_bytes", "1", "a whole number from 65536 to 1099511627776"),
    (
        "devices",
        "eth0",
        "lists of globs, each begun by a family that has members, as in network:eth*,!docker*",
    ),
    ("name", "", "1 to 253 characters that can be printed"),
    ("name", "two\nlines", "1 to 253 characters that can be printed"),
    ("relative_to", "guest", "one of auto, host, container"),
    ("trusted_proxies", "nginx", PROXIES),
    (
        "trusted_proxies",
        "10.0.0.1/8",
        "addresses or networks such as 10.0.0.0/8, separated by commas",
    ),
    ("drain_seconds", "-1", "a number of seconds from 0 to 3600"),
    ("drain_seconds", "nan", "a number of seconds from 0 to 3600"),
    ("log_format", "xml", "one of text, json"),
    ("log_level", "loud", "one of critical, error, warning, info, debug"),
    ("log_level", "x" * 1000, "one of critical, error, warning, info, debug"),
]


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run the command line, which must end with status 2; return the one line that it prints."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    output = capsys.readouterr()
    assert ended.value.code == 2
    assert output.out == ""
    assert output.err.endswith("\n")
    line, *more = output.err.splitlines()
    assert not more
    assert line.startswith("metrics-hub: ")
    assert len(line) < 200
    return line


@pytest.mark.parametrize(("name", "value", "rule"), BAD_VALUES)
def test_a_bad_flag_is_one_line_that_names_it_its_rule_and_the_value(
    capsys: pytest.CaptureFixture[str], name: str, value: str, rule: str
) -> None:
    line = refusal(capsys, flag(name), value)
    assert f"{flag(name)} must be {rule}, not {value[:50]!r}"[:-1] in line


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [*BAD_VALUES, ("access_log", "maybe", "one of 1, true, yes, 0, false, no")],
)
def test_a_bad_variable_is_one_line_that_names_it_its_rule_and_the_value(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    rule: str,
) -> None:
    variable = f"HUB_{name.upper()}"
    monkeypatch.setenv(variable, value)
    assert f"{variable} must be {rule}, not {value[:50]!r}"[:-1] in refusal(capsys)


def test_of_many_values_the_bad_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--allow-host", "a.example,b.example", "--allow-host", "c:1")
    assert said.endswith("without scheme and port, not 'c:1'")


def test_members_of_what_has_none_are_refused_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = (
        "must be about families that have members, which are disks, disks_bytes, disk_io, network"
    )
    assert f"--devices {rule}" in refusal(capsys, "--devices", "cpu:0")
    monkeypatch.setenv("HUB_DEVICES", "cpu:0")
    assert f"HUB_DEVICES {rule}" in refusal(capsys)


@pytest.mark.parametrize("token", ["with blank", "with,comma", "ünicode", "x" * 257, "tab\tbed"])
def test_a_bad_token_is_one_line_that_does_not_tell_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str,
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# ours\nfine\n{token}\n")
    said = refusal(capsys, "--token-file", str(path))
    assert "other than a comma, not 'number 2'" in said
    monkeypatch.setenv("HUB_TOKENS", token)
    if "," not in token:
        said += refusal(capsys)
    assert token not in said


def test_a_token_file_that_is_no_text_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xff\xfe")
    said = refusal(capsys, "--token-file", str(path))
    assert "--token-file must be a file that can be read (it is not text)" in said


def test_a_port_of_thousands_of_digits_is_a_bad_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port must be a whole number" in refusal(capsys, "--port", "9" * 5000)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--colour", "red"), "--colour"),
        (("serve",), "serve"),
        (("--port",), "--port"),
        (("--inter", "1"), "--inter"),
        (("--access-log=yes",), "--access-log"),
    ],
)
def test_an_unknown_or_incomplete_flag_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], named: str
) -> None:
    assert named in refusal(capsys, *argv)


def test_an_unknown_flag_with_a_line_break_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    refusal(capsys, "--colour\nred")


def test_help_names_every_flag_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    names = dict.fromkeys(name for name, _, _ in BAD_VALUES)
    assert all(flag(name) in text for name in (*names, "access_log", "version"))
    assert "--no-access-log" in text
    assert all(f"(default: {default})" in text for default in ("127.0.0.1", "54112", "1.0", "15.0"))


def run(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    ended = subprocess.run(  # noqa: S603 # our own arguments
        [sys.executable, "-m", "hub", *arguments],
        env=os.environ | (environ or {}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_version_is_printed() -> None:
    assert run("--version") == (0, f"metrics-hub {__version__}\n", "")


def test_a_bad_flag_ends_the_process_with_status_2() -> None:
    status, out, err = run("--port", "http")
    assert (status, out) == (2, "")
    assert err == "metrics-hub: --port must be a whole number from 0 to 65535, not 'http'\n"


def test_a_port_in_use_is_one_line_and_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        status, out, err = run("--port", str(port))
    assert (status, out) == (1, "")
    assert err == f"metrics-hub: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


@pytest.mark.parametrize(
    "host",
    [
        "203.0.113.1",
        "a..b",
        "a" * 64,
    ],
)
def test_a_host_that_cannot_be_had_is_one_line_and_status_1(host: str) -> None:
    status, out, err = run("--host", host, "--port", "0")
    assert (status, out) == (1, "")
    assert err.startswith(f"metrics-hub: cannot listen on {host} port 0: ")
    assert len(err.splitlines()) == 1


@contextmanager
def connected(server: ServerProcess, query: str = "") -> Iterator[ClientConnection]:
    with connect(server.url(query), compression=None, proxy=None, close_timeout=2) as websocket:
        yield websocket


def receive(websocket: ClientConnection) -> dict[str, Any]:
    text = websocket.recv(DEADLINE)
    assert isinstance(text, str)
    return strict_json(text)


def seconds_between_messages(server: ServerProcess) -> float:
    with connected(server) as websocket:
        first, second = (datetime.fromisoformat(receive(websocket)["timestamp"]) for _ in range(2))
    return (second - first).total_seconds()


def test_the_default_interval_is_a_second() -> None:
    with start_hub(interval=None) as server:
        assert seconds_between_messages(server) == pytest.approx(1, abs=0.3)


def test_variables_take_the_place_of_flags() -> None:
    environ = {"HUB_PORT": "0", "HUB_INTERVAL": "0.1", "HUB_HOST": "localhost"}
    with start_hub(interval=None, environ=environ) as server:
        assert server.port != 54112
        assert seconds_between_messages(server) < 0.5


def test_flags_go_before_variables() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        environ = {
            "HUB_PORT": str(occupant.getsockname()[1]),
            "HUB_INTERVAL": "60",
            "HUB_LOG_LEVEL": "critical",
            "HUB_QUEUE": "nonsense",
        }
        flags = ("--port", "0", "--log-level", "INFO", "--queue", "4")
        with start_hub(*flags, environ=environ) as server:
            assert seconds_between_messages(server) < 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server with its defaults, for tests that neither stop it nor stay connected."""
    with start_hub() as server:
        server.log.wait_for("The feed is at")
        yield server


def test_the_hub_says_where_it_listens(server: ServerProcess) -> None:
    server.log.wait_for(rf" Hub running on http://127\.0\.0\.1:{server.port} ")
    server.log.wait_for(rf" The feed is at ws://127\.0\.0\.1:{server.port}{PATH}$")


def shake_hands_in_every_way(server: ServerProcess) -> None:
    """Connect, be refused, and ask for a page, each with a query string."""
    with connected(server, "?metrics=cpu") as websocket:
        receive(websocket)
    for query in ("?metrics=canary", "?canary=1", "?metrics=%ffcanary"):
        with pytest.raises(InvalidStatus), connected(server, query):
            pass
    request = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    request.request("GET", "/page?canary=1")
    assert request.getresponse().status == 404
    request.close()


def wait_for_log(server: ServerProcess) -> None:
    """Wait until all that has been logged so far is written, by lines that come after it."""
    mark = server.log.mark
    with connected(server) as one, connected(server) as two:
        receive(one)
        receive(two)
        server.log.wait_for(r"connected\. Total: 2$", since=mark)
    server.log.wait_for_last(r"Public WS client .*Total: (\d+)$", "0")


def test_the_access_log_has_no_query_strings_not_even_for_debugging() -> None:
    with start_hub("--access-log", "--log-level", "debug") as server:
        shake_hands_in_every_way(server)
    text = server.log.text
    assert re.search(rf'127\.0\.0\.1:\d+ - "WebSocket {PATH}" \[accepted\]', text)
    assert re.search(rf'127\.0\.0\.1:\d+ - "WebSocket {PATH}" 400', text)
    assert re.search(r'127\.0\.0\.1:\d+ - "GET /page HTTP/1.1" 404', text)
    assert "canary" not in text


def test_without_an_access_log_no_handshake_is_logged() -> None:
    with start_hub("--no-access-log", environ={"HUB_ACCESS_LOG": "1"}) as server:
        server.log.wait_for("The feed is at")
        mark = server.log.mark
        shake_hands_in_every_way(server)
        server.log.wait_for("parameter$", since=mark)
        lines = [line for line in server.log.since(mark) if line]
    said = [re.sub(r"\S+:\d+: ", "X: ", line.split(maxsplit=3)[-1]) for line in lines]
    assert sorted(said) == [
        "Public WS client connected. Total: 1",
        "Public WS client disconnected. Total: 0",
        "Refused client X: parameter",
    ]


def test_no_request_is_logged_by_default(server: ServerProcess) -> None:
    mark = server.log.mark
    shake_hands_in_every_way(server)
    wait_for_log(server)
    lines = server.log.since(mark)
    assert not [line for line in lines if PATH in line or "/page" in line or "canary" in line]


def test_clients_are_logged_as_the_contract_says(server: ServerProcess) -> None:
    wait_for_log(server)
    mark = server.log.mark
    with connected(server) as websocket:
        receive(websocket)
    server.log.wait_for("disconnected", since=mark)
    connect_line, disconnect_line = server.log.since(mark)
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO +"
    assert re.fullmatch(date + r"Public WS client connected\. Total: 1", connect_line)
    assert re.fullmatch(date + r"Public WS client disconnected\. Total: 0", disconnect_line)


def next_error(websocket: ClientConnection) -> dict[str, Any]:
    while True:
        if "error" in (received := receive(websocket)):
            return received


def next_value(websocket: ClientConnection) -> dict[str, Any]:
    while True:
        if "error" not in (received := receive(websocket)):
            return received


def test_a_disk_that_comes_and_goes_is_an_error_in_between(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    with (
        start_hub("--disk-path", str(mount)) as server,
        connected(server) as websocket,
        connected(server, "?metrics=memory,cpu") as unconcerned,
    ):
        text = websocket.recv(DEADLINE)
        assert isinstance(text, str)
        error = rf'{{"error":"Metric collection failed: {NO_SUCH_FILE}","timestamp":"{TIMESTAMP}"}}'
        assert re.fullmatch(error, text)
        receive(websocket)

        mount.mkdir()
        assert list(next_value(websocket)) == ["cpu", "memory", "disk", "timestamp"]
        server.log.wait_for(r" Error collecting metrics: disk: works again after \d+ ticks$")
        receive(websocket)

        mount.rmdir()
        next_error(websocket)
        for _ in range(4):
            assert list(receive(unconcerned)) == ["cpu", "memory", "timestamp"]
    lines = [line for line in server.log.since(0) if "Error collecting metrics" in line]
    assert len(lines) == 3
    assert lines[0].endswith(f" Error collecting metrics: {NO_SUCH_FILE}")
    assert lines[2].endswith(f" Error collecting metrics: {NO_SUCH_FILE}")


def test_a_disk_path_of_any_bytes_gives_valid_messages(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"d\xc3\xa9p\xc3\xb4t \xff\xfe\n\xf0\x9f\x92\xbe")  # noqa: PTH118
    with start_hub("--disk-path", os.fsdecode(path)) as server, connected(server) as websocket:
        assert receive(websocket)["error"] == f"Metric collection failed: {NO_SUCH_FILE}"
        os.mkdir(path)  # noqa: PTH102 # pathlib takes no bytes
        assert 0 < next_value(websocket)["disk"] <= 100


def test_a_second_signal_while_stopping_leaves_no_traceback() -> None:
    with start_hub() as server, connected(server) as websocket:
        receive(websocket)
        server.process.send_signal(signal.SIGINT)
        server.log.wait_for("Hub stopping")
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == 0


@contextmanager
def client_process(server: ServerProcess, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of ``count`` clients that all have received a message; kill it at the end."""
    arguments = [sys.executable, "-m", "tests.support.client_process", str(server.port), str(count)]
    with subprocess.Popen(  # noqa: S603 # our own arguments
        arguments, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        log = Log(process.stdout)
        try:
            log.wait_for("ready")
            yield process
        finally:
            process.kill()
            log.join()


async def test_of_200_clients_50_are_killed_and_the_others_lose_nothing() -> None:
    with start_hub() as server:
        async with AsyncExitStack() as stack:
            rest = [await stack.enter_async_context(client(server.url())) for _ in range(150)]
            received = [[(await message(websocket))["timestamp"]] for websocket in rest]
            with client_process(server, 50) as process:
                await server.has_total(200)
                process.kill()
                await server.has_total(150)
            for websocket, seen in zip(rest, received, strict=True):
                while len(seen) < 4:
                    seen.append((await message(websocket))["timestamp"])
            assert_nothing_lost(received)
        await server.has_total(0)


def test_a_client_that_resets_its_connection_leaves_no_trace(server: ServerProcess) -> None:
    wait_for_log(server)
    mark = server.log.mark
    with connected(server) as websocket:
        receive(websocket)
        reset_on_close(websocket.socket)
        websocket.socket.close()
    server.log.wait_for(r"disconnected\. Total: 0$", since=mark)
    assert len(server.log.since(mark)) == 2
