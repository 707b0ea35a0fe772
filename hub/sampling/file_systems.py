"""How full the machine's file systems are."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final

import psutil

from hub.devices import USUAL, Selection
from hub.sampling.metric import OneByOne

__all__ = ["FileSystems", "MountTable"]

_IMAGES: Final = frozenset({"squashfs", "erofs", "cramfs", "iso9660"})
"""Types that are always full, as nothing can be written."""

_REMOTE: Final = frozenset({
    "9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "virtiofs", "webdav",
})  # fmt: skip
"""Types that another machine serves, which may take long to answer."""

_MOUNTS: Final = "proc/self/mountinfo"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class _Mount:
    """Where a file system is mounted, from where, and of which type it is."""

    point: str
    device: str
    type: str
    is_automatic: bool = False  # by an automounter, which ends it when it is not used for a while

    @property
    def is_program(self) -> bool:
        """Whether a program answers for it."""
        return self.type.startswith("fuse")

    @property
    def is_remote(self) -> bool:
        """Whether another machine does, as ``df -l`` judges it."""
        is_elsewhere = os.name == "posix" and ":" in self.device
        return self.type in _REMOTE or is_elsewhere or self.device.startswith("//")

    @property
    def is_shown(self) -> bool:
        """Whether it is shown unless an operator says otherwise."""
        return not (self.type in _IMAGES or self.is_automatic or self.is_remote)


class MountTable:
    """The machine's mounts, looked up anew only after something was mounted or unmounted.

    Args:
        root: where ``/proc`` is found; where it is not, they are looked up each time.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._path = root / _MOUNTS
        self._text = b""  # of the last look
        self._mounts: tuple[_Mount, ...] = ()

    def mounts(self) -> tuple[_Mount, ...]:
        """Return the mounts, each file system once: where its path is the shortest."""
        try:
            text = self._path.read_bytes()
        except OSError:
            text = b""
        if not text or text != self._text:
            self._mounts = tuple(_each_once(dict(_numbers(text))))
            self._text = text
        return self._mounts


class FileSystems:
    """The machine's local file systems, each by its mount point.

    As in ``df -l``, a file system that is mounted at several places has one entry, and images have
    none. What an automounter would mount is not asked: that would keep it mounted.

    Args:
        read: what to say of a file system, by what psutil's ``disk_usage`` says.
        table: has the mounts.
        selection: mount points that are excluded are not asked; those that are included are,
            whatever they are.
    """

    def __init__(
        self, read: Callable[[Any], object], table: MountTable, selection: Selection = USUAL
    ) -> None:
        self._read = read
        self._table = table
        self._selection = selection

    def collect(self) -> OneByOne:
        """Return what asks each file system."""
        return self._of(lambda _: True)

    def collect_near(self) -> OneByOne:
        """Return what asks those that neither other machines nor programs answer for."""
        return self._of(lambda mount: not (mount.is_program or mount.is_remote))

    def _of(self, wanted: Callable[[_Mount], bool]) -> OneByOne:
        selection = self._selection
        return OneByOne({
            mount.point: partial(self._ask, mount.point)
            for mount in self._table.mounts()
            if wanted(mount) and selection.shows(mount.point, usual=mount.is_shown)
        })  # fmt: skip

    def _ask(self, point: str) -> object:
        """Ask a file system; None of what is none, is gone, or may not be asked."""
        try:
            if not stat.S_ISDIR(Path(point).stat().st_mode):  # a file that a container mounts
                return None
            usage = psutil.disk_usage(point)
            return self._read(usage) if usage.total else None  # without a size it is no storage
        except (FileNotFoundError, PermissionError):
            return None


def _each_once(numbers: Mapping[str, str]) -> Iterator[_Mount]:
    """Iterate over the file systems, each of which has its number, by their mount points."""
    seen: set[str] = set()
    for mount in sorted(_mounts(), key=lambda mount: (len(mount.point), mount.point)):
        number = numbers.get(mount.point, mount.device or mount.point)
        if number not in seen:
            seen.add(number)
            yield mount


def _numbers(text: bytes) -> Iterator[tuple[str, str]]:
    """Iterate over mount points and their devices' numbers (Linux, proc_pid_mountinfo(5)).

    Where one lies over another, the last is the one that is seen.
    """
    for line in os.fsdecode(text).split("\n"):  # a path may have other separators of lines in it
        fields = line.split(" ")
        if len(fields) > 4:
            yield _unescaped(fields[4]), fields[2]


def _mounts() -> Iterator[_Mount]:
    """Iterate over what psutil lists, programs' file systems, and what other machines serve.

    The root is among them, which psutil leaves out in containers.
    """
    real = psutil.disk_partitions(all=False)
    if os.name != "posix":  # all might ask other machines
        yield from (_Mount(one.mountpoint, one.device, one.fstype) for one in real)
        return
    every = psutil.disk_partitions(all=True)
    automatic = [PurePath(one.mountpoint) for one in every if one.fstype == "autofs"]
    # Where one lies over another, the last is the one that is seen.
    seen = {one.mountpoint: one for one in every if one.fstype != "autofs"}
    known = {(one.mountpoint, one.fstype) for one in real}
    for point, one in seen.items():
        is_storage = one.fstype in _REMOTE or one.fstype.startswith("fuse")
        if is_storage or point == os.sep or (point, one.fstype) in known:
            is_automatic = any(map(PurePath(point).is_relative_to, automatic))
            yield _Mount(point, one.device, one.fstype, is_automatic)
    if os.sep not in seen:
        yield _Mount(os.sep, "", "")


def _unescaped(text: str) -> str:
    r"""Return a path in which ``\040`` stands for a blank."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
