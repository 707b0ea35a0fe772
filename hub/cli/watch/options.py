"""What to follow: a hub's address, and what to ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from hub.errors import InvalidValue
from hub.feed.query import FEED_PATH, RESTRICTED_FEED_PATH

__all__ = ["FeedOptions", "feed_url"]

_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def feed_url(field: str, text: str) -> str:
    """Return the address of a hub as that of a WebSocket, without the feed's own path.

    Args:
        field: the name under which the user knows it, for the error.
        text: the address of the hub's page or of one of its feeds, or just a host and port.

    Raises:
        InvalidValue: it is none of these.
    """
    rule = "an address such as ws://127.0.0.1:54112, without a query"
    try:
        parts = urlsplit(text if "//" in text else f"//{text}", scheme="ws")
        sound = parts.hostname and parts.hostname.encode("idna") and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.scheme not in _SCHEMES or parts.query or parts.fragment or "@" in text:
        raise InvalidValue(field, rule, text)
    path = parts.path.removesuffix(FEED_PATH).removesuffix(RESTRICTED_FEED_PATH).rstrip("/")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Which hub to follow, and what to ask of it.

    Attributes:
        url: address of the hub, as ``feed_url`` returns it.
        parameters: parameters of the feed, except those that are chosen anew for each connection.
        history: seconds of the past to begin with, as far as the hub keeps them.
        token: opens the restricted families; empty without.
    """

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    history: int = 0
    token: str = field(default="", repr=False)

    def address(self, more: Mapping[str, str]) -> str:
        """Return the address to connect to; ``more`` are parameters of this connection alone."""
        path = RESTRICTED_FEED_PATH if self.token else FEED_PATH
        query = urlencode({**self.parameters, **more}, safe=",:")
        return f"{self.url}{path}" + (f"?{query}" if query else "")

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the handshake, beside those that every client sends."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
