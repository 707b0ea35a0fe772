from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hub.devices import USUAL, Selection
from hub.sampling.file_systems import FileSystems, MountTable


@dataclass
class Partition:
    mountpoint: str
    fstype: str = "ext4"
    device: str = ""


class Mounts:
    """File systems at places below a directory, each of which says how full it is."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.partitions: list[Partition] = []
        self.others: list[Partition] = []
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}
        self._lines = ["1 1 8:1 / / rw - ext4 /dev/sda1 rw"]
        (root / "proc/self").mkdir(parents=True)
        monkeypatch.setattr(psutil, "disk_partitions", self._list)
        monkeypatch.setattr(psutil, "disk_usage", self._usage)
        self.table = MountTable(root)

    def add(self, name: str, device: int, fstype: str = "ext4", source: str = "") -> str:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        point = str(path).replace(" ", "\\040")
        self._lines.append(f"1 1 8:{device} / {point} rw - {fstype} {source} rw")
        if fstype.startswith(("nfs", "fuse.")):  # as psutil judges what is a device
            self.others.append(Partition(str(path), fstype, source))
        else:
            self.partitions.append(Partition(str(path), fstype, source))
        return str(path)

    def usage(self, selection: Selection = USUAL, *, near: bool = False) -> dict[str, object]:
        text = "\n".join(self._lines)
        (self.root / "proc/self/mountinfo").write_text(text)
        systems = FileSystems(lambda usage: usage.percent, self.table, selection)
        members = (systems.collect_near() if near else systems.collect()).members
        found = {name: read() for name, read in members.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _list(self, *, all: bool) -> list[Partition]:  # noqa: A002 # psutil's
        return self.partitions + self.others if all else self.partitions

    def _usage(self, path: str) -> SimpleNamespace:
        self.asked.append(path)
        if "broken" in path:
            raise PermissionError(13, "Permission denied")
        return SimpleNamespace(percent=5.0, total=self.sizes.get(path, 1000))


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    return Mounts(tmp_path, monkeypatch)


def test_what_cannot_be_asked_and_single_files_are_left_out(mounts: Mounts) -> None:
    mounts.add("broken", 2)
    sound = mounts.add("sound", 3)
    file = mounts.root / "file"
    file.touch()
    mounts.partitions += [Partition(str(file)), Partition(str(mounts.root / "gone"))]
    assert mounts.usage() == {"/": 5.0, sound: 5.0}


def test_a_file_system_that_is_mounted_several_times_is_one(mounts: Mounts) -> None:
    mounts.add("home/deep/bound", 2)
    home = mounts.add("home", 2)
    mounts.add("root-again", 1)
    assert mounts.usage() == {"/": 5.0, home: 5.0}


@pytest.mark.parametrize("fstype", ["squashfs", "iso9660", "erofs"])
def test_images_are_always_full_and_left_out(mounts: Mounts, fstype: str) -> None:
    mounts.add("snap/core", 2, fstype)
    assert mounts.usage() == {"/": 5.0}


def test_what_an_automounter_mounts_is_not_asked(mounts: Mounts) -> None:
    covered = [mounts.add("net/share", 2), mounts.add("boot", 3)]
    sound = mounts.add("network", 4)
    mounts.others += [
        Partition(str(mounts.root / "net"), "autofs"),
        Partition(str(mounts.root / "boot"), "autofs"),
    ]
    assert mounts.usage() == {"/": 5.0, sound: 5.0}
    assert not set(covered) & set(mounts.asked)
    wanted = Selection(include=(covered[1],))
    assert mounts.usage(wanted) == {covered[1]: 5.0}, "unless the operator says so"


def test_what_another_machine_serves_is_asked_only_where_the_operator_says_so(
    mounts: Mounts,
) -> None:
    share = mounts.add("share", 2, "nfs4", "server:/export")
    program = mounts.add("through ssh", 3, "fuse.sshfs", "me@server:/")
    assert mounts.usage() == {"/": 5.0}
    assert mounts.usage(Selection(include=("*share",))) == {share: 5.0}
    assert program not in mounts.asked


def test_a_program_s_file_system_is_asked_only_on_demand(mounts: Mounts) -> None:
    program = mounts.add("with blanks in it", 2, "fuse.mergerfs")
    assert mounts.usage(near=True) == {"/": 5.0}
    assert mounts.usage() == {"/": 5.0, program: 5.0}


def test_of_two_at_one_place_only_the_one_that_is_seen_counts(mounts: Mounts) -> None:
    program = mounts.add("disk", 2)
    mounts.add("disk", 3, "fuse.mergerfs")
    mounts.add("memory", 4)
    mounts.others.append(Partition(str(mounts.root / "memory"), "tmpfs"))
    assert mounts.usage(near=True) == {"/": 5.0}
    assert mounts.usage() == {"/": 5.0, program: 5.0}


@pytest.mark.skipif(os.name != "posix", reason="such names are not allowed")
def test_what_separates_lines_elsewhere_may_be_part_of_a_path(mounts: Mounts) -> None:
    names = ("form\x0cfeed", "next\x85line", "line\u2028separator")
    shares = [mounts.add(name, 2 + n, "fuse.x", "here") for n, name in enumerate(names)]
    assert mounts.usage() == {"/": 5.0, **dict.fromkeys(shares, 5.0)}


def test_what_the_operator_excludes_is_not_asked(mounts: Mounts) -> None:
    excluded = mounts.add("excluded", 2)
    assert mounts.usage(Selection(exclude=("*/excluded",))) == {"/": 5.0}
    assert excluded not in mounts.asked


def test_what_has_no_size_is_no_storage(mounts: Mounts) -> None:
    mounts.sizes[mounts.add("nothing", 2, "fuse.portal")] = 0
    assert mounts.usage() == {"/": 5.0}


def test_mounts_are_listed_anew_only_after_a_change(mounts: Mounts) -> None:
    first = mounts.add("first", 2)
    assert mounts.usage() == {"/": 5.0, first: 5.0}
    mounts.partitions.clear()
    assert mounts.usage() == {"/": 5.0, first: 5.0}
    second = mounts.add("second", 3)
    assert mounts.usage() == {"/": 5.0, second: 5.0}


def test_without_a_list_of_the_system_s_mounts_are_told_by_their_devices(
    mounts: Mounts,
) -> None:
    mounts.table = MountTable(mounts.root / "elsewhere")
    first = mounts.add("a", 2, source="/dev/sdb1")
    mounts.add("bound", 2, source="/dev/sdb1")
    assert mounts.usage() == {"/": 5.0, first: 5.0}


def test_on_this_machine_there_is_a_root() -> None:
    systems = FileSystems(lambda usage: usage.percent, MountTable())
    found = {name: read() for name, read in systems.collect().members.items()}
    assert "/" in found or os.name != "posix"
