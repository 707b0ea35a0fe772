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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import pyte

from tests.support.servers import DEADLINE

__all__ = ["PYTHON", "Terminal"]

PYTHON: Final = (sys.executable, "-X", "dev", "-W", "error")
"""This Python, which takes warnings for errors."""

_ROOT: Final = Path(__file__).parents[2]
_RESTORING: Final = {
    b"\x1b[?1049h": b"\x1b[?1049l",  # the alternate screen
    b"\x1b[?25l": b"\x1b[?25h",  # no cursor
    b"\x1b[?7l": b"\x1b[?7h",  # no line that goes on in the next
}
"""What a program does to a terminal, and how it undoes that."""


class Terminal:
    """Runs ``python -m ARGUMENTS``, or another command, in a terminal of so many columns and rows.

    What it runs leads the terminal's session, so that nobody could continue it if it stopped; a
    shell as ``command`` can stop and continue what is started in it.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        rows: int = 30,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._keyboard, self._tty = pty.openpty()
        self._resize(columns, rows)
        self._modes = termios.tcgetattr(self._tty)
        self.written = b""
        self.process = subprocess.Popen(  # noqa: S603 # our own arguments
            command or [*PYTHON, "-m", *arguments],
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
        return modes and all(
            self.written.rfind(undone) > self.written.rfind(done)
            for done, undone in _RESTORING.items()
        )

    def press(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def hang_up(self) -> None:
        """Take the terminal away, as closing its window does."""
        os.close(self._keyboard)
        self._keyboard = -1

    def spoil(self) -> None:
        """Give the terminal back its modes and clear it, as a shell does or a user in need."""
        termios.tcsetattr(self._tty, termios.TCSANOW, self._modes)
        self._screen.reset()

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

    def wait_for(self, wanted: Callable[[], object]) -> None:
        """Wait until something is so, while the program goes on."""
        self.wait_until(lambda _: wanted())

    def ended(self) -> int:
        """Wait for the program's end; return its exit status."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown
            self._read(0.05)
        self._read(0)
        return self.process.wait()

    def _read(self, seconds: float) -> None:
        if self._keyboard < 0:
            time.sleep(seconds)
            return
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
            for file in {self._keyboard, self._tty} - {-1}:
                os.close(file)


def _environ() -> dict[str, str]:
    """Return an environment that knows of this terminal, and not of the one the tests run in."""
    known = {name: os.environ[name] for name in os.environ.keys() - {"COLUMNS", "LINES"}}
    return known | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def _control() -> None:
    """Make standard input the terminal from which the new session is controlled."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
