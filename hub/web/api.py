"""The feed over plain HTTP, and what operators ask of the hub."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
import orjson
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from hub.access.admission import Admission
from hub.errors import StreamClosed
from hub.feed.hub import Hub
from hub.feed.liveness import EpisodeLog
from hub.feed.query import COLUMNS, LATEST, FeedQuery
from hub.feed.subscriber import QueuedSubscriber
from hub.feed.view import Frame, View
from hub.sampling.snapshot import Snapshot, Value
from hub.web.openapi import asyncapi, openapi
from hub.web.prometheus import Telemetry

__all__ = ["FeedAPI", "HealthAPI"]

_PATIENCE: Final = 5.0
"""Seconds that a request for the latest message may wait: families that nobody has asked for yet
have to be sampled first, at the next tick or two."""

_RETRY_AFTER: Final = {"Retry-After": "5"}
_UNCACHED: Final = {"Cache-Control": "no-store"}
_ROWS: Final = 64  # a millisecond's work at the most


class FeedAPI:
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
        self._hub.check_view_capacity(view)
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
        self._admission.admit_attempt(request.scope)
        self._admission.authenticate(request.scope)
        self._hub.check_view_capacity(self._hub.request(_query(request), restricted=True).view)
        protocol = {"Upgrade": "websocket", "Connection": "Upgrade"}
        headers = protocol if request.scope["http_version"].startswith("1") else {}
        return JSONResponse({"error": "this feed takes a WebSocket"}, 426, headers)

    async def openapi(self, request: HTTPRequest) -> Response:
        """Answer with the contract of the HTTP routes."""
        prefix = request.scope.get("root_path", "")
        return JSONResponse(openapi(self._hub.catalog(), prefix))

    async def asyncapi(self, request: HTTPRequest) -> Response:
        """Answer with the contract of the live feed."""
        prefix, url = request.scope.get("root_path", ""), request.url
        secure = url.scheme == "https"
        offers = (self._hub.catalog(), self._hub.catalog(restricted=True))
        return JSONResponse(asyncapi(*offers, url.netloc, prefix, secure=secure))

    async def history(self, request: HTTPRequest) -> Response:
        """Answer with the past of a view in columns, one of timestamps and one for each metric."""
        wanted = self._hub.request(_query(request), COLUMNS)
        self._hub.start()
        columns = self._columns(wanted)
        return StreamingResponse(columns, 200, {"Cache-Control": "no-cache"}, "application/json")

    async def _columns(self, wanted: FeedQuery) -> AsyncIterator[bytes]:
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

    async def _past(self, wanted: FeedQuery) -> AsyncIterator[Snapshot]:
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


class HealthAPI:
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


def _query(request: HTTPRequest) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _matches(wanted: str, tag: str) -> bool:
    """Say whether an If-None-Match header names an entity tag (RFC 9110, section 13.1.2)."""
    tags = {one.strip().removeprefix("W/") for one in wanted.split(",")}
    return tag in tags or wanted.strip() == "*"
