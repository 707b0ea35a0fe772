"""The opening handshake of a WebSocket (RFC 6455, section 4.2), in the form in which most come.

A rush of clients is mostly such handshakes. uvicorn and the library would copy and look at each of
their headers four times; here they are looked at once. Whatever is unusual is left to the library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.utils import accept_key

__all__ = ["Opening", "names_subprotocols", "read_opening"]

_BYTES: Final = 4096
_LINES: Final = 64
_PLAIN: Final = re.compile(
    rb"GET ([!-~]+) HTTP/1\.1((?:\r\n[-!#$%&'*+.^_`|~0-9a-zA-Z]++:[\t -~\x80-\xff]*+)*+)\r\n\r\n"
)
_BODY: Final = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")  # sixteen bytes in base64


@dataclass(frozen=True)
class Opening:
    """The request that opens a WebSocket, with nothing but a head.

    Attributes:
        target: what is asked for, as it was sent.
        headers: names, as servers pass them on in lower case, and values.
    """

    target: bytes
    headers: list[tuple[bytes, bytes]]

    @property
    def offers_extensions(self) -> bool:
        """Whether the client offers any."""
        return any(name == b"sec-websocket-extensions" for name, _ in self.headers)

    def request(self) -> Request:
        """Return it as the library has requests."""
        headers = Headers()
        for name, value in self.headers:
            headers[name.decode("ascii")] = value.decode("latin-1")
        return Request(self.target.decode("ascii"), headers)

    def accept_key(self) -> bytes:
        """Return what an answer that accepts shows; b"" where the library has to decide.

        That is where a header comes twice or is not in its usual form, or a subprotocol is named.
        """
        given = dict(self.headers)
        if len(given) < len(self.headers) or b"sec-websocket-protocol" in given:
            return b""
        key = given.get(b"sec-websocket-key", b"")
        is_sound = (
            given.get(b"upgrade", b"").lower() == b"websocket"
            and given.get(b"sec-websocket-version") == b"13"
            and _names_upgrade(given.get(b"connection", b""))
            and _KEY.fullmatch(key) is not None
        )
        return accept_key(key.decode("ascii")).encode() if is_sound else b""


def _names_upgrade(connection: bytes) -> bool:
    return connection.lower() in {b"upgrade", b"keep-alive, upgrade"}


def read_opening(data: bytes) -> Opening | None:
    """Read an opening request in the form in which uvicorn's HTTP protocols pass it on.

    They have parsed it already. Returns None for whatever is not plain.
    """
    head = _PLAIN.fullmatch(data) if len(data) <= _BYTES else None
    if head is None or _BODY.search(data):
        return None
    lines = head[2].split(b"\r\n")
    if len(lines) > _LINES + 1:
        return None
    headers = []
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers.append((name, value.strip(b" \t")))
    return Opening(head[1], headers)


def names_subprotocols(headers: Headers) -> bool:
    """Say whether subprotocols are named as they have to be (RFC 6455, section 4.1).

    The library would repeat in its answer what is wrong, which may be a token.
    """
    try:
        for value in headers.get_all("Sec-WebSocket-Protocol"):
            parse_subprotocol(value)
    except InvalidHeaderFormat:
        return False
    return True
