"""The Unix socket at which a process that samples listens: a file that is to be there or not."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["listening"]

_PATIENCE_SECONDS: Final = 1.0
"""How long one who listens there may take to accept a connection."""


@contextmanager
def listening(path: Path, mode: int) -> Iterator[socket.socket]:
    """Listen at a path for as long as the context lasts; what a dead process has left is replaced.

    The socket is there only once it has its mode and accepts connections.

    Args:
        path: where.
        mode: who may connect, as of a file.

    Raises:
        OSError: another process listens there, there is something else, or it cannot be made.
    """
    _check_free(path)
    draft = path.with_name(f".{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(os.fspath(draft))
        made = draft.stat()
        try:
            draft.chmod(mode)
            listener.listen(128)
            draft.replace(path)
        except OSError:
            draft.unlink()
            raise
        try:
            yield listener
        finally:
            with suppress(OSError):
                if os.path.samestat(path.lstat(), made):  # and not that of one who came later
                    path.unlink()
    finally:
        listener.close()


def _check_free(path: Path) -> None:
    """Raise OSError unless there is nothing at a path, or a socket at which no process listens."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "there is something else than a socket")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(_PATIENCE_SECONDS)
        try:
            caller.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except TimeoutError:  # it listens, if slowly
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
