"""What the terminal reports: that the user quits, or that its size has changed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["terminal"]

_QUIT: Final = frozenset(b"qQ")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def terminal(*, leave: Callable[[], None], resized: Callable[[], None]) -> Iterator[None]:
    """Listen to the terminal of this process while the context is entered.

    Args:
        leave: called when the user presses q or Ctrl-C, or a signal asks to end.
        resized: called when the terminal has another size.
    """
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, leave)
    loop.add_signal_handler(signal.SIGWINCH, resized)
    try:
        with _keyboard(leave):
            yield
    finally:
        for number in (*_SIGNALS, signal.SIGWINCH):
            loop.remove_signal_handler(number)


@contextmanager
def _keyboard(leave: Callable[[], None]) -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    keys, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        pressed = os.read(keys, 1024)
        if not pressed or not _QUIT.isdisjoint(pressed):
            leave()

    before = termios.tcgetattr(keys)
    tty.setcbreak(keys)
    loop.add_reader(keys, read)
    try:
        yield
    finally:
        loop.remove_reader(keys)
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
