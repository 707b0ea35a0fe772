"""What a client says, as it comes: looked at only to see that it is what it says it is."""

from __future__ import annotations

import codecs
import zlib
from typing import Final

from websockets.frames import Frame, Opcode

from hub.errors import CloseReason
from hub.server.deflate import TooLargeError, inflate, is_compressed
from hub.web.extensions import InboundBudget

__all__ = ["Message"]

_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class Message:
    """A message of a client; it exists from its first frame to its last.

    Args:
        first: its first frame.
    """

    __slots__ = ("_compressed", "_text")

    def __init__(self, first: Frame) -> None:
        self._compressed = b"" if is_compressed(first) else None  # what has come of it
        self._text = _UTF8() if first.opcode is Opcode.TEXT else None

    def check(self, frame: Frame) -> CloseReason | None:
        """Take the next frame, the first included; say what is wrong with it, if anything is."""
        try:
            self.read(frame)
        except TooLargeError:
            return CloseReason.MESSAGE_TOO_BIG
        except zlib.error:
            return CloseReason.NOT_DEFLATE
        except UnicodeDecodeError:
            return CloseReason.NOT_TEXT
        return None

    def read(self, frame: Frame) -> bytes:
        """Return what the next frame says; of a compressed message, the last one says it all.

        Raises:
            TooLargeError: it becomes more than a message may be.
            zlib.error: it is not compressed, though it says so.
            UnicodeDecodeError: it is text, and not UTF-8 (RFC 6455, section 8.1).
        """
        data = bytes(frame.data)
        if self._compressed is not None:
            self._compressed += data  # which the parser bounds
            data = inflate(self._compressed, InboundBudget.MESSAGE_BYTES) if frame.fin else b""
        if self._text is not None:
            self._text.decode(data, final=frame.fin)
        return data
