"""A shell in a terminal, in which a command is run as a user would run it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from tests.support.servers import DEADLINE

__all__ = ["Shell"]

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Shell:
    """Runs a command in a terminal, until it has ended or is no longer wanted."""

    def __init__(self, command: str, directory: Path, environ: Mapping[str, str]) -> None:
        self._written = b""
        self._terminal, far_side = pty.openpty()
        self._process = subprocess.Popen(  # noqa: S603 # of our own documents
            ["bash", "-c", command],  # noqa: S607 # wherever it is
            cwd=directory,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"} | dict(environ),
            stdin=far_side,
            stdout=far_side,
            stderr=far_side,
            start_new_session=True,
        )
        os.close(far_side)

    @property
    def shown(self) -> str:
        """All that has been written, without what controls the terminal."""
        return _CONTROL.sub("", self._written.decode(errors="replace"))

    def wait_for(self, pattern: str) -> None:
        """Wait until something like this has been written."""
        deadline = time.monotonic() + 2 * DEADLINE
        while not re.search(pattern, self.shown, re.MULTILINE):
            assert time.monotonic() < deadline, self.shown
            assert self._read(0.1), self.shown

    def status(self) -> int:
        """Wait for the command's end; return its exit status."""
        deadline = time.monotonic() + 2 * DEADLINE
        while self._read(0.1):
            assert time.monotonic() < deadline, self.shown
        return self._process.wait(DEADLINE)

    def _read(self, seconds: float) -> bool:
        """Read what is written within some seconds; say whether more may follow."""
        if select.select([self._terminal], [], [], seconds)[0]:
            try:
                self._written += os.read(self._terminal, 65536)
            except OSError:  # nobody is left at the far side
                return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            self._process.wait(DEADLINE)
            os.close(self._terminal)
