"""What the terminal reports: keys, another size, and that the process is to stop or to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from hub.cli.watch.keys import Key, KeyReader

if sys.platform != "win32":
    import termios
    import tty

__all__ = ["Display", "has_keys", "terminal"]


class Display(Protocol):
    """What is shown in a terminal."""

    def draw(self) -> None:
        """Draw it, in the size that the terminal has."""
        ...

    def pause(self) -> None:
        """Leave the terminal to others, until ``resume``."""
        ...

    def resume(self) -> None:
        """Take the terminal again, whatever others have done to it, and draw."""
        ...

    def press(self, key: Key) -> None:
        """Do what a key means."""
        ...


def has_keys() -> bool:
    """Whether there is a terminal whose keys can be read."""
    return sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def terminal(display: Display, *, leave: Callable[[], None]) -> Iterator[None]:
    """Listen to the terminal of this process while the context is entered.

    It is entered before the display takes the screen, and left after it. On Windows there are no
    keys but Ctrl-C.

    Args:
        display: what is shown.
        leave: called when the user presses q or Ctrl-C, or a signal asks to end.
    """
    with _listening(display, leave):
        yield


if sys.platform == "win32":

    @contextmanager
    def _listening(_display: Display, _leave: Callable[[], None]) -> Iterator[None]:
        yield

else:
    _ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

    class _Keyboard:
        """Standard input as single keys."""

        def __init__(self, press: Callable[[Key], None], leave: Callable[[], None]) -> None:
            self._press = press
            self._leave = leave
            self._file = sys.stdin.fileno()
            self._reader = KeyReader()
            # The terminal's modes as they were; None while it is not ours.
            self._before: list[Any] | None = None

        def take(self) -> None:
            """Take the terminal; in the background this stops the process until it has it."""
            if self._before is None:
                self._wait_for_foreground()
                self._before = termios.tcgetattr(self._file)
                asyncio.get_running_loop().add_reader(self._file, self._read)
            self._set_modes()

        def _wait_for_foreground(self) -> None:
            """Stop while the terminal is another's: its modes are none to go back to."""
            with suppress(OSError):  # of a terminal that has no foreground
                if os.tcgetpgrp(self._file) != os.getpgrp():
                    signal.raise_signal(signal.SIGTTOU)

        def _set_modes(self) -> None:
            try:
                tty.setcbreak(self._file, termios.TCSADRAIN)
            except termios.error as error:  # which is no OSError
                raise OSError(*error.args) from error

        def give(self) -> None:
            """Leave the terminal as it was."""
            if self._before is not None:
                asyncio.get_running_loop().remove_reader(self._file)
                with suppress(termios.error):  # of one that is gone
                    termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
                self._before = None

        def _read(self) -> None:
            try:
                data = os.read(self._file, 1024)
            except OSError:  # the terminal is gone
                data = b""
            keys = self._reader.feed(data)
            if not data or Key.QUIT in keys:
                self._leave()
                return
            for key in keys:
                self._press(key)

    class _Signals:
        """What the system asks this process to do."""

        def __init__(
            self, display: Display, keyboard: _Keyboard | None, leave: Callable[[], None]
        ) -> None:
            self._display = display
            self._keyboard = keyboard
            self._handlers: dict[signal.Signals, Callable[[], None]] = {
                **dict.fromkeys(_ENDS, leave),
                signal.SIGWINCH: display.draw,
                signal.SIGTSTP: self._stop,
                signal.SIGCONT: self._go_on,
            }

        def listen(self) -> None:
            for number, handler in self._handlers.items():
                asyncio.get_running_loop().add_signal_handler(number, handler)

        def ignore(self) -> None:
            for number in self._handlers:
                asyncio.get_running_loop().remove_signal_handler(number)

        def _stop(self) -> None:
            """Stop as a program does that knows nothing of this signal, with a clean terminal."""
            loop = asyncio.get_running_loop()
            self._display.pause()
            if self._keyboard is not None:
                self._keyboard.give()
            loop.remove_signal_handler(signal.SIGTSTP)
            signal.raise_signal(signal.SIGTSTP)  # here this process stands until it is to go on
            loop.add_signal_handler(signal.SIGTSTP, self._stop)
            self._go_on()

        def _go_on(self) -> None:
            """Take the terminal again; also after a stop that could not be foreseen."""
            if self._keyboard is not None:
                self._keyboard.take()
            self._display.resume()

    @contextmanager
    def _listening(display: Display, leave: Callable[[], None]) -> Iterator[None]:
        keyboard = _Keyboard(display.press, leave) if has_keys() else None
        signals = _Signals(display, keyboard, leave)
        signals.listen()
        try:
            if keyboard is not None:
                keyboard.take()
            try:
                yield
            finally:
                if keyboard is not None:
                    keyboard.give()
        finally:
            signals.ignore()
