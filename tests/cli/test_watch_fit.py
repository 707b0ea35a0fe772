"""Whether a machine of many cores fits into windows of all sizes."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from hub.cli.watch.keys import Key
from hub.cli.watch.machine import Machine
from tests.support.watched import BACKUP, Picture, busy_machine, message

SIZES: Final = [(80, 24), (120, 40), (200, 60), (40, 12)]
BLOCKS: Final = "[▁▂▃▄▅▆▇█]"


def minutes(count: int = 2, *, token: bool = False) -> list[dict[str, Any]]:
    return [busy_machine(second, token=token) for second in range(60 * count)]


def row(lines: list[str], pattern: str) -> int:
    """Return the number of the line that has a text."""
    found = [place for place, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"{pattern} is not in\n" + "\n".join(lines)
    return found[0]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("token", [False, True])
def test_nothing_is_wider_or_higher_than_the_window(columns: int, rows: int, token: bool) -> None:  # noqa: FBT001 # parametrized
    picture = Picture(columns, rows)
    lines = picture.show(*minutes(token=token))
    picture.assert_fits()
    assert lines[0].startswith("ws://hub:54112")
    assert lines[0].endswith("UTC")
    assert lines[-1].startswith("q quit, ? keys, ↑ ↓")
    assert re.search(r"lines 1-\d+ of \d+$", lines[-1])


def test_every_family_is_seen_in_a_window_of_24_lines() -> None:
    lines = Picture(80, 24).show(*minutes())
    text = "\n".join(lines)
    for pattern in (
        rf"^cpu .* +\d+\.\d %\n +{BLOCKS}{{46}}$",
        rf"^cores +{BLOCKS}{{32}} +!! max 100\.0 %$",
        rf"^from 32 +{BLOCKS}{{32}}$",
        rf"^load +31\.20 18\.04 +{BLOCKS}+ +! 52\.13 of 64$",
        r"^cpu_times +user 30\.1  system 8\.2  iowait 1\.5  steal 0\.0  ",
        r"^pressure +cpu 12\.3/0\.5  memory 12\.3/0\.5  io 12\.3/0\.5  % some/full$",
        rf"^memory +163 of 270 GB +{BLOCKS}+ +60\.2 %$",
        rf"^swap +{BLOCKS}+ +3\.0 %$",
        rf"^disk +{BLOCKS}+ +! 81\.5 %$",
        r"^disks +…\S+/decade !! 97\.2 % of 16 TB  \+4$",
        rf"^disk_io read +{BLOCKS}+ +3 MB/s$",
        rf"^disk_io written +{BLOCKS}+ +1 MB/s$",
        rf"^network received +{BLOCKS}+ +\S+ MB/s$",
        rf"^network sent +{BLOCKS}+ +1 MB/s$",
        r"^temperatures +coretemp/Core 15 60\.0 °C  coretemp/Core 14 59\.0 °C  \+14$",
        r"^gpu +NVIDIA H200 …000:03:00\.0 !! 99\.0 %  \+3$",
        r"^container +limit 48 cores  throttled 3\.2 %  memory 97 of 128 GB  \+1$",
        r"^process +rss 61 MB  cpu 2\.1 %  threads 14  files 213  lag 0\.412 ms$",
        r"^ws://hub:54112  web-7\.example  up 12 d 7 h ",
    ):
        assert re.search(pattern, text, re.MULTILINE), f"{pattern} is not in\n{text}"


def test_with_a_token_the_busiest_processes_are_seen_as_well() -> None:
    lines = Picture(80, 24).show(*minutes(token=True))
    row(lines, r"^processes +python3 300\.0 %  postgres 150\.0 %  ")
    heading = row(lines, r"^processes +pid +cpu +memory")
    assert re.match(r"python3 +1000 +300\.0 % +1\.5 %", lines[heading + 1])


def test_a_small_window_shows_the_rest_when_it_is_scrolled() -> None:
    picture = Picture(40, 12)
    seen = set(picture.show(*minutes()))
    while (lines := picture.press(Key.PAGE_DOWN))[1:-1] and not set(lines[1:-1]) <= seen:
        picture.assert_fits()
        seen |= set(lines)
    text = "\n".join(seen)
    for name in ("cpu", "network sent", "process", "memory_bytes", "uptime", "core 63"):
        assert re.search(rf"^{name} ", text, re.MULTILINE), text
    assert re.search(r"^…\S*/decade +!! 97\.2 % +15\.6 of 16 TB$", text, re.MULTILINE), text


def graph_height(lines: list[str], name: str) -> int:
    """Return how many lines a family's graph has."""
    start = row(lines, f"^{name} ")
    following = range(start + 1, len(lines))
    is_more = (re.match(r"(to \S+ \S+|  ) ", lines[place]) is not None for place in following)
    return 1 + next(count for count, more in enumerate(is_more) if not more)


def test_a_taller_window_has_taller_graphs_and_more_members() -> None:
    picture = Picture(120, 20)
    low = picture.show(*minutes())
    middle = picture.resize(120, 40)
    high = picture.resize(120, 120)
    heights = [graph_height(lines, "cpu") for lines in (low, middle, high)]
    assert heights[0] < heights[1] < heights[2]
    members = [sum("enp" in line or "nvme" in line for line in lines) for lines in (low, high)]
    assert members == [0, 8]
    assert not any(line.startswith("core 63") for line in middle)
    assert re.search(r"^core 0 .*core \d+ ", "\n".join(high), re.MULTILINE)
    assert high[-1].split("  ")[0] == "q quit, ? keys", "all of it fits"


def test_a_wider_window_has_longer_graphs_and_more_in_a_line() -> None:
    picture = Picture(80, 24)
    narrow = picture.show(*minutes(3))
    wide = picture.resize(150, 24)
    lengths = [
        len(re.findall(BLOCKS, lines[row(lines, "^disk_io read ")])) for lines in (narrow, wide)
    ]
    assert lengths == [46, 116]
    assert re.search(rf"^cores +{BLOCKS}{{64}} ", "\n".join(wide), re.MULTILINE)
    assert re.search(r"^cpu_times .*idle 60\.0  %$", "\n".join(wide), re.MULTILINE)
    assert "Linux 6.1.0-28-amd64" in wide[0]
    assert "Linux" not in narrow[0]


def test_a_very_wide_window_has_two_halves() -> None:
    lines = Picture(200, 60).show(*minutes())
    assert re.search(r"^cpu .*% +disk_io read .*MB/s$", lines[1])
    assert row(lines, r"^/home +━+─+ +! 80\.4 % +1\.61 of 2 TB") > 10
    row(lines, r"core 0 +━+ +!! 100\.0 %  core 22 .* core 44 ")
    row(lines, r"NVIDIA H200 …000:03:00\.0 .*!! 99\.0 % .*55\.0 % .*61\.0 °C +412\.5 W")


@pytest.mark.parametrize(("cores", "label"), [(128, "cores by 2"), (4000, "cores by 44")])
def test_more_cores_than_blocks_share_them(cores: int, label: str) -> None:
    picture = Picture(80, 24)
    lines = picture.show(busy_machine(cores=cores))
    picture.assert_fits()
    start = row(lines, f"^{label} +█")
    assert lines[start + 1].startswith("from ")
    assert lines[start].endswith("!! max 100.0 %")
    assert lines[start + 2].startswith("load")


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_few_cores_are_one_line(cores: int) -> None:
    lines = Picture(80, 24).show(busy_machine(cores=cores))
    assert re.search(rf"^cores +{BLOCKS}{{{cores}}} +!! max", "\n".join(lines), re.MULTILINE)
    assert not any(line.startswith("from ") for line in lines)


# Colours


def colours(picture: Picture, lines: list[str], pattern: str) -> dict[str, set[str]]:
    """Return the colours that each letter of a line has."""
    found: dict[str, set[str]] = {}
    for cell in picture.cells(row(lines, pattern)):
        found.setdefault(cell.data, set()).add(cell.fg)
    return found


def test_a_fully_busy_core_is_red_bold_and_the_only_full_block() -> None:
    picture = Picture(80, 24)
    lines = picture.show({"cores": [0.0, 79.9, 80.0, 94.9, 95.0, 100.0]})
    place = row(lines, "^cores")
    blocks = [cell for cell in picture.cells(place) if re.fullmatch(BLOCKS, cell.data)]
    assert [cell.data for cell in blocks] == ["▁", "▆", "▆", "▇", "█", "█"]
    assert [cell.fg for cell in blocks] == ["cyan", "cyan", "brown", "brown", "red", "red"]
    assert [cell.bold for cell in blocks] == [False] * 4 + [True] * 2
    assert lines[place].endswith("!! max 100.0 %")


@pytest.mark.parametrize(
    ("percent", "figure", "colour", "bold"),
    [
        (79.9, "79.9 %", "default", False),
        (80.0, "! 80.0 %", "brown", False),
        (94.9, "! 94.9 %", "brown", False),
        (95.0, "!! 95.0 %", "red", True),
        (100.0, "!! 100.0 %", "red", True),
    ],
)
def test_how_serious_a_share_is_is_told_by_a_sign_and_a_colour(
    percent: float, figure: str, colour: str, bold: bool  # noqa: FBT001
) -> None:  # fmt: skip
    picture = Picture(80, 2)
    lines = picture.show({"cpu": percent})
    place = row(lines, "^cpu")
    assert re.search(rf"{BLOCKS} +{figure}$", lines[place])
    cell = picture.cells(place)[len(lines[place]) - 1]
    assert (cell.fg, cell.bold) == (colour, bold)


def test_nothing_that_is_full_is_green() -> None:
    full = busy_machine() | {
        "cpu": 100.0,
        "cores": [100.0] * 64,
        "disks": {"/": 100.0},
        "load": [900.0, 900.0, 900.0],
        "memory_bytes": {"total": 1, "used": 1},
        "gpu": {"A": {"utilization": 100.0}},
    }
    picture = Picture(160, 80)
    lines = picture.show(full)
    green = [
        place
        for place in range(1, len(lines))
        if any(cell.fg == "green" for cell in picture.cells(place))
    ]
    assert green == [], "but for the word Live"
    bar = colours(picture, lines, r"^/ +━")
    assert bar["━"] == {"red"}


@pytest.mark.parametrize(
    ("load", "figure"),
    [(1.0, "1.00 of 4"), (3.2, "! 3.20 of 4"), (3.8, "!! 3.80 of 4"), (90.0, "!! 90.00 of 4")],
)
def test_load_is_as_bad_as_it_is_relative_to_the_cores(load: float, figure: str) -> None:
    content = {"cores": [1.0] * 4, "load": [load, load, load]}
    lines = Picture(80, 3).show(content)
    assert lines[row(lines, "^load")].endswith(f" {figure}")
    top = re.findall(BLOCKS, lines[row(lines, "^load")])[-1]
    assert top == ("▃" if load == 1.0 else "▇" if load < 3.8 else "█")


def test_load_is_relative_to_what_the_machine_has_where_no_cores_are_followed() -> None:
    content = {"load": [32.0, 1.0, 1.0]}
    lines = Picture(80, 24).show(content)
    assert lines[row(lines, "^load")].endswith(" 32.00 of 64")
    lines = Picture(80, 24, machine=None).show(content)
    assert lines[row(lines, "^load")].endswith(" 32.00")


# The heading


def test_without_an_answer_of_the_machine_the_heading_does_without() -> None:
    lines = Picture(80, 24, machine=None).show({"cpu": 1.0})
    assert lines[0].split() == ["ws://hub:54112", "●", "Live", "12:30:00", "UTC"]


def test_the_time_since_the_start_is_known_from_either_answer() -> None:
    assert "  up 12 d 7 h  " in Picture(80, 24, machine=None).show(busy_machine())[0]
    told = Machine.read(b'{"name":"a","boot_time":"2025-11-10T10:29:00+00:00"}')
    assert "  a  up 2 h 1 min  " in Picture(80, 24, machine=told).show({"cpu": 1.0})[0]


def test_the_end_of_a_mount_point_is_what_stays_of_it() -> None:
    text = "\n".join(Picture(80, 90).show(busy_machine()))
    assert BACKUP not in text
    assert text.count("/last/decade") == 2
    assert BACKUP in "\n".join(Picture(120, 90).show(busy_machine()))


def test_members_that_could_not_be_measured_are_named() -> None:
    content = busy_machine() | {"errors": {"disks//mnt/x": "timed out", "gpu": "no driver"}}
    lines = Picture(80, 40).show(content | {"gpu": None})
    start = row(lines, "^not measured$")
    assert lines[start + 1] == "disks//mnt/x  timed out"
    assert lines[start + 2].startswith("disks "), "the table of those that were"
    assert re.search(r"^gpu +no driver$", "\n".join(lines), re.MULTILINE)


def test_bytes_of_the_machine_do_not_stand_beside_a_share_of_the_container() -> None:
    lines = Picture(80, 24).show(busy_machine() | {"memory": 91.0})
    assert re.search(rf"^memory +{BLOCKS}+ +! 91\.0 %$", lines[row(lines, "^memory ")])
    assert lines[row(lines, "^memory_bytes ")].endswith("163 of 270 GB")


def test_what_is_not_measured_yet_is_no_failure() -> None:
    picture = Picture(80, 24)
    lines = picture.show({"temperatures": None, "gpu": None, "errors": {"gpu": "no driver"}})
    assert colours(picture, lines, "^temperatures +-$")["-"] == {"default"}
    assert colours(picture, lines, "^gpu +no driver$")["v"] == {"red"}


# Other letters


def test_without_unicode_blocks_and_signs_are_of_ascii() -> None:
    picture = Picture(80, 24, encoding="ascii")
    lines = picture.show(*minutes())
    text = "\n".join(lines)
    assert text.isascii()
    assert re.search(r"^cores +[_.\-=+*#@]{32} +!! max 100\.0 %$", text, re.MULTILINE), text
    assert re.search(r"^disks +~\S+/decade !! 97\.2 %", text, re.MULTILINE), text
    assert lines[0].split()[-4:] == ["*", "Live", "12:31:59", "UTC"]
    assert "^ v" in lines[-1]
    picture.screen.show(message({"cpu": 1.0, "läuft": 1.0, "errors": {"disks//ä": "weg…"}}))
    assert "l?uft" in "\n".join(picture.lines())


def test_names_of_wide_letters_are_cut_where_they_have_to_be() -> None:
    picture = Picture(80, 40)
    names = {"計算機の温度センサーの名前がとても長い場合" * 3: 40.0, "e\u0301" * 40: 30.0}
    picture.show({"temperatures": names, "disks": dict.fromkeys(names, 5.0), **names})
    picture.assert_fits()
