"""The live feed as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

import logging
import random
from typing import Final

from starlette.types import Receive, Scope, Send

from hub.access.admission import Ticket, Transport
from hub.feed.hub import Hub
from hub.feed.query import FeedQuery
from hub.web.entry import Entry, Way
from hub.web.extensions import ABORT_EXTENSION
from hub.web.pump import EventPump

__all__ = ["EventStream"]

_logger = logging.getLogger("hub")

_RETRY_MILLISECONDS: Final = (1000, 5000)
_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx's way to be told not to gather the answer
]


class EventStream:
    """The live feed as server-sent events; an ASGI application for GET and HEAD.

    Args:
        hub: whose feed it is.
        entry: lets clients in.
    """

    _WAY: Final = Way.to_follow(Transport.EVENTS, resumes=True)

    def __init__(self, hub: Hub, entry: Entry) -> None:
        self._hub = hub
        self._entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client until it leaves or the hub ends the stream.

        Raises:
            InvalidValue: the query asks for what the hub does not offer.
            Refused: the client may not come in; nothing has been sent yet.
        """
        query, ticket = self._entry.enter(scope, self._WAY)
        try:
            await self._serve(query, ticket, scope, receive, send)
        finally:
            ticket.release()

    async def _serve(
        self, query: FeedQuery, ticket: Ticket, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        delay = random.randint(*_RETRY_MILLISECONDS)  # noqa: S311 # so that not all come at once
        # A field of the first event: not all clients pass over an event without data.
        body = b"retry: %d\n" % delay
        await send({"type": "http.response.body", "body": body, "more_body": True})
        hub, abort = self._hub, scope.get("extensions", {}).get(ABORT_EXTENSION)
        pump = EventPump(
            query.view, hub.settings.queue, hub.watch, ticket=ticket, send=send, abort=abort
        )
        hub.add(pump, history=query.history, since=query.since)
        try:
            await pump.run(receive)
        finally:
            hub.remove(pump)
        if pump.failure is not None:
            _logger.error("Public metrics event stream error: %r", pump.failure)
