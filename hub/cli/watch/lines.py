"""The feed as lines of text, for other programs and for files."""

from __future__ import annotations

import sys

from hub.cli.watch.message import Message
from hub.cli.watch.viewer import Phase, State
from hub.text import one_line

__all__ = ["Lines", "OutputClosed"]


class OutputClosed(Exception):
    """Standard output cannot be written any more; the ``OSError`` is the cause."""


class Lines:
    """A viewer that writes each message as it came, in a line on standard output.

    A slow reader holds up this process alone: it then takes nothing from the hub, which drops the
    oldest messages. What is wrong with the connection is written on standard error.

    Args:
        program: name of this process, with which lines on standard error begin.
    """

    def __init__(self, program: str) -> None:
        self._program = program

    def show(self, message: Message) -> None:
        """See ``Viewer``.

        Raises:
            OutputClosed: the line could not be written.
        """
        try:
            sys.stdout.buffer.write(f"{message.text}\n".encode())  # JSON is UTF-8 everywhere
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OutputClosed(error.strerror) from error

    def on_state(self, state: State) -> None:
        """See ``Viewer``."""
        if state.phase is Phase.RECONNECTING:
            self._complain(f"{state.reason}; next try in {state.seconds:.0f} s")
        elif state.phase is Phase.UNREADABLE:
            self._complain(state.reason)

    def _complain(self, text: str) -> None:
        sys.stderr.write(one_line(f"{self._program}: {text}", 300) + "\n")
