"""Drawing a feed on a terminal's screen."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hub.cli.watch.screen import Screen
from hub.cli.watch.viewer import Message, Phase, State
from tests.support.fakes import FakeClock


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
