"""A program in a pseudo-terminal, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self

import pyte

from tests.support.servers import DEADLINE

__all__ = ["Terminal"]

_ROOT: Final = Path(__file__).parents[2]


class Terminal:
    """Runs ``python -m ARGUMENTS`` in a terminal of so many columns and rows."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        rows: int = 30,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._keyboard, self._tty = pty.openpty()
        self._resize(columns, rows)
        self._modes = termios.tcgetattr(self._tty)
        self.written = b""
        self.process = subprocess.Popen(  # noqa: S603 # our own arguments
            [sys.executable, "-X", "dev", "-W", "error", "-m", *arguments],
            cwd=_ROOT,
            env=_environ() | dict(environ or {}),
            stdin=self._tty,
            stdout=self._tty,
            stderr=self._tty,
            start_new_session=True,
            preexec_fn=_control,  # noqa: PLW1509 # does nothing that threads could be in the way of
        )

    @property
    def shown(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def restored(self) -> bool:
        """Whether the terminal is as it was: its modes, its screen and its cursor."""
        modes = termios.tcgetattr(self._tty) == self._modes
        return modes and self.written.rfind(b"\x1b[?1049l") > self.written.rfind(b"\x1b[?1049h")

    def press(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        self._resize(columns, rows)

    def _resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_until(self, wanted: Callable[[str], object]) -> str:
        """Wait until the screen shows what is wanted; return all that it shows."""
        deadline = time.monotonic() + 2 * DEADLINE
        while not wanted(self.shown):
            assert time.monotonic() < deadline, self.shown
            self._read(0.1)
        return self.shown

    def ended(self) -> int:
        """Wait for the program's end; return its exit status."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown
            self._read(0.05)
        self._read(0)
        return self.process.wait()

    def _read(self, seconds: float) -> None:
        while select.select([self._keyboard], [], [], seconds)[0]:
            data = os.read(self._keyboard, 65536)
            self.written += data
            self._stream.feed(data)
            seconds = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
        finally:
            os.close(self._keyboard)
            os.close(self._tty)


def _environ() -> dict[str, str]:
    """Return an environment that knows of this terminal, and not of the one the tests run in."""
    known = {name: os.environ[name] for name in os.environ.keys() - {"COLUMNS", "LINES"}}
    return known | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def _control() -> None:
    """Make standard input the terminal from which the new session is controlled."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
