"""The live feed as server-sent events."""

from __future__ import annotations

import random
from typing import Final

from starlette.requests import Request as HTTPRequest
from starlette.types import Receive, Scope, Send

from hub.access.admission import Admission, Ticket, Transport
from hub.errors import InvalidValue
from hub.feed.hub import Hub
from hub.feed.query import FEED, FeedQuery, read
from hub.web.extensions import ABORT_EXTENSION
from hub.web.pump import EventPump

__all__ = ["EventStream"]

_RETRY_MILLISECONDS: Final = (1000, 5000)
_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx's way to be told not to gather the answer
]


class EventStream:
    """The live feed as server-sent events; an ASGI application for GET and HEAD."""

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub = hub
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client until it leaves or the hub ends the stream.

        Raises:
            InvalidValue: the query asks for what the hub does not offer.
            Refused: the client may not come in; nothing has been sent yet.
        """
        self._admission.admit_attempt(scope)
        wanted = _resumed(HTTPRequest(scope), self._hub)
        self._hub.check_view_capacity(wanted.view)
        ticket = self._admission.acquire(scope, Transport.EVENTS)
        try:
            self._hub.start()
            await self._serve(wanted, ticket, scope, receive, send)
        finally:
            self._admission.release(ticket)

    async def _serve(
        self, wanted: FeedQuery, ticket: Ticket, scope: Scope, receive: Receive, send: Send
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
            wanted.view, hub.settings.queue, hub.watch, name=ticket, send=send, abort=abort
        )
        hub.add(pump, history=wanted.history, since=wanted.since)
        try:
            await pump.run(receive)
        finally:
            hub.remove(pump)


def _resumed(request: HTTPRequest, hub: Hub) -> FeedQuery:
    """Read what is asked for; a browser that comes back asks for what came since.

    It repeats its first request and adds the last id it has seen (HTML standard, section 9.2.3),
    which then takes the place of whatever the request says of the past.
    """
    wanted = hub.request(_query(request), FEED)
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return wanted
    try:
        since = read({"since": last}, FEED, hub.catalog()).since
    except InvalidValue as error:
        raise InvalidValue("Last-Event-ID", error.rule, error.value) from None
    return FeedQuery(wanted.view, since=since)


def _query(request: HTTPRequest) -> bytes:
    query: bytes = request.scope["query_string"]
    return query
