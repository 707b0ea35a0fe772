"""permessage-deflate (RFC 7692) without context takeover: the agreement, and what clients send.

A client and the hub agree that no message depends on another, so nothing is kept between two.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionName

from hub.feed.deflate import FLUSHED, WINDOW_BITS

__all__ = ["CompressedMessages", "TooLargeError", "inflate", "is_compressed", "negotiate"]

_NAME: Final = "permessage-deflate"
_ANSWER: Final = f"{_NAME}; server_no_context_takeover; client_no_context_takeover"
_LONGEST: Final = 1024  # characters of all offers; that of a browser has 50

_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_WORD: Final = r"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
_PARAMETER: Final = rf";[ \t]*+({_WORD})[ \t]*+(?:=[ \t]*+({_WORD}|{_QUOTED})[ \t]*+)?"
# Extensions, separated by commas (RFC 6455, section 9.1). What each says is looked at by itself.
_LIST: Final = re.compile(rf'(?:[^"]|{_QUOTED})*+')
_ELEMENT: Final = re.compile(rf'(?:[^",]|{_QUOTED})++')
_OFFER: Final = re.compile(rf"[ \t]*+{_NAME}[ \t]*+((?:{_PARAMETER})*+)")
_PARAMETERS: Final = re.compile(_PARAMETER)
_ESCAPED: Final = re.compile(r"\\(.)")

_BITS: Final = frozenset(str(bits) for bits in range(8, 16))
_VALUES: Final[Mapping[str, frozenset[str | None]]] = {
    "server_no_context_takeover": frozenset({None}),
    "client_no_context_takeover": frozenset({None}),
    "server_max_window_bits": _BITS,
    "client_max_window_bits": _BITS | {None},
}
"""What each parameter of an offer may be (RFC 7692, section 7.1); None is without a value."""


def negotiate(offers: str) -> str | None:
    """Return the answer to what a client offers; None declines all of it.

    The first offer is taken that is sound and leaves the hub a window as large as its own. That
    there is no context takeover the hub may demand, whatever the offer says of it; and what it does
    not demand of the client's window, the client may do as it likes.

    Args:
        offers: the value of ``Sec-WebSocket-Extensions``, several joined by commas; from anybody.
    """
    if len(offers) > _LONGEST or not _LIST.fullmatch(offers):
        return None
    answers = (_answer(element) for element in _ELEMENT.findall(offers))
    return next((answer for answer in answers if answer is not None), None)


def _answer(element: str) -> str | None:
    offer = _OFFER.fullmatch(element)
    if offer is None:
        return None
    found = list(_parameters(offer[1]))
    parameters = dict(found)
    if len(parameters) < len(found):  # one is there twice
        return None
    if any(value not in _VALUES.get(name, ()) for name, value in found):
        return None
    bits = parameters.get("server_max_window_bits")
    if bits is None:
        return _ANSWER
    return f"{_ANSWER}; server_max_window_bits={WINDOW_BITS}" if int(bits) >= WINDOW_BITS else None


def _parameters(text: str) -> Iterator[tuple[str, str | None]]:
    for name, value in _PARAMETERS.findall(text):
        yield name, _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value or None


class _CompressedFrame(Frame):
    """The first frame of a compressed message, as it has come."""


def is_compressed(frame: Frame) -> bool:
    """Say whether a message that begins with a frame is compressed."""
    return isinstance(frame, _CompressedFrame)


class CompressedMessages(Extension):
    """Has the library's parser accept compressed messages, and leaves them as they are.

    What a client sends too much of is not worth inflating, and the parser does not know of that. It
    keeps nothing: one may serve all parsers.
    """

    name = ExtensionName(_NAME)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:  # noqa: ARG002
        """Clear the bit that says so; where it may not be, the parser finds it."""
        if not frame.rsv1 or frame.opcode not in {Opcode.TEXT, Opcode.BINARY}:
            return frame
        return _CompressedFrame(
            frame.opcode, frame.data, frame.fin, rsv2=frame.rsv2, rsv3=frame.rsv3
        )

    def encode(self, frame: Frame) -> Frame:
        """Leave what the parser says as it is: pongs and closes."""
        return frame


class TooLargeError(Exception):
    """A message is larger than it may be."""


def inflate(data: bytes, size: int) -> bytes:
    """Return what a compressed message stands for, and never more of it than it may have.

    What comes behind the end that a client may have written itself is ignored.

    Args:
        data: all of the message: a decompressor that waited for the rest would take 40 KiB.
        size: bytes that the message may have.

    Raises:
        TooLargeError: it is too much.
        zlib.error: it is not compressed at all.
    """
    decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    # One byte more shows that it is too much; a limit of 0 would be none.
    inflated = decompressor.decompress(data + FLUSHED, size + 1)
    if len(inflated) > size:
        raise TooLargeError
    return inflated
