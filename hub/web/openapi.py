"""The contract of the HTTP routes in words for machines, as OpenAPI.

It is made of the parameters that read the requests and of the metrics that are on offer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hub.errors import RefusalReason
from hub.feed.catalog import Catalog
from hub.feed.query import COLUMNS, FEED, FEED_PATH, LATEST, RESTRICTED_FEED_PATH, Parameter
from hub.web.schemas import BEARER, INFO, TIMESTAMP, Object, family, refs, schemas

__all__ = ["openapi"]

_REFUSAL: Final[Object] = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What is wrong, in one line."},
        "parameter": {"type": "string", "description": "The parameter that is wrong."},
        "reason": {
            "type": "string",
            "description": "Why the request is refused.",
            "enum": [reason.value for reason in RefusalReason],
        },
    },
    "required": ["error"],
    "additionalProperties": False,
}


def openapi(catalog: Catalog, prefix: str = "", restricted: Iterable[str] = ()) -> Object:
    """Describe the HTTP routes, as OpenAPI 3.1.

    Args:
        catalog: what callers without a token may ask for.
        prefix: the path that the routes are mounted under.
        restricted: names of the families that a token gives besides; none where no token is known.
    """
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": prefix or "/"}],
        "paths": {
            FEED_PATH: {"get": _latest(catalog)},
            f"{FEED_PATH}/history": {"get": _history(catalog)},
            f"{FEED_PATH}/stream": {"get": _stream(catalog)},
            RESTRICTED_FEED_PATH: {"get": _restricted(restricted)},
            "/api/system/info": {"get": _info()},
            "/metrics": {"get": _figures()},
            "/livez": {"get": _health("live", "Whether the process serves at all")},
            "/readyz": {"get": _health("ready", "Whether clients may be sent here")},
            "/openapi.json": {"get": _document("openapi", "This document.")},
            "/asyncapi.json": {"get": _document("asyncapi", "The live feed's contract.")},
        },
        "components": {
            "schemas": {**schemas(catalog), "Columns": _columns(catalog), "Refusal": _REFUSAL},
            "securitySchemes": {"token": BEARER},
        },
    }


def _columns(catalog: Catalog) -> Object:
    column = {"type": "array", "items": {}}
    return {
        "type": "object",
        "description": "One list for each chosen metric, each as long as the list of timestamps.",
        "properties": {
            "timestamp": {"type": "array", "items": TIMESTAMP},
            **{m.name: {**column, "items": family(m)} for m in catalog.metrics},
        },
        "required": ["timestamp"],
        "additionalProperties": False,
    }


def _latest(catalog: Catalog) -> Object:
    responses = {
        "200": {
            "description": "The latest message. It costs no extra sampling.",
            "headers": {"ETag": {"schema": {"type": "string"}}},
            "content": {"application/json": {"schema": {"oneOf": refs("Sample", "Failure")}}},
        },
        "304": {"description": "The client has the latest message already."},
    }
    return _operation("latest", "The latest message", LATEST, catalog, responses)


def _history(catalog: Catalog) -> Object:
    rows = {"type": "array", "items": refs("Sample")[0]}
    content = {
        "application/json": {"schema": {"oneOf": [*refs("Columns"), rows]}},
        "text/csv": {"schema": {"type": "string"}},
    }
    responses = {"200": {"description": "The past, oldest first.", "content": content}}
    return _operation("history", "The past", COLUMNS, catalog, responses)


def _stream(catalog: Catalog) -> Object:
    event = {
        "type": "string",
        "description": "Each event's data is a message, its id the timestamp.",
    }
    responses = {
        "200": {"description": "The feed.", "content": {"text/event-stream": {"schema": event}}}
    }
    summary = "The live feed as server-sent events"
    resume: Object = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "A timestamp to resume after, as browsers send it. It replaces 'since'.",
        "schema": {"type": "string", "format": "date-time"},
    }
    return _operation("stream", summary, FEED, catalog, responses, resume)


def _restricted(families: Iterable[str]) -> Object:
    return {
        "operationId": "restricted",
        "summary": "Why a handshake for the authenticated feed is refused",
        "description": "For pages: browsers do not tell them. Takes the parameters of that feed.",
        "x-restricted-families": sorted(families),
        "security": [{"token": []}],
        "responses": {
            "400": _refusal("A parameter breaks its rule."),
            "401": _refusal("There is no valid token."),
            "403": _refusal("The Host or Origin header is not allowed."),
            "426": _refusal("The request is right, but is no WebSocket handshake."),
            "429": _refusal("Too many clients or requests come from the same address.", later=True),
            "503": _refusal("The hub is stopping, or has no room.", later=True),
        },
    }


def _operation(
    name: str,
    summary: str,
    parameters: Sequence[Parameter],
    catalog: Catalog,
    responses: Mapping[str, object],
    *headers: Object,
) -> Object:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*(_parameter(one, catalog) for one in parameters), *headers],
        "responses": {
            **responses,
            "400": _refusal("A parameter breaks its rule."),
            "403": _refusal("The Host or Origin header is not allowed."),
            "429": _refusal("Too many clients or requests come from the same address.", later=True),
            "503": _refusal("There is no sample yet, or no room.", later=True),
        },
    }


def _refusal(description: str, *, later: bool = False) -> Object:
    content = {"application/json": {"schema": refs("Refusal")[0]}}
    refusal: Object = {"description": description, "content": content}
    if later:
        refusal["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return refusal


def _parameter(parameter: Parameter, catalog: Catalog) -> Object:
    schema = parameter.schema(catalog)
    form = {"style": "form", "explode": False} if schema["type"] == "array" else {}
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
        **form,
    }


def _document(name: str, description: str) -> Object:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": name,
        "summary": description,
        "responses": {
            "200": {
                "description": description,
                "headers": {"ETag": {"schema": {"type": "string"}}},
                "content": content,
            },
            "304": {"description": "The client has the document already."},
            "403": _refusal("The Host or Origin header is not allowed."),
        },
    }


def _info() -> Object:
    text: Object = {"type": "string"}
    count: Object = {"type": "integer", "minimum": 0}
    known: Object = {
        "name": text,
        "system": text,
        "kernel": text,
        "cores": {"type": ["integer", "null"]},
        "memory": {**count, "description": "In bytes."},
        "boot_time": {**text, "format": "date-time"},
        "version": {"type": ["string", "null"], "description": "The hub's own."},
        "families": {"type": "array", "items": text},
    }
    schema: Object = {"type": "object", "properties": known, "required": list(known)}
    content: Object = {"application/json": {"schema": schema}}
    return {
        "operationId": "info",
        "summary": "What machine this is",
        "responses": {
            "200": {"description": "The machine.", "content": content},
            "403": _refusal("The Host or Origin header is not allowed."),
            "404": _refusal("The operator keeps it private."),
            "503": _refusal("The system does not provide it.", later=True),
        },
    }


def _figures() -> Object:
    text: Object = {"schema": {"type": "string"}}
    content = {"application/openmetrics-text": text, "text/plain": text}
    return {
        "operationId": "figures",
        "summary": "The hub's own figures, for Prometheus",
        "responses": {
            "200": {"description": "All figures. Nothing is sampled for them.", "content": content},
            "403": _refusal("The Host or Origin header is not allowed."),
        },
    }


def _health(name: str, summary: str) -> Object:
    content: Object = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "Yes.", "content": content},
            "503": {"description": "No, and why.", "content": content},
        },
    }
