from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import InvalidValue
from hub.devices import USUAL, Selection, parse_devices

FAMILIES = ("network", "disks")


def test_a_list_begins_with_its_family_and_commas_continue_it() -> None:
    text = "network:eth*, !eth9 ,disks:/mnt/a:b,!/home,network:lo"
    assert parse_devices("devices", text, FAMILIES) == {
        "network": Selection(("eth*", "lo"), ("eth9",)),
        "disks": Selection(("/mnt/a:b",), ("/home",)),
    }


@pytest.mark.parametrize(
    "text",
    ["", "eth0", "netwrk:eth0", "network:", "network:!", "network:eth0,", "network:eth0,eth0:1",
     "network:" + "x" * 1024, "network:" + ",".join("abc" * 6)],
)  # fmt: skip
def test_what_breaks_the_rules_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^devices must be "):
        parse_devices("devices", text, FAMILIES)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidValue):
        assert parse_devices("devices", text, FAMILIES).keys() <= set(FAMILIES)


def test_the_usual_members_are_shown_unless_others_are_included() -> None:
    assert USUAL.shows("eth0")
    assert not USUAL.shows("lo", usual=False)
    assert Selection(("l*",)).shows("lo", usual=False)
    assert not Selection(("l*",)).shows("eth0")


def test_what_is_excluded_is_not_shown_whatever_includes_it() -> None:
    assert not Selection(("*",), ("docker*",)).shows("docker0")
    assert Selection((), ("docker*",)).shows("eth0")


def test_any_inclusion_replaces_the_default_and_exclusions_add_to_it() -> None:
    default = Selection(("eth*",), ("eth9",))
    assert Selection(("lo",)).over(default) == Selection(("lo",))
    assert Selection((), ("eth1",)).over(default) == Selection(("eth*",), ("eth1", "eth9"))
    assert USUAL.over(default) == default


def test_a_glob_takes_no_time_to_speak_of_whatever_it_is() -> None:
    assert not Selection(("*a" * 100 + "b",)).shows("a" * 200)


def test_an_operator_may_write_as_much_as_it_takes() -> None:
    globs = [f"eth{number}" for number in range(500)]
    found = parse_devices("devices", "network:" + ",".join(globs), trusted=True)
    assert found["network"].include == tuple(sorted(globs))


def test_what_is_remembered_of_names_is_bounded() -> None:
    selection = Selection(("eth*",))
    assert all(selection.shows(f"eth{number}") for number in range(2000))
    assert not selection.shows("lo")
    assert len(selection._known) <= 512


@pytest.mark.parametrize("glob", ["\x1c", "\x85", "\u2028", "\t"])
def test_only_blanks_around_a_glob_are_left_out(glob: str) -> None:
    assert parse_devices("devices", f" network: ! {glob} ", FAMILIES) == {
        "network": Selection((), (glob,))
    }
