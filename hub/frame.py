"""The encoded, immutable message of one view at one tick."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Frame"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, encoded once for every subscriber of its view.

    Attributes:
        payload: the JSON text as UTF-8, in one line.
        timestamp: the message's own; a client that has lost its connection resumes after it.
        text: the payload as ``str``, for interfaces that take text.
        wire: the complete WebSocket frame, ready for a socket. A server's frames are not
            masked, so without compression they are the same bytes for everyone.
    """

    payload: bytes
    timestamp: str = ""
    text: str = field(init=False, repr=False, compare=False)
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.payload.decode())
        object.__setattr__(self, "wire", _text_frame_header(len(self.payload)) + self.payload)

    @property
    def event(self) -> bytes:
        """The message as a server-sent event (HTML standard, section 9.2.5)."""
        return b"id: %b\ndata: %b\n\n" % (self.timestamp.encode(), self.payload)


def _text_frame_header(length: int) -> bytes:
    """Return the header of one unfragmented, unmasked text frame (RFC 6455, section 5.2)."""
    first = b"\x81"  # FIN, opcode 1
    if length < 126:
        return first + length.to_bytes(1)
    if length < 1 << 16:
        return first + b"\x7e" + length.to_bytes(2)
    return first + b"\x7f" + length.to_bytes(8)
