from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.hierarchy import UNIFIED, Hierarchy, find_hierarchies
from tests.support.control_groups import ProcessLists


@pytest.fixture
def lists(tmp_path: Path) -> ProcessLists:
    return ProcessLists(tmp_path)


def found(lists: ProcessLists, controller: str = UNIFIED) -> Hierarchy:
    return find_hierarchies(lists.root)[controller]


def own_directory(lists: ProcessLists, controller: str = UNIFIED) -> Path:
    hierarchy = found(lists, controller)
    return hierarchy.directory(hierarchy.own)


# Where our group is


def test_version_2_has_one_hierarchy_for_all(lists: ProcessLists) -> None:
    lists.group("/system.slice/hub.service")
    lists.mount("/sys/fs/cgroup")
    own = lists.directory("/sys/fs/cgroup/system.slice/hub.service")
    assert list(find_hierarchies(lists.root)) == [UNIFIED]
    assert own_directory(lists) == own


def test_version_1_has_several_and_our_group_may_differ(lists: ProcessLists) -> None:
    lists.group("/", "name=systemd")
    lists.group("/a", "memory")
    lists.group("/b", "cpu,cpuacct")
    lists.group("/")
    lists.mount("/sys/fs/cgroup", kind="tmpfs")
    lists.mount("/sys/fs/cgroup/systemd", kind="cgroup", options="rw,xattr,name=systemd")
    lists.mount("/sys/fs/cgroup/memory", kind="cgroup", options="rw,memory")
    lists.mount("/sys/fs/cgroup/cpu,cpuacct", kind="cgroup", options="rw,cpu,cpuacct")
    unified = lists.mount("/sys/fs/cgroup/unified")
    a = lists.directory("/sys/fs/cgroup/memory/a")
    b = lists.directory("/sys/fs/cgroup/cpu,cpuacct/b")
    assert own_directory(lists, "memory") == a
    assert own_directory(lists, "cpu") == own_directory(lists, "cpuacct") == b
    assert own_directory(lists) == unified


@pytest.mark.parametrize(
    ("root", "own", "below"),
    [
        ("/", "/", ""),  # a container that has a name space
        ("/docker/1", "/docker/1", ""),  # and one that has none
        ("/docker/1", "/docker/1/worker", "worker"),
        ("/../..", "/../../worker", "worker"),  # mounted in a name space further out
    ],
)
def test_only_what_is_below_the_mounts_root_is_seen(
    lists: ProcessLists, root: str, own: str, below: str
) -> None:
    lists.group(own)
    point = lists.mount("/sys/fs/cgroup", root)
    lists.directory("/sys/fs/cgroup/worker")
    assert own_directory(lists) == point / below


@pytest.mark.parametrize(
    ("root", "own"),
    [
        ("/", "/docker/1"),  # as the host has it, of which only a part is there
        ("/docker/1", "/"),
        ("/docker/1", "/docker/12"),
        ("/", "/../system.slice"),  # outside our name space
        ("/", "/.."),
        ("/..", "/"),
        ("/docker", "/docker/../../etc"),
        ("/", "/app (deleted)"),
    ],
)
def test_a_group_that_is_not_seen_is_what_is_mounted(
    lists: ProcessLists, root: str, own: str
) -> None:
    lists.group(own)
    point = lists.mount("/sys/fs/cgroup", root)
    lists.directory("/sys/fs/system.slice")
    assert own_directory(lists) == point
    assert found(lists).lineage(".") == [PurePosixPath(root)]


def test_of_several_mounts_it_is_one_where_our_group_is_seen(lists: ProcessLists) -> None:
    lists.group("/docker/1")
    lists.mount("/other", "/docker/2")
    point = lists.mount("/sys/fs/cgroup", "/docker/1")
    lists.mount("/host", "/")
    lists.directory("/host/docker/1")
    assert own_directory(lists) == point


def test_what_another_mount_covers_is_not_there(lists: ProcessLists) -> None:
    lists.group("/app")
    lists.mount("/sys/fs/cgroup")
    lists.directory("/sys/fs/cgroup/app")
    lists.mount("/sys/fs/cgroup", kind="tmpfs")
    assert find_hierarchies(lists.root) == {}


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        (r"/with\040space", "/with space"),
        (r"/with\0405", "/with 5"),
        ("/with\u2028end", "/with\u2028end"),
    ],
)
def test_a_mount_point_may_have_any_name(lists: ProcessLists, listed: str, name: str) -> None:
    lists.group("/with\x85end")
    lists.write("/proc/self/mountinfo", f"31 23 0:28 / {listed} rw - cgroup2 none rw\n")
    own = lists.directory(f"{name}/with\x85end")
    assert own_directory(lists) == own


def test_a_backslash_in_a_mount_point_is_no_escape_of_its_own(lists: ProcessLists) -> None:
    lists.group("/")
    lists.mount(r"/back\134040slash")
    assert found(lists).mount == lists.root / r"back\040slash"


def test_a_group_that_may_not_be_looked_at_is_not_seen(lists: ProcessLists) -> None:
    lists.group(f"/{300 * 'a'}")  # no file system has such names
    point = lists.mount("/sys/fs/cgroup")
    assert own_directory(lists) == point


@pytest.mark.parametrize("file", ["cgroup", "mountinfo", "both"])
def test_without_the_lists_there_is_none(lists: ProcessLists, file: str) -> None:
    if file == "mountinfo":
        lists.group("/")
    if file == "cgroup":
        lists.mount("/sys/fs/cgroup")
    assert find_hierarchies(lists.root) == {}


@pytest.mark.parametrize(
    "line", ["", "0", "0:", "0::", "0::app", "0::/a\0b", ":::", "31 23 0:28 / / rw - cgroup2"]
)
def test_a_line_that_means_nothing_is_passed_over(lists: ProcessLists, line: str) -> None:
    lists.write("/proc/self/cgroup", f"{line}\n1:memory:/\n{line}\n")
    mount = "31 23 0:28 / /m rw - cgroup none rw,memory"
    nul = r"31 23 0:28 / /a\000b rw - cgroup none rw,memory"
    lists.write("/proc/self/mountinfo", f"{line}\n{nul}\n{mount}\n{line}\n")
    assert found(lists, "memory").mount == lists.root / "m"


# The groups around ours


def test_the_groups_around_ours_count_as_far_as_they_have_a_file(lists: ProcessLists) -> None:
    lists.group("/top/a/b/c")
    lists.mount("/sys/fs/cgroup", "/top")
    for group in ("", "/a/b", "/a/b/c"):
        lists.write(f"/sys/fs/cgroup{group}/cpu.max", "max")
    paths = [PurePosixPath(path) for path in ("/top/a/b/c", "/top/a/b", "/top")]
    assert found(lists).lineage("cpu.max") == paths
    assert found(lists).lineage("cpu.pressure") == []


def test_another_hierarchys_group_is_told_by_its_path(lists: ProcessLists) -> None:
    lists.group("/top/a/b")
    point = lists.mount("/sys/fs/cgroup", "/top")
    lists.directory("/sys/fs/cgroup/a/b")
    hierarchy = found(lists)
    assert hierarchy.around(PurePosixPath("/top/a")) == point / "a"
    assert hierarchy.around(PurePosixPath("/top/c")) is None  # which we are not in
    assert hierarchy.around(PurePosixPath("/top/a/b/c")) is None
    assert hierarchy.around(PurePosixPath("/")) is None  # which is not seen


# Whatever is listed

PARTS = st.sampled_from(
    ["0:", ":", "/", "/a", "/..", "/a/b", "cpu", "memory", ",", " ", " - ", "cgroup", "cgroup2",
     "\n", "\0", "\\040", "\\000", "\\", "-", "1 2 3:4 / /m rw - cgroup2 none rw\n", "\xff", "."]
)  # fmt: skip
LISTS = st.one_of(st.binary(), st.lists(PARTS).map(lambda parts: "".join(parts).encode()))


@given(LISTS, LISTS)
def test_whatever_is_listed_each_hierarchy_has_a_place_for_us(groups: bytes, mounts: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        lists = ProcessLists(Path(directory))
        lists.write("/proc/self/cgroup", groups)
        lists.write("/proc/self/mountinfo", mounts)
        for hierarchy in find_hierarchies(lists.root).values():
            assert hierarchy.own.is_relative_to(hierarchy.root)
            for group in hierarchy.lineage("."):
                assert hierarchy.directory(group).is_relative_to(hierarchy.mount)


# This machine


def test_our_group_is_one_that_this_process_is_listed_in() -> None:
    hierarchies = find_hierarchies()
    places = [one.directory(one.own) / "cgroup.procs" for one in hierarchies.values()]
    lists = [place.read_text().split() for place in places if place.exists()]
    if not lists:
        pytest.skip("this machine shows no control groups")
    assert all(str(os.getpid()) in numbers for numbers in lists)
