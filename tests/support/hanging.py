"""The hub on a file system that never answers: ``python -m tests.support.hanging TARGET FLAG…``.

The file system is FUSE without anybody behind it. It is mounted on ``TARGET``, a directory, in a
mount namespace of the process's own, and so is gone when the process is.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import pytest

__all__ = ["needs_fuse"]

_NEW_NAMESPACE: Final = 0x20000  # CLONE_NEWNS
_PRIVATE: Final = 1 << 18 | 1 << 14  # MS_PRIVATE | MS_REC
_FUSE: Final = Path("/dev/fuse")

needs_fuse = pytest.mark.skipif(
    not _FUSE.exists() or os.geteuid() != 0, reason="mounting takes root and /dev/fuse"
)


def _mount_nothing_on(target: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    answerer = os.open(_FUSE, os.O_RDWR)
    os.set_inheritable(answerer, True)  # the standard library's
    options = f"fd={answerer},rootmode=40000,user_id=0,group_id=0".encode()
    for failed in (
        libc.unshare(_NEW_NAMESPACE),
        libc.mount(b"none", b"/", None, _PRIVATE, None),
        libc.mount(b"hub-test", os.fsencode(target), b"fuse", 0, options),
    ):
        if failed:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


def main(arguments: Sequence[str]) -> NoReturn:
    target, *flags = arguments
    _mount_nothing_on(target)
    os.execv(sys.executable, [sys.executable, "-m", "hub", "--disk-path", target, *flags])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
