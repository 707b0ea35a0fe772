from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hub.sampling.file_systems import file_system_usage


@dataclass
class Partition:
    mountpoint: str
    fstype: str = "ext4"


class Mounts:
    """File systems at places below a directory, each of which says how full it is."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.partitions: list[Partition] = []
        self.automatic: list[Partition] = []
        self.asked: list[str] = []
        self._devices: dict[str, int] = {"/": 1}
        monkeypatch.setattr(psutil, "disk_partitions", self._list)
        monkeypatch.setattr(psutil, "disk_usage", self._usage)
        monkeypatch.setattr("hub.sampling.file_systems._device", self._device)

    def add(self, name: str, device: int, fstype: str = "ext4") -> str:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        self._devices[str(path)] = device
        self.partitions.append(Partition(str(path), fstype))
        return str(path)

    def _list(self, *, all: bool) -> list[Partition]:  # noqa: A002 # psutil's
        return self.partitions + self.automatic if all else self.partitions

    def _usage(self, path: str) -> SimpleNamespace:
        self.asked.append(path)
        if "broken" in path:
            raise PermissionError(13, "Permission denied")
        return SimpleNamespace(percent=5.0)

    def _device(self, path: str) -> int | None:
        found = Path(path)
        if not found.exists():
            raise FileNotFoundError(2, "No such file or directory")
        return self._devices.get(path, 99) if found.is_dir() else None


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    return Mounts(tmp_path, monkeypatch)


def test_what_cannot_be_asked_and_single_files_are_left_out(mounts: Mounts) -> None:
    mounts.add("broken", 2)
    sound = mounts.add("sound", 3)
    file = mounts.root / "file"
    file.touch()
    mounts.partitions += [Partition(str(file)), Partition(str(mounts.root / "gone"))]
    assert file_system_usage() == {"/": 5.0, sound: 5.0}


def test_a_file_system_that_is_mounted_several_times_is_one(mounts: Mounts) -> None:
    mounts.add("home/deep/bound", 2)
    home = mounts.add("home", 2)
    mounts.add("root-again", 1)
    assert file_system_usage() == {"/": 5.0, home: 5.0}


@pytest.mark.parametrize("fstype", ["squashfs", "iso9660", "erofs"])
def test_images_are_always_full_and_left_out(mounts: Mounts, fstype: str) -> None:
    mounts.add("snap/core", 2, fstype)
    assert file_system_usage() == {"/": 5.0}


def test_what_an_automounter_mounts_is_not_asked(mounts: Mounts) -> None:
    covered = [mounts.add("net/share", 2), mounts.add("boot", 3)]
    sound = mounts.add("network", 4)
    mounts.automatic = [
        Partition(str(mounts.root / "net"), "autofs"),
        Partition(str(mounts.root / "boot"), "autofs"),
    ]
    assert file_system_usage() == {"/": 5.0, sound: 5.0}
    assert not set(covered) & set(mounts.asked)


def test_on_this_machine_there_is_a_root() -> None:
    found = file_system_usage()
    assert all(0 <= share <= 100 for share in found.values())
    assert "/" in found or os.name != "posix"
