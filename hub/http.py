"""The feed over plain HTTP, and what operators ask of the hub."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
import orjson
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hub.admission import Admission, Transport, Visit
from hub.core import Hub
from hub.description import asyncapi, openapi
from hub.errors import InvalidValue, StreamClosed
from hub.frame import Frame
from hub.pump import ABORT_EXTENSION, EventPump
from hub.request import COLUMNS, FEED, LATEST, Request, read
from hub.snapshot import Snapshot, Value
from hub.stall import EpisodeLog
from hub.subscriber import QueuedSubscriber
from hub.telemetry import Telemetry
from hub.view import View

__all__ = ["EventStream", "Operations", "Queries"]

_PATIENCE: Final = 5.0
"""Seconds that a request for the latest message may wait: families that nobody has asked for yet
have to be sampled first, at the next tick or two."""

_RETRY_AFTER: Final = {"Retry-After": "5"}
_UNCACHED: Final = {"Cache-Control": "no-store"}
_ROWS: Final = 64  # a millisecond's work at the most
_RETRY_MILLISECONDS: Final = (1000, 5000)
_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx's way to be told not to gather the answer
]


class Queries:
    """The endpoints that answer at once; none of them makes the hub sample more often.

    Each raises InvalidValue for what the hub does not offer, and Refused for what it has no
    room for.
    """

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub = hub
        self._admission = admission
        self._working = anyio.Lock(fast_acquire=True)

    async def latest(self, request: HTTPRequest) -> Response:
        """Answer with the latest message of a view, or with 304 to who has it already."""
        view = self._hub.request(_query(request), LATEST).view
        self._hub.admit(view)
        self._hub.start()
        frame = await self._frame(view)
        if frame is None:
            return JSONResponse({"error": "there is no sample yet"}, 503, _RETRY_AFTER)
        tag = f'"{hashlib.blake2b(frame.payload, digest_size=12).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if _matches(request.headers.get("If-None-Match", ""), tag):
            return Response(None, 304, headers)
        return Response(frame.payload, 200, headers, "application/json")

    async def _frame(self, view: View) -> Frame | None:
        """Subscribe for as long as one message takes."""
        subscriber = QueuedSubscriber(view, 1, EpisodeLog(), name="of the latest message")
        self._hub.add(subscriber)
        try:
            with anyio.move_on_after(_PATIENCE):
                return await subscriber.receive()
        except StreamClosed:
            pass
        finally:
            self._hub.remove(subscriber)
        return None

    async def restricted(self, request: HTTPRequest) -> Response:
        """Say what is wrong with a request for the authenticated feed, if only the protocol is.

        Browsers do not tell pages why a WebSocket was refused; this does.
        """
        self._admission.knock(request.scope)
        self._admission.authenticate(request.scope)
        self._hub.admit(self._hub.request(_query(request), restricted=True).view)
        protocol = {"Upgrade": "websocket", "Connection": "Upgrade"}
        headers = protocol if request.scope["http_version"].startswith("1") else {}
        return JSONResponse({"error": "this feed takes a WebSocket"}, 426, headers)

    async def openapi(self, request: HTTPRequest) -> Response:
        """Answer with the contract of the HTTP routes."""
        prefix = request.scope.get("root_path", "")
        return JSONResponse(openapi(self._hub.offer(), prefix))

    async def asyncapi(self, request: HTTPRequest) -> Response:
        """Answer with the contract of the live feed."""
        prefix, url = request.scope.get("root_path", ""), request.url
        secure = url.scheme == "https"
        offers = (self._hub.offer(), self._hub.offer(restricted=True))
        return JSONResponse(asyncapi(*offers, url.netloc, prefix, secure=secure))

    async def history(self, request: HTTPRequest) -> Response:
        """Answer with the past of a view in columns, one of timestamps and one for each metric."""
        wanted = self._hub.request(_query(request), COLUMNS)
        self._hub.start()
        columns = self._columns(wanted)
        return StreamingResponse(columns, 200, {"Cache-Control": "no-cache"}, "application/json")

    async def _columns(self, wanted: Request) -> AsyncIterator[bytes]:
        """Encode the columns piece by piece, as fast as the client takes them."""
        snapshots = [snapshot async for snapshot in self._past(wanted)]
        opening = b"{"
        for name in ("timestamp", *wanted.view.metrics):
            yield b'%b"%b":[' % (opening, name.encode())
            for first in range(0, len(snapshots), _ROWS):
                async with self._turn():
                    values = _values(snapshots[first : first + _ROWS], name)
                    piece = orjson.dumps(values)[1:-1]
                yield b"," + piece if first else piece
            opening = b"],"
        yield b"]}"

    async def _past(self, wanted: Request) -> AsyncIterator[Snapshot]:
        past = self._hub.past(wanted.view, wanted.history)
        while True:
            async with self._turn():
                snapshots = list(itertools.islice(past, _ROWS))
            if not snapshots:
                return
            for snapshot in snapshots:
                yield snapshot

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Work for a moment, of which the event loop has one between any two things it does.

        However many ask for the past at once, they hold up nobody else.
        """
        async with self._working:
            yield
            await asyncio.sleep(0)


def _values(snapshots: Sequence[Snapshot], name: str) -> list[Value | None]:
    if name == "timestamp":
        return [snapshot.timestamp for snapshot in snapshots]
    return [snapshot.value(name) for snapshot in snapshots]


class Operations:
    """What those who run the hub ask of it: whether it is well, and its figures."""

    def __init__(self, hub: Hub, telemetry: Telemetry) -> None:
        self._hub = hub
        self._telemetry = telemetry

    async def live(self, _request: HTTPRequest) -> Response:
        """Answer as long as the event loop turns."""
        return PlainTextResponse("ok\n", headers=_UNCACHED)

    async def ready(self, _request: HTTPRequest) -> Response:
        """Answer with 200 if clients may be sent here, else with 503 and the reason."""
        self._hub.start()
        reason = self._hub.unready()
        if reason is None:
            return PlainTextResponse("ready\n", headers=_UNCACHED)
        return PlainTextResponse(f"not ready: {reason}\n", 503, headers=_UNCACHED)

    async def figures(self, request: HTTPRequest) -> Response:
        """Answer with all figures, as OpenMetrics or in the older text format."""
        body, media_type = self._telemetry.expose(request.headers.get("Accept", ""))
        return Response(body, headers={**_UNCACHED, "Content-Type": media_type})


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
        self._admission.knock(scope)
        wanted = _resumed(HTTPRequest(scope), self._hub)
        self._hub.admit(wanted.view)
        visit = self._admission.enter(scope, Transport.EVENTS)
        try:
            self._hub.start()
            await self._serve(wanted, visit, scope, receive, send)
        finally:
            self._admission.leave(visit)

    async def _serve(
        self, wanted: Request, visit: Visit, scope: Scope, receive: Receive, send: Send
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
            wanted.view, hub.settings.queue, hub.watch, name=visit, send=send, abort=abort
        )
        hub.add(pump, history=wanted.history, since=wanted.since)
        try:
            await pump.run(receive)
        finally:
            hub.remove(pump)


def _resumed(request: HTTPRequest, hub: Hub) -> Request:
    """Read what is asked for; a browser that comes back asks for what came since.

    It repeats its first request and adds the last id it has seen (HTML standard, section 9.2.3),
    which then takes the place of whatever the request says of the past.
    """
    wanted = hub.request(_query(request), FEED)
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return wanted
    try:
        since = read({"since": last}, FEED, hub.offer()).since
    except InvalidValue as error:
        raise InvalidValue("Last-Event-ID", error.rule, error.value) from None
    return Request(wanted.view, since=since)


def _query(request: HTTPRequest) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _matches(wanted: str, tag: str) -> bool:
    """Say whether an If-None-Match header names an entity tag (RFC 9110, section 13.1.2)."""
    tags = {one.strip().removeprefix("W/") for one in wanted.split(",")}
    return tag in tags or wanted.strip() == "*"
