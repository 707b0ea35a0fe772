from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.cgroup import ControlGroup, Throttling
from tests.support.control_groups import NO_LIMIT, TOTAL, GroupTree, Layout, ProcessLists

MIB = 1 << 20


@pytest.fixture(params=Layout)
def layout(request: pytest.FixtureRequest) -> Layout:
    assert isinstance(request.param, Layout)
    return request.param


@pytest.fixture
def tree(tmp_path: Path, layout: Layout) -> GroupTree:
    return GroupTree(tmp_path, layout)


@pytest.fixture
def nested(tmp_path: Path, layout: Layout) -> GroupTree:
    """A process three groups down, with files in all of them but the root."""
    made = GroupTree(tmp_path, layout, own="/a/b/c")
    for group in ("/a", "/a/b", "/a/b/c"):
        made.cpu(group)
        made.memory(group)
    return made


@pytest.fixture
def unified(tmp_path: Path) -> GroupTree:
    return GroupTree(tmp_path, Layout.UNIFIED)


@pytest.fixture
def legacy(tmp_path: Path) -> GroupTree:
    return GroupTree(tmp_path, Layout.LEGACY)


def used_seconds(control: ControlGroup) -> float:
    bound = control.cpu()
    assert bound is not None
    return bound.group.used_seconds()


def throttling(control: ControlGroup) -> Throttling | None:
    bound = control.cpu()
    assert bound is not None
    return bound.group.throttling()


def used_bytes(control: ControlGroup) -> int:
    bound = control.memory()
    assert bound is not None
    return bound.group.used_bytes()


def oom_kills(control: ControlGroup) -> int | None:
    bound = control.memory()
    assert bound is not None
    return bound.group.oom_kills()


# Processor time


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [(50_000, 100_000, 0.5), (400_000, 100_000, 4.0), (1_000, 1_000_000, 0.001)],
)
def test_a_limit_is_in_processors(tree: GroupTree, quota: int, period: int, cores: float) -> None:
    tree.cpu(limit=(quota, period))
    assert tree.control.cpu_limit() == cores


def test_without_a_limit_there_is_the_time_that_was_used(tree: GroupTree) -> None:
    tree.cpu(seconds=12.25)
    assert tree.control.cpu_limit() is None
    assert used_seconds(tree.control) == 12.25


def test_periods_are_counted_and_those_that_were_throttled(tree: GroupTree) -> None:
    tree.cpu(limit=(1000, 2000), periods=(90, 30))
    assert throttling(tree.control) == Throttling(periods=90, throttled=30)


def test_of_all_limits_on_the_way_up_the_tightest_holds(nested: GroupTree) -> None:
    nested.cpu("/a", limit=(2, 1), seconds=30)
    nested.cpu("/a/b", limit=(1, 1), seconds=20, periods=(7, 3))
    nested.cpu("/a/b/c", limit=(3, 1), seconds=10)
    assert nested.control.cpu_limit() == 1.0
    assert used_seconds(nested.control) == 20.0
    assert throttling(nested.control) == Throttling(7, 3)


def test_of_equal_limits_the_outermost_holds_which_more_processes_share(nested: GroupTree) -> None:
    nested.cpu("/a", limit=(1, 1), seconds=30)
    nested.cpu("/a/b/c", limit=(1, 1), seconds=10)
    assert used_seconds(nested.control) == 30.0


def test_without_any_limit_it_is_our_own_group_that_counts(nested: GroupTree) -> None:
    nested.cpu("/a", seconds=30)
    nested.cpu("/a/b/c", seconds=10)
    assert used_seconds(nested.control) == 10.0


def test_limits_may_change_at_any_time(tree: GroupTree) -> None:
    tree.cpu()
    tree.memory()
    control = tree.control
    tree.cpu(limit=(1, 2))
    tree.memory(limit=MIB)
    assert (control.cpu_limit(), control.memory_limit()) == (0.5, MIB)
    tree.cpu()
    tree.memory()
    assert (control.cpu_limit(), control.memory_limit()) == (None, None)


def test_where_a_group_above_has_no_such_controller_it_sets_no_limit(unified: GroupTree) -> None:
    unified.cpu("", limit=(1, 2))
    unified.cpu("/app", limit=(3, 2))
    unified.remove("", "cpu.max")
    assert unified.control.cpu_limit() == 1.5


def test_version_2_counts_time_where_it_limits_none(unified: GroupTree) -> None:
    unified.write("/app", "cpu.stat", "usage_usec 1500000\nuser_usec 0\nsystem_usec 0\n")
    assert unified.control.found
    assert unified.control.cpu_limit() is None
    assert used_seconds(unified.control) == 1.5
    assert throttling(unified.control) is None


def test_a_group_that_counts_no_time_says_so(unified: GroupTree) -> None:
    unified.write("/app", "cpu.stat", "nr_periods 1\n")
    with pytest.raises(RuntimeError, match=r"app does not count processor time"):
        used_seconds(unified.control)


def test_time_that_is_counted_for_others_too_is_not_ours(tmp_path: Path) -> None:
    lists = ProcessLists(tmp_path)
    lists.group("/app", "cpu")
    lists.group("/", "cpuacct")
    lists.mount("/cpu", kind="cgroup", options="rw,cpu")
    lists.mount("/cpuacct", kind="cgroup", options="rw,cpuacct")
    lists.write("/cpu/app/cpu.cfs_quota_us", 50_000)
    lists.write("/cpu/app/cpu.cfs_period_us", 100_000)
    lists.write("/cpuacct/cpuacct.usage", 10**9)
    control = ControlGroup(lambda: TOTAL, tmp_path)
    assert control.cpu_limit() == 0.5
    with pytest.raises(RuntimeError, match="does not count processor time"):
        used_seconds(control)


def test_without_the_controller_that_counts_there_still_is_a_limit(tmp_path: Path) -> None:
    lists = ProcessLists(tmp_path)
    lists.group("/", "cpu")
    lists.mount("/cpu", kind="cgroup", options="rw,cpu")
    lists.write("/cpu/cpu.cfs_quota_us", 50_000)
    lists.write("/cpu/cpu.cfs_period_us", 100_000)
    assert ControlGroup(lambda: TOTAL, tmp_path).cpu_limit() == 0.5


# Memory


def test_memory_has_a_limit_and_a_working_set(tree: GroupTree) -> None:
    tree.memory(limit=64 * MIB, usage=40 * MIB, inactive=10 * MIB, kills=2)
    assert tree.control.memory_limit() == 64 * MIB
    assert used_bytes(tree.control) == 30 * MIB
    assert oom_kills(tree.control) == 2


@pytest.mark.parametrize("limit", [TOTAL, TOTAL + 1, NO_LIMIT, None])
def test_what_is_not_below_the_machines_memory_is_no_limit(
    tree: GroupTree, limit: int | None
) -> None:
    tree.memory(limit=limit)
    assert tree.control.memory_limit() is None


def test_the_machines_memory_is_asked_for_anew(tree: GroupTree, tmp_path: Path) -> None:
    tree.memory(limit=MIB)
    sizes = iter([MIB, 2 * MIB])
    control = ControlGroup(lambda: next(sizes), tmp_path)
    assert [control.memory_limit(), control.memory_limit()] == [None, MIB]


def test_a_working_set_is_never_negative(tree: GroupTree) -> None:
    tree.memory(usage=MIB, inactive=MIB + 1)  # they are not read at one moment
    assert used_bytes(tree.control) == 0


def test_where_pages_are_not_told_apart_all_counts(tree: GroupTree) -> None:
    tree.memory(usage=MIB, inactive=5)
    tree.remove("/app", "memory.stat")
    assert used_bytes(tree.control) == MIB


def test_the_tightest_limit_of_memory_holds_for_all_below(nested: GroupTree) -> None:
    nested.memory("/a", limit=3 * MIB, usage=300)
    nested.memory("/a/b", limit=2 * MIB, usage=200)
    nested.memory("/a/b/c", usage=100)
    assert nested.control.memory_limit() == 2 * MIB
    assert used_bytes(nested.control) == 200


def test_where_no_limit_is_tight_enough_our_own_memory_counts(nested: GroupTree) -> None:
    nested.memory("/a", limit=TOTAL, usage=300)
    nested.memory("/a/b/c", usage=100)
    assert used_bytes(nested.control) == 100


def test_kills_are_those_of_the_group_with_the_limit(nested: GroupTree) -> None:
    nested.memory("/a", kills=100)
    unified = nested.layout is Layout.UNIFIED
    nested.memory("/a/b", limit=MIB, kills=13 if unified else 10)  # with those below, or without
    nested.memory("/a/b/c", kills=3)
    assert oom_kills(nested.control) == 13


@pytest.mark.parametrize("content", ["", "oom_kill_disable 0\nunder_oom 0\n"])
def test_where_nobody_counts_kills_there_is_no_figure(tree: GroupTree, content: str) -> None:
    tree.memory()
    file = "memory.events" if tree.layout is Layout.UNIFIED else "memory.oom_control"
    tree.write("/app", file, content)
    assert oom_kills(tree.control) is None
    tree.remove("/app", file)
    assert oom_kills(tree.control) is None


def test_without_the_file_for_it_there_is_no_limit(unified: GroupTree) -> None:
    unified.memory(usage=5)
    unified.remove("/app", "memory.max")
    assert unified.control.memory_limit() is None
    assert used_bytes(unified.control) == 5


def test_a_group_without_the_controller_counts_with_the_one_around_it(unified: GroupTree) -> None:
    unified.memory("", limit=MIB, usage=7)
    assert used_bytes(unified.control) == 7


def test_a_limit_of_nothing_is_a_limit(tree: GroupTree) -> None:
    tree.memory(limit=0)
    assert tree.control.memory_limit() == 0


# No group, and what means nothing


def test_other_systems_have_no_group(tmp_path: Path) -> None:
    control = ControlGroup(lambda: TOTAL, tmp_path)
    assert not control.found
    assert (control.cpu(), control.memory()) == (None, None)
    assert (control.cpu_limit(), control.memory_limit()) == (None, None)


def test_a_root_group_without_any_files_is_none(tmp_path: Path) -> None:
    assert not GroupTree(tmp_path, Layout.UNIFIED, own="/").control.found


def test_controllers_of_version_1_are_read_beside_an_empty_version_2(legacy: GroupTree) -> None:
    legacy.memory(limit=MIB)
    legacy.cpu(seconds=5)
    assert legacy.control.memory_limit() == MIB
    assert used_seconds(legacy.control) == 5.0


UNIFIED_FAULTS = [
    ("cpu.max", ""),
    ("cpu.max", "100000"),
    ("cpu.max", "-1 100000"),
    ("cpu.max", "max1 100000"),
    ("cpu.max", "0 100000"),
    ("cpu.max", "100000 0"),
    ("cpu.max", "1 2 3"),
    ("cpu.max", "\u0661 \u0662"),
    ("cpu.stat", "usage_usec 1.5"),
    ("cpu.stat", "usage_usec"),
    ("memory.max", "-1"),
    ("memory.max", "1e6"),
    ("memory.max", "9" * 30),
    ("memory.current", ""),
    ("memory.stat", "inactive_file -4"),
    ("memory.events", "oom_kill many"),
]
LEGACY_FAULTS = [
    ("cpu.cfs_quota_us", "max"),
    ("cpu.cfs_quota_us", "-2"),
    ("cpu.cfs_quota_us", "0"),
    ("cpu.cfs_period_us", "x"),
    ("cpuacct.usage", "1 2"),
    ("memory.limit_in_bytes", "-1"),
    ("memory.usage_in_bytes", "\xff"),
    ("memory.stat", "total_inactive_file 0x10"),
    ("memory.oom_control", "oom_kill "),
]


@pytest.mark.parametrize(
    ("layout", "file", "content"),
    [
        *((Layout.UNIFIED, *fault) for fault in UNIFIED_FAULTS),
        *((Layout.LEGACY, *fault) for fault in LEGACY_FAULTS),
    ],
)
def test_what_means_nothing_is_an_error_that_names_the_file(
    tree: GroupTree, file: str, content: str
) -> None:
    tree.cpu(limit=(1, 2))
    tree.memory(limit=MIB)
    control = tree.control
    tree.write("/app", file, content)
    with pytest.raises(RuntimeError, match=rf"{file} holds .*, which means nothing"):
        read_all(control)


def test_a_file_that_has_gone_is_an_error_where_a_figure_is_needed(tree: GroupTree) -> None:
    tree.memory()
    control = tree.control
    unified = tree.layout is Layout.UNIFIED
    tree.remove("/app", "memory.current" if unified else "memory.usage_in_bytes")
    with pytest.raises(FileNotFoundError):
        used_bytes(control)


def read_all(control: ControlGroup) -> None:
    if (cpu := control.cpu()) is not None:
        assert cpu.limit is None or cpu.limit > 0
        assert cpu.group.used_seconds() >= 0
        throttled = cpu.group.throttling()
        assert throttled is None or min(throttled.periods, throttled.throttled) >= 0
    if (memory := control.memory()) is not None:
        assert memory.limit is None or 0 <= memory.limit < control.total_memory()
        assert memory.group.used_bytes() >= 0
        assert (memory.group.oom_kills() or 0) >= 0


FILES = {
    Layout.UNIFIED: [
        "cpu.max", "cpu.stat", "memory.max", "memory.current", "memory.stat", "memory.events",
    ],
    Layout.LEGACY: [
        "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.stat", "cpuacct.usage",
        "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "memory.oom_control",
    ],
}  # fmt: skip
WORDS = st.sampled_from(
    ["max", "-1", "0", "1", "100000", "18446744073709551615", "99999999999999999999", " ", "\n",
     "usage_usec ", "nr_periods ", "nr_throttled ", "inactive_file ", "total_inactive_file ",
     "oom_kill ", "\u0663", "1_0", "nan", "\0"]
)  # fmt: skip
CONTENTS = st.one_of(st.binary(), st.text().map(str.encode), st.lists(WORDS).map("".join))


@pytest.mark.parametrize("layout", FILES)
@given(data=st.data())
def test_whatever_files_hold_it_is_a_figure_or_a_declared_error(
    layout: Layout, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tree = GroupTree(Path(directory), layout)
        tree.cpu(limit=(1, 2))
        tree.memory(limit=MIB)
        for file in data.draw(st.sets(st.sampled_from(FILES[layout]), min_size=1)):
            tree.write("/app", file, data.draw(CONTENTS))
        control = tree.control
        reads: tuple[Callable[[], object], ...] = (
            control.cpu_limit, control.memory_limit, lambda: read_all(control),
        )  # fmt: skip
        for read in reads:
            with suppress(RuntimeError, OSError):
                read()


# This machine


def test_this_machines_group_can_be_read_if_there_is_one() -> None:
    control = ControlGroup(lambda: psutil.virtual_memory().total)
    if not control.found:
        pytest.skip("this process is in no control group that can be read")
    read_all(control)
