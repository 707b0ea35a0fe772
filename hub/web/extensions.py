"""What application and server say to each other beyond ASGI, in ``scope["extensions"]``.

A server may offer these; an application works without them, on any server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from hub.errors import CloseReason
from hub.feed.subscriber import Observer, Subscriber, Ticket
from hub.feed.view import View
from hub.settings import Settings

__all__ = ["ABORT_EXTENSION", "TAKEOVER_EXTENSION", "InboundBudget", "Takeover"]

ABORT_EXTENSION: Final = "hub.abort"
"""Of HTTP requests: a function that cuts the connection off, with all that its client has not
taken."""

TAKEOVER_EXTENSION: Final = "hub.takeover"
"""Of WebSocket connections: a ``Takeover``."""


class Takeover(Protocol):
    """A server's offer to take an accepted connection off the application's hands."""

    def prepare(self, *, compression: bool) -> None:
        """Make ready for it; to be called before the connection is accepted.

        ``compression`` says whether messages may be compressed, if the client offers that.
        """
        ...

    def take_over(
        self,
        view: View,
        settings: Settings,
        observer: Observer,
        left: Callable[[Subscriber], None],
        ticket: Ticket,
    ) -> Subscriber | None:
        """Turn the connection into a subscriber that writes to the transport by itself.

        The application then returns without another event. ``settings`` bound what a client
        that does not keep up may hold. ``left`` is called once, when the connection has ended,
        on whichever side. ``ticket`` is the subscriber's. None means that the connection is gone
        already.
        """
        ...


class InboundBudget:
    """How much a client may say, which has nothing to say: messages and their size."""

    MESSAGE_BYTES: Final = 4096
    MESSAGES: Final = 64
    SECONDS: Final = 1.0

    __slots__ = ("_count", "_since")

    def __init__(self) -> None:
        self._since = 0.0  # when the present second began, on the monotonic clock
        self._count = 0  # messages in it

    def check(self, size: int, now: float) -> CloseReason | None:
        """Count one message of ``size`` bytes at the monotonic time ``now``, in seconds.

        Returns the reason to end the connection, if there is one.
        """
        if size > self.MESSAGE_BYTES:
            return CloseReason.MESSAGE_TOO_BIG
        if now - self._since >= self.SECONDS:
            self._since, self._count = now, 0
        self._count += 1
        return CloseReason.TOO_MANY_MESSAGES if self._count > self.MESSAGES else None
