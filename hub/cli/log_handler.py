"""A log handler that never waits: a reader of the log that stands still holds up no client."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final, TextIO

__all__ = ["BackgroundHandler", "stream_writer"]

_CLOSE_SECONDS: Final = 1.0
_WRITE_LENGTH: Final = 2048
"""Characters after which no line is added to a write, which is then whole in a shared pipe too."""


class BackgroundHandler(logging.Handler):
    """Formats records where they are logged, and writes them in a thread of its own.

    Lines wait in a queue. When it is full, further ones are left out and counted until half of it
    is written; one line then says how many they were.

    ``logging.handlers.QueueHandler`` does not serve: it flattens exceptions before the formatter
    sees them, and ``queue.Queue`` may not be used by a signal handler.

    Args:
        write: writes a text, however long that takes.
        capacity: characters that may wait to be written.
        pause: seconds after the queue was emptied: a thread that wakes up for each line of many
            costs the event loop more than the lines do.
    """

    CAPACITY: Final = 500_000

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        capacity: int = CAPACITY,
        pause: float = 0.05,
    ) -> None:
        super().__init__()
        self._write = write
        self._capacity = capacity
        self._pause = pause
        # Lines to be written; None ends the thread.
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        # Characters put into the queue, counted under the handler's lock.
        self._queued = 0
        # Characters taken out of it and written, counted by the thread alone.
        self._written = 0
        # Lines left out since the queue was full, under the lock; 0 while there is room.
        self._left_out = 0
        # Set once no further line is queued; also ends the thread's pause.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; called with the handler's lock held. Does not wait."""
        try:
            if self._closing.is_set():
                self._write_late(record)
            elif not self._has_room():
                self._left_out += 1
            else:
                self._put_notice()
                self._put(record)
        except Exception:  # as every handler does
            self.handleError(record)

    def close(self) -> None:
        """Write what is queued, for a second at the most, and end the thread."""
        with self._locked():
            if self._closing.is_set():
                return
            self._put_notice()
            self._lines.put(None)
            self._closing.set()
        self._thread.join(_CLOSE_SECONDS)
        super().close()

    def _has_room(self) -> bool:
        waiting = self._queued - self._written
        return waiting < (self._capacity // 2 if self._left_out else self._capacity)

    def _put_notice(self) -> None:
        """Queue the line that says how many were left out, if any were."""
        if self._left_out:
            count, self._left_out = self._left_out, 0
            text = "%d log lines were left out: they were not read in time"
            self._put(logging.LogRecord("hub", logging.WARNING, "", 0, text, (count,), None))

    def _put(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n"
        self._queued += len(line)
        self._lines.put(line)

    def _write_late(self, record: logging.LogRecord) -> None:
        """Write at once what is logged while the interpreter ends, unless the writer is stuck."""
        if not self._thread.is_alive():
            self._write(f"{self.format(record)}\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _run(self) -> None:
        while text := self._next_text():
            with contextlib.suppress(OSError, ValueError):  # the stream is closed, the disk full
                self._write(text)
            self._written += len(text)
            if self._lines.empty():
                if self._left_out:
                    with self._locked():
                        self._put_notice()
                self._closing.wait(self._pause)

    def _next_text(self) -> str:
        """Wait for lines; return those that may be written at once, or nothing at the end."""
        text = ""
        while len(text) < _WRITE_LENGTH:
            line = self._lines.get()
            if line is None:
                self._lines.put(None)  # it stays the last
                break
            text += line
            if self._lines.empty():
                break
        return text


def stream_writer(stream: TextIO | None) -> Callable[[str], object]:
    """Return a function that writes to a stream without using its locks.

    A thread that waits in ``stream.write`` holds them, and the interpreter needs them to end.

    Args:
        stream: where to write; None, as ``sys.stderr`` may be, takes everything and keeps nothing.
    """
    if stream is None:
        return len
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # in memory
        return stream.write
    encoding = stream.encoding

    def write(text: str) -> None:
        data = text.encode(encoding, "backslashreplace")
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:  # another process may have made it so
                select.select([], [descriptor], [])

    return write
