"""The feed over plain HTTP, and what operators ask of the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from hub.errors import Refused
from hub.feed.hub import Hub
from hub.feed.query import COLUMNS, FEED, LATEST, FeedQuery
from hub.sampling.identity import machine_identity
from hub.web.asyncapi import asyncapi
from hub.web.document import Documents, entity_tag, matches
from hub.web.entry import Entry, Way
from hub.web.openapi import openapi
from hub.web.past import MEDIA_TYPES, check_size, encode_past
from hub.web.prometheus import Telemetry
from hub.web.version import installed_version

__all__ = ["FeedAPI", "HealthAPI"]

_WAIT_SECONDS: Final = 3.0
"""How long a request for the latest message may wait: families that no view shows yet have to be
sampled first, at the next tick or two."""

_RETRY_AFTER: Final = {"Retry-After": "5"}
_UNCACHED: Final = {"Cache-Control": "no-store"}


class FeedAPI:
    """The endpoints that answer at once; none of them makes the hub sample more often.

    Each raises InvalidValue for what the hub does not offer, and Refused for callers that may not
    come in and for what there is no room for.

    Args:
        hub: whose feed it is.
        entry: lets callers in.
    """

    _LATEST: Final = Way(LATEST)
    _HISTORY: Final = Way(COLUMNS)
    _RESTRICTED: Final = Way(FEED, restricted=True, follows=True)

    def __init__(self, hub: Hub, entry: Entry) -> None:
        self._hub = hub
        self._entry = entry
        self._documents = Documents()

    async def latest(self, request: Request) -> Response:
        """Answer with the latest message of a view, or with 304 to a client that has it already."""
        query, _ = self._entry.enter(request.scope, self._LATEST)
        metrics = self._hub.catalog().named(query.view.metrics)
        frame = await self._hub.latest_frames.get(query.view, metrics, _WAIT_SECONDS)
        if frame is None:
            return JSONResponse({"error": "there is no sample yet"}, 503, _RETRY_AFTER)
        tag = entity_tag(frame.payload)
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if matches(request.headers.get("If-None-Match", ""), tag):
            return Response(None, 304, headers)
        return Response(frame.payload, 200, headers, "application/json")

    async def restricted(self, request: Request) -> Response:
        """Say what is wrong with a request for the authenticated feed, if only the protocol is.

        Browsers do not tell pages why a WebSocket was refused; this does.
        """
        self._entry.enter(request.scope, self._RESTRICTED)
        protocol = {"Upgrade": "websocket", "Connection": "Upgrade"}
        headers = protocol if request.scope["http_version"].startswith("1") else {}
        return JSONResponse({"error": "this feed needs a WebSocket"}, 426, headers)

    async def history(self, request: Request) -> Response:
        """Answer with the past of a view: in columns, in rows, or as CSV."""
        query, _ = self._entry.enter(request.scope, self._HISTORY)
        check_size(self._hub.history, query.view, query.history)
        headers, media_type = {"Cache-Control": "no-cache"}, MEDIA_TYPES[query.format]
        return StreamingResponse(self._past(query), 200, headers, media_type)

    async def _past(self, query: FeedQuery) -> AsyncIterator[bytes]:
        """Encode an answer piece by piece, as fast as the client takes it."""
        hub = self._hub
        metrics = hub.catalog().named(query.view.metrics)
        async for piece in hub.slicer.iterate(encode_past(hub.history, query, metrics)):
            yield piece

    async def info(self, _request: Request) -> Response:
        """Answer with what machine this is, unless the operator keeps that private."""
        if not self._hub.settings.identity:
            text = "this hub keeps private what machine it is on (--no-identity)"
            return JSONResponse({"error": text}, 404)
        try:
            identity = asdict(machine_identity())
        except OSError as error:
            return JSONResponse({"error": str(error)}, 503, _RETRY_AFTER)
        families = self._hub.catalog().names
        identity["name"] = self._hub.settings.name or identity["name"]
        body = {**identity, "version": installed_version(), "families": families}
        return JSONResponse(body, 200, {"Cache-Control": "no-cache"})

    async def openapi(self, request: Request) -> Response:
        """Answer with the contract of the HTTP routes."""
        prefix = request.scope.get("root_path", "")
        catalog = self._hub.catalog()
        restricted = catalog.withheld if self._hub.settings.tokens else ()
        return self._documents.answer(request, openapi(catalog, prefix, restricted))

    async def asyncapi(self, request: Request) -> Response:
        """Answer with the contract of the live feed."""
        prefix, url = request.scope.get("root_path", ""), request.url
        secure = url.scheme == "https"
        offers = (self._hub.catalog(), self._hub.catalog(restricted=True))
        document = asyncapi(*offers, url.netloc, prefix, secure=secure)
        return self._documents.answer(request, document)


class HealthAPI:
    """What operators ask of the hub: whether it is well, and its figures.

    Args:
        hub: to be asked.
        telemetry: makes the figures.
    """

    def __init__(self, hub: Hub, telemetry: Telemetry) -> None:
        self._hub = hub
        self._telemetry = telemetry

    async def live(self, _request: Request) -> Response:
        """Answer as long as the event loop turns."""
        return PlainTextResponse("ok\n", headers=_UNCACHED)

    async def ready(self, _request: Request) -> Response:
        """Answer with 200 if clients may be sent here, else with 503 and the reason."""
        try:
            self._hub.start()
            reason = self._hub.unready()
        except Refused as error:
            reason = str(error)
        if reason is None:
            return PlainTextResponse("ready\n", headers=_UNCACHED)
        return PlainTextResponse(f"not ready: {reason}\n", 503, headers=_UNCACHED)

    async def metrics(self, request: Request) -> Response:
        """Answer with all figures, as OpenMetrics or in the older text format."""
        body, media_type = self._telemetry.expose(request.headers.get("Accept", ""))
        return Response(body, headers={**_UNCACHED, "Content-Type": media_type})
