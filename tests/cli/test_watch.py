"""The terminal client as a process: in a terminal, in a pipe, and with a bad flag."""

from __future__ import annotations

import json
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hub.cli.watch import watch
from tests.support.clients import DEFAULT_MESSAGE
from tests.support.servers import DEADLINE, ServerProcess, start_hub
from tests.support.terminal import PYTHON, Terminal

TOKEN: Final = "canary-watch-77aa"  # noqa: S105 # of a hub that ends with its tests


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub(environ={"HUB_TOKENS": TOKEN}) as server:
        yield server


def address(server: ServerProcess) -> str:
    return f"127.0.0.1:{server.port}"


# In a terminal


def trend(shown: str) -> str:
    """Return the blocks of a family that has one line of them."""
    found = re.search(r"^swap +([▁-█]+)", shown, re.MULTILINE)
    return found[1] if found else ""


def test_it_shows_the_machine_live_until_the_user_presses_q(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server)) as terminal:
        shown = terminal.wait_until(re.compile(r"Live(.*\n)+process +rss \S").search)
        for family in ("cpu", "memory", "swap", "disk"):
            assert re.search(rf"^{family} .* +!* *\d+\.\d %$", shown, re.MULTILINE), shown
        for family in (
            "cores", "load", "cpu_times", "pressure", "disks", "disk_io read", "network sent",
            "temperatures", "container", "process",
        ):  # fmt: skip
            assert re.search(rf"^{family} +\S", shown, re.MULTILINE), shown
        assert re.search(r"^load .* \d+\.\d\d of \d+$", shown, re.MULTILINE), shown
        assert f"  {platform.node()}  up " in shown.splitlines()[0]
        before = trend(shown)
        terminal.wait_until(lambda text: len(trend(text)) > len(before))
        terminal.press(b"xq")
        assert terminal.ended() == 0
        assert terminal.restored


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGHUP", "SIGQUIT"])
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


def test_processes_are_shown_to_a_user_with_a_token(server: ServerProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# for the wall\n{TOKEN}\n")
    flags = ("--token-file", str(tokens))
    # Whichever are the busiest.
    table = r"^processes +pid +cpu +memory\n\S.* +\d+ +\d+\.\d % +\d+\.\d %$"
    with Terminal("hub", "watch", address(server), *flags, rows=50) as terminal:
        terminal.wait_until(re.compile(table, re.MULTILINE).search)
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


def test_all_that_a_hub_offers_is_shown_though_it_does_not_tell_what_it_is() -> None:
    with (
        start_hub("--no-identity") as server,
        Terminal("hub", "watch", address(server)) as terminal,
    ):
        shown = terminal.wait_until(re.compile(r"^process +rss \S+ MB", re.MULTILINE).search)
        assert re.search(r"^cpu_times +user ", shown, re.MULTILINE), shown
        assert platform.node() not in shown.splitlines()[0]
        terminal.press(b"q")
        assert terminal.ended() == 0


def test_keys_scroll_and_list_themselves(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server), columns=60, rows=12) as terminal:
        terminal.wait_until(lambda text: "lines 1-10 of" in text)
        terminal.press(b"\x1b[B\x1bOB")
        terminal.wait_until(lambda text: "lines 3-12 of" in text)
        terminal.press(b"\x1b[F")
        terminal.wait_until(re.compile(r"-(\d+) of \1$").search)
        terminal.press(b"?")
        terminal.wait_until(lambda text: "PgUp PgDn" in text and "Live" in text)
        terminal.press(b"?\x1b[H")
        terminal.wait_until(lambda text: "lines 1-10 of" in text)
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert terminal.restored


@pytest.mark.parametrize("keyboard", ["<&-", "</dev/null", "a pipe"])
def test_without_a_terminal_to_read_there_are_no_keys(server: ServerProcess, keyboard: str) -> None:
    watching = f"exec {shlex.join(PYTHON)} -m hub watch {address(server)}"
    if keyboard == "a pipe":
        watching = f"echo q? | {{ {watching}; }}"
    else:
        watching += keyboard
    with Terminal(command=["sh", "-c", watching], rows=12) as terminal:
        terminal.wait_until(lambda text: "Live" in text and "lines 1-10 of" in text)
        assert "quit" not in terminal.shown
        terminal.press(b"\x03")
        terminal.ended()
        assert terminal.restored


# Stopped and gone on with, and ended


@pytest.fixture
def shell() -> Iterator[Terminal]:
    """A shell that can stop what runs in it, and that leaves the terminal's modes as they are."""
    if not shutil.which("bash"):
        pytest.skip("there is no bash, which has jobs that can be stopped")
    command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
    with Terminal(command=command, environ={"PS1": "$ ", "HISTFILE": ""}) as terminal:
        terminal.wait_until(lambda text: "$" in text)
        yield terminal


def run(shell: Terminal, server: ServerProcess, more: str = "") -> None:
    shell.press(f"{shlex.join(PYTHON)} -m hub watch {address(server)}{more}\n".encode())


def test_it_is_stopped_with_a_clean_terminal_and_draws_again_when_it_goes_on(
    server: ServerProcess, shell: Terminal
) -> None:
    run(shell, server)
    for _ in range(2):
        shell.wait_until(lambda text: "● Live" in text and "cpu" in text)
        shell.press(b"\x1a")
        shell.wait_for(lambda: b"Stopped" in shell.written.rpartition(b"\x1b[?1049l")[2])
        shell.wait_for(lambda: shell.restored)
        shell.press(b"printf '\\033[2J\\033[Hls\\n'\n")
        shell.wait_until(lambda text: "ls" in text and "Live" not in text)
        shell.resize(80, 24)
        shell.press(b"fg\n")
    shell.wait_until(lambda text: "● Live" in text and "lines 1-22 of" in text)
    assert not shell.restored
    shell.press(b"q")
    shell.wait_for(lambda: shell.restored)
    shell.press(b"echo ended with $?\n")
    shell.wait_until(lambda text: "ended with 0" in text)


def test_in_the_background_it_waits_for_the_terminal(
    server: ServerProcess, shell: Terminal
) -> None:
    run(shell, server, " &")
    shell.press(b"until jobs | grep -q Stopped; do sleep 0.1; done; echo it'' waits\n")
    shell.wait_for(lambda: b"it waits" in shell.written)
    assert b"\x1b[?1049h" not in shell.written
    shell.press(b"fg\n")
    shell.wait_until(lambda text: "● Live" in text)
    shell.press(b"q")
    shell.wait_for(lambda: shell.restored)


def test_a_stop_that_could_not_be_foreseen_is_made_good(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server)) as terminal:
        terminal.wait_until(lambda text: "Live" in text)
        terminal.process.send_signal(signal.SIGSTOP)
        terminal.spoil()
        before = len(terminal.written)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for(lambda: b"\x1b[?1049h" in terminal.written[before:])
        terminal.wait_until(lambda text: "Live" in text)
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert terminal.restored


FAILING: Final = """
import sys
from hub.cli.watch import screen, watch

def fail(*_):
    raise RuntimeError("as it were")

screen.Past.add = lambda *_: setattr(screen.Page, "draw", fail)
sys.exit(watch(sys.argv[1:]))
"""


def test_a_fault_of_its_own_ends_it_with_a_clean_terminal(server: ServerProcess) -> None:
    with Terminal(command=[*PYTHON, "-c", FAILING, address(server)]) as terminal:
        assert terminal.ended() == 1
        assert terminal.restored
        said = terminal.written.rpartition(b"\x1b[?1049l")[2]
        assert b"RuntimeError: as it were" in said


def test_a_terminal_that_goes_away_ends_it(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server)) as terminal:
        terminal.wait_until(lambda text: "Live" in text)
        terminal.hang_up()
        assert terminal.ended() == 1


# Without colours, without Unicode


def test_without_colours_what_is_serious_still_has_its_sign(server: ServerProcess) -> None:
    with Terminal("hub", "watch", address(server), environ={"NO_COLOR": "1"}) as terminal:
        terminal.wait_until(lambda text: "Live" in text and "network sent" in text)
        terminal.press(b"q")
        assert terminal.ended() == 0
        codes = set(re.findall(rb"\x1b\[([0-9;]*)m", terminal.written))
        assert codes <= {b"0", b"1", b"2"}, "bold and dim are no colours"


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_in_a_locale_without_unicode_only_ascii_is_written(
    server: ServerProcess, locale: str
) -> None:
    with Terminal("hub", "watch", address(server), environ={"LC_ALL": locale}) as terminal:
        shown = terminal.wait_until(lambda text: "* Live" in text and "network sent" in text)
        assert re.search(r"^swap +[_.\-=+*#@]+ +\d", shown, re.MULTILINE), shown
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert terminal.written.isascii()
        assert terminal.restored


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
        (["--devices", "eth0"], {}, "--devices must be lists of globs, each begun by a family"),
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
