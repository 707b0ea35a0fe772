"""Drawing a feed on a terminal's screen."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from hub.cli.watch import cells
from hub.cli.watch.keys import Key
from hub.cli.watch.machine import Machine
from hub.cli.watch.message import Message
from hub.cli.watch.screen import Screen
from hub.cli.watch.viewer import Phase, State
from tests.support.fakes import FakeClock
from tests.support.watched import Picture, message

STAMP: Final = "2025-11-10T12:30:45.123456+00:00"


def written(
    *messages: Mapping[str, Any], width: int = 60, height: int = 40, state: State | None = None
) -> str:
    """Return what a terminal is sent after messages, without colours."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    screen = Screen("ws://hub", clock=FakeClock(), console=console)
    screen.on_state(state or State(Phase.LIVE))
    for content in messages:
        screen.show(Message.read(json.dumps({**content, "timestamp": STAMP})))
    with console.capture() as shown:
        console.print(screen.render())
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.get())


def drawn(
    content: Mapping[str, Any], *, width: int = 60, height: int = 40, state: State | None = None
) -> str:
    """Return what a screen shows after a message, line by line."""
    text = written(content, width=width, height=height, state=state)
    assert all(line.isprintable() for line in text.split("\n"))
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
        },
        height=9,
    )
    lines = text.splitlines()
    assert lines[0].split() == ["ws://hub", "●", "Live", "12:30:45", "UTC"]
    assert [line.split()[0] for line in lines[1:] if line] == [
        "cpu", "load", "memory_bytes", "network", "network", "temperatures", "queue_depth",
    ]  # fmt: skip
    assert re.search(r"^cpu +▅ +50\.0 %$", text, re.MULTILINE)
    assert re.search(r"^memory_bytes .* 2 of 8 GB$", text, re.MULTILINE)
    assert re.search(r"^network received +█ +1\.23 kB/s$", text, re.MULTILINE)
    assert re.search(r"^queue_depth +█ +7$", text, re.MULTILINE)


def test_what_could_not_be_measured_says_why() -> None:
    text = drawn({"disk": None, "cpu": 1.0, "errors": {"disk": "No such file or directory"}})
    assert re.search(r"^disk +No such file or directory$", text, re.MULTILINE)
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
    assert text.count("[red]") == 5, "markup is text"


NAMES: Final = (
    "cpu", "memory", "disk", "swap", "cpu_times", "cores", "load", "memory_bytes", "pressure",
    "container", "process", "uptime", "disks", "disks_bytes", "disk_io", "network", "temperatures",
    "gpu", "processes", "errors", "error", "seq", "timestamp",
)  # fmt: skip

LEAVES: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(10**299), 10**299)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([NASTY, 10**299, -(10**299), 1.7e308, -1.7e308, 5e-324])
)

KEYS: Final = st.text() | st.sampled_from([
    NASTY, "total", "used", "received_bytes_per_second", "read_bytes_per_second", "pid", "name",
    "devices", "interfaces", "user", "idle", "cpu", "memory", "io", "some", "full",
    "cpu_limit_cores", "throttled", "memory_limit_bytes", "memory_used_bytes", "oom_kills",
    "rss_bytes", "threads", "descriptors", "loop_lag_seconds", "utilization", "temperature",
    "power_watts", "/", *NAMES,
])  # fmt: skip

VALUES: Final = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


CONTENTS: Final = st.dictionaries(st.sampled_from(NAMES) | KEYS, VALUES)


@settings(max_examples=100, deadline=None)
@given(
    messages=st.lists(
        st.dictionaries(st.sampled_from(NAMES) | KEYS, VALUES), min_size=1, max_size=3
    ),
    width=st.integers(1, 220),
    height=st.integers(1, 60),
)
def test_whatever_a_message_says_the_terminal_is_sent_nothing_but_letters(
    messages: list[dict[str, Any]], width: int, height: int
) -> None:
    text = written(*messages, width=width, height=height)
    assert all(line.isprintable() for line in text.split("\n"))
    assert all(cell_len(line) <= width for line in text.split("\n"))
    assert text.count("\n") <= height


def test_one_module_alone_hands_text_to_rich() -> None:
    package = Path(cells.__file__).parent
    makers = {path.name for path in package.glob("*.py") if "rich.text" in path.read_text()}
    makers |= {path.name for path in package.glob("*.py") if "rich.table" in path.read_text()}
    assert makers == {"cells.py"}


@pytest.mark.parametrize("name", [*NAMES[:-4], "other"])
@settings(max_examples=30, deadline=None)
@given(value=VALUES)
def test_values_of_any_shape_are_shown_somehow(name: str, value: object) -> None:
    assert drawn({name: value}).startswith("ws://hub")


@given(reason=st.text(), title=st.text(min_size=1))
def test_whatever_a_server_gives_as_a_reason_the_terminal_is_sent_nothing_but_letters(
    reason: str, title: str
) -> None:
    console = Console(file=io.StringIO(), width=60, height=40, force_terminal=True)
    screen = Screen(title, clock=FakeClock(), console=console)
    screen.on_state(State(Phase.RECONNECTING, reason, 1.0))
    with console.capture() as shown:
        console.print(screen.render())
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.get())
    assert all(line.isprintable() for line in text.split("\n"))


@given(name=st.text(), system=st.text(), width=st.integers(1, 120))
def test_whatever_a_server_is_called_the_terminal_is_sent_nothing_but_letters(
    name: str, system: str, width: int
) -> None:
    for said in (name, NASTY):
        picture = Picture(width, 5, machine=Machine(said, system, 1))
        picture.screen.show(message({"cpu": 1.0, "uptime": 1e300}))
        picture.assert_fits()


def test_a_message_of_many_names_costs_no_more_than_the_screen_is_high() -> None:
    console = Console(file=io.StringIO(), width=60, height=20, force_terminal=True)
    screen = Screen("ws://hub", clock=FakeClock(), console=console)
    for number in range(3):
        many = {f"{number}-{name}": 1.0 for name in range(5000)} | {
            "processes": [{"pid": 1}] * 5000
        }
        screen.show(Message.read(json.dumps({**many, "timestamp": STAMP})))
    assert len(screen._past) == 256
    with console.capture() as shown:
        console.print(screen.render())
    assert shown.get().count("\n") == 20


MANY: Final = {f"{place:05} {NASTY}": place for place in range(10_000)}
FIGURES: Final = dict.fromkeys((
    "utilization", "memory", "temperature", "power_watts", "total", "used", "some", "full",
    "received_bytes_per_second", "read_bytes_per_second",
), 1e300)  # fmt: skip
NESTED: Final = dict.fromkeys(MANY, FIGURES)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, MANY) for name in NAMES[:-4]),
        *((name, NESTED) for name in ("gpu", "disks_bytes", "pressure", "other")),
        ("network", {"received_bytes_per_second": 1.0, "interfaces": NESTED}),
        ("disk_io", {"read_bytes_per_second": 1.0, "devices": NESTED}),
        ("cores", [100.0] * 10_000),
        ("cores", [-1e300] * 10_000),
        ("load", [1e299] * 3),
        ("processes", [{"pid": 10**299, "name": NASTY, "cpu": 1e300}] * 10_000),
        ("uptime", 1e300),
        ("errors", {f"disks/{name}": NASTY for name in MANY}),
        ("disks", dict.fromkeys(MANY, 1e300)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_ten_thousand_members_are_no_more_than_the_screen_shows(name: str, value: object) -> None:
    picture = Picture(200, 60)
    picture.screen.show(message({"cpu": 1.0, name: value}))
    for act in (picture.lines, lambda: picture.press(Key.END), lambda: picture.resize(80, 24)):
        lines = act()
        picture.assert_fits()
        assert lines[0].startswith("ws://hub")
        assert lines[-1].startswith("q quit")


@pytest.mark.parametrize("value", [{}, [], "", None, True, 0, [None], {"": None}, [[]], [{}]])
def test_nothing_is_a_value_as_well(value: object) -> None:
    text = drawn(dict.fromkeys(NAMES[:-4], value), height=60)
    assert re.search(r"^swap +\S", text, re.MULTILINE), text


def test_the_past_of_a_family_is_kept_while_the_names_beside_it_change() -> None:
    console = Console(file=io.StringIO(), width=60, height=20, force_terminal=True)
    screen = Screen("ws://hub", clock=FakeClock(), console=console)
    for number in range(1000):
        content = {"cpu": 1.0, f"name {number}": 1.0, "timestamp": STAMP}
        screen.show(Message.read(json.dumps(content)))
    assert len(screen._past.of("cpu")) == 500


def test_a_terminal_without_unicode_gets_plain_letters() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")  # and no letter more
    console = Console(file=file, width=60, height=20, force_terminal=True)
    screen = Screen("ws://hub", clock=FakeClock(), console=console)
    screen.show(Message.read(json.dumps({"cpu": 100.0, "timestamp": STAMP})))
    console.print(screen.render())
    file.flush()


async def test_what_comes_in_a_burst_is_drawn_once() -> None:
    clock = FakeClock()
    console = Console(file=io.StringIO(), width=60, height=20, force_terminal=True)
    with Screen("ws://hub", clock=clock, console=console) as screen:
        for number in range(100):
            screen.show(Message.read(json.dumps({"cpu": float(number), "timestamp": STAMP})))
        assert clock.pending == 1
        await clock.advance(0.1)
        assert clock.pending == 0
    assert cast("io.StringIO", console.file).getvalue().count("99.0 %") == 1
