"""File systems in user space that say of their size whatever a test wants.

They speak the kernel's own protocol (Linux, include/uapi/linux/fuse.h), as far as it takes to be
mounted, looked at and asked for their size.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import stat
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

__all__ = ["FUSE", "Served", "Size", "mount_fuse"]

FUSE: Final = "/dev/fuse"
"""The kernel's side of them."""

_BUFFER: Final = 1 << 18  # more than the largest request
_REQUEST: Final = struct.Struct("=IIQQIIIHH")  # length, opcode, number, …
_REPLY: Final = struct.Struct("=IiQ")  # length, error, number of the request
_FORGET, _GETATTR, _STATFS, _INIT, _INTERRUPT, _FORGET_MANY = 2, 3, 17, 26, 36, 42
_VERSION: Final = (7, 31)
_BLOCK: Final = 4096
_PARENT_DEATH: Final = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Size:
    """What a file system says of itself.

    Attributes:
        blocks: how many it has.
        free: how many of them are.
        available: how many of those are for everyone.
        seconds: after which it says so.
    """

    blocks: int
    free: int
    available: int
    seconds: float = 0.0


class Served:
    """A file system that is mounted; a process of its own answers for it.

    Were it a thread, a process that ends while another thread waits for its answer would never
    be gone: it keeps the device open until that thread has had its answer.
    """

    def __init__(self, device: int, size: Size) -> None:
        self._count = mmap.mmap(-1, 1)  # shared; 255 stands for more as well
        owner = os.getpid()
        if os.fork() == 0:
            try:
                _die_with(owner)
                self._serve(device, size)
            finally:
                os._exit(0)
        os.close(device)

    @property
    def asked(self) -> int:
        """How often it was asked for something."""
        return self._count[0]

    def _serve(self, device: int, size: Size) -> None:
        with suppress(OSError):  # it was unmounted
            while True:
                request = os.read(device, _BUFFER)
                _, opcode, number, *_ = _REQUEST.unpack_from(request)
                if opcode in (_FORGET, _FORGET_MANY, _INTERRUPT):
                    continue
                if opcode != _INIT:
                    self._count[0] = min(255, self.asked + 1)
                error, answer = _answer(opcode, size)
                os.write(device, _REPLY.pack(_REPLY.size + len(answer), error, number) + answer)


def _answer(opcode: int, size: Size) -> tuple[int, bytes]:
    """Return an error's number, or 0 and what is answered."""
    if opcode == _INIT:
        return 0, struct.pack("=IIIIHHIIHH32x", *_VERSION, 0, 0, 0, 0, _BLOCK, 1, 0, 0)
    if opcode == _GETATTR:
        return 0, struct.pack("=16x48x12xII20x", stat.S_IFDIR | 0o755, 2)
    if opcode == _STATFS:
        time.sleep(size.seconds)
        counts = size.blocks, size.free, size.available
        return 0, struct.pack("=QQQQQIII28x", *counts, 0, 0, _BLOCK, 255, _BLOCK)
    return -errno.ENOSYS, b""


def mount_fuse(target: str, size: Size) -> Served:
    """Mount a file system on a directory, until this process ends or it is unmounted."""
    device = os.open(FUSE, os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    _call("mount", b"hub-test", os.fsencode(target), b"fuse.test", 0, options)
    return Served(device, size)


def _die_with(parent: int) -> None:
    _call("prctl", _PARENT_DEATH, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _call(name: str, *arguments: int | bytes) -> None:
    """Call a function of the C library that returns 0 if all is well."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
