"""How full the machine's file systems are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final

import psutil

__all__ = ["file_system_usage"]

_IMAGES: Final = frozenset({"squashfs", "erofs", "cramfs", "iso9660"})
"""Types that are always full, as nothing can be written."""


def file_system_usage() -> dict[str, float]:
    """Return the used space of each local file system, in percent, by its mount point.

    As in ``df``, a file system that is mounted at several places has one entry, and images have
    none. What an automounter would mount is not asked: that would keep it mounted.
    """
    usage: dict[str, float] = {}
    seen: set[int] = set()
    for mount in sorted(_mount_points(), key=len):  # the shortest is the file system's own
        try:
            device = _device(mount)
            if device is not None and device not in seen:
                usage[mount] = psutil.disk_usage(mount).percent
                seen.add(device)
        except OSError:  # unmounted since, or not permitted: the others count
            continue
    return usage


def _device(mount: str) -> int | None:
    """Return the number of a directory's file system; None for files, which containers mount."""
    status = Path(mount).stat()
    return status.st_dev if stat.S_ISDIR(status.st_mode) else None


def _mount_points() -> Iterator[str]:
    """Iterate over what psutil lists, and the root, which it leaves out in containers."""
    automatic: list[PurePath] = []
    if os.name == "posix":
        yield os.sep
        every = psutil.disk_partitions(all=True)  # elsewhere that may ask other machines
        automatic += [PurePath(one.mountpoint) for one in every if one.fstype == "autofs"]
    for one in psutil.disk_partitions(all=False):
        path = PurePath(one.mountpoint)
        if one.fstype not in _IMAGES and not any(map(path.is_relative_to, automatic)):
            yield one.mountpoint
