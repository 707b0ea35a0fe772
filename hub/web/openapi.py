"""The contract in words for machines: OpenAPI for the HTTP routes, AsyncAPI for the live feed.

Both are made of the parameters that read the requests and of the metrics that are on catalog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from hub.errors import RefusalReason
from hub.feed.catalog import Catalog
from hub.feed.query import COLUMNS, FEED, FEED_PATH, LATEST, RESTRICTED_FEED_PATH, Parameter

__all__ = ["asyncapi", "openapi"]

_Object: TypeAlias = dict[str, object]

_VERSION: Final = "1.0.0"
_INFO: Final = {
    "title": "System metrics",
    "version": _VERSION,
    "description": "One machine's metrics, sampled once an interval for all clients.",
}
_TIMESTAMP: Final = {
    "type": "string",
    "format": "date-time",
    "description": "When the sample was taken: RFC 3339, UTC, six fractional digits.",
    "examples": ["2025-11-10T12:30:45.123456+00:00"],
}
_SEQ: Final = {"type": "integer", "description": "The view's own counter, one more each time."}
_FAILURE: Final[_Object] = {
    "type": "object",
    "description": "Sent in place of a sample of which a chosen metric could not be collected.",
    "properties": {
        "error": {"type": "string", "maxLength": 200},
        "timestamp": _TIMESTAMP,
        "seq": _SEQ,
    },
    "required": ["error", "timestamp"],
    "additionalProperties": False,
}
_TOKEN: Final = {"$ref": "#/components/securitySchemes/token"}
_BEARER: Final[_Object] = {
    "type": "http",
    "scheme": "bearer",
    "description": "In browsers the subprotocols 'metrics.v1, bearer.TOKEN' do instead.",
}
_REFUSAL: Final[_Object] = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What is wrong, in one line."},
        "parameter": {"type": "string", "description": "The parameter that is."},
        "reason": {
            "type": "string",
            "description": "Why the caller is not let in.",
            "enum": [reason.value for reason in RefusalReason],
        },
    },
    "required": ["error"],
    "additionalProperties": False,
}


def openapi(catalog: Catalog, prefix: str = "") -> _Object:
    """Describe the HTTP routes, as OpenAPI 3.1; ``prefix`` is the path they are mounted under."""
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": prefix or "/"}],
        "paths": {
            FEED_PATH: {"get": _latest(catalog)},
            f"{FEED_PATH}/history": {"get": _history(catalog)},
            f"{FEED_PATH}/stream": {"get": _stream(catalog)},
            RESTRICTED_FEED_PATH: {"get": _restricted()},
            "/metrics": {"get": _figures()},
            "/livez": {"get": _health("live", "Whether the process serves at all")},
            "/readyz": {"get": _health("ready", "Whether clients may be sent here")},
            "/openapi.json": {"get": _document("openapi", "This document.")},
            "/asyncapi.json": {"get": _document("asyncapi", "The live feed's contract.")},
        },
        "components": {
            "schemas": {**_schemas(catalog), "Columns": _columns(catalog), "Refusal": _REFUSAL},
            "securitySchemes": {"token": _BEARER},
        },
    }


def _schemas(catalog: Catalog) -> _Object:
    return {"Sample": _sample(catalog), "Failure": _FAILURE}


def _sample(catalog: Catalog) -> _Object:
    return {
        "type": "object",
        "description": "The chosen metrics; null is what failed in a partial view.",
        "properties": {
            **{
                metric.name: _or_null(metric.description, metric.schema)
                for metric in catalog.metrics
            },
            "errors": {
                "type": "object",
                "description": "In a partial view, why a metric is null, by its name.",
                "additionalProperties": {"type": "string", "maxLength": 200},
            },
            "timestamp": _TIMESTAMP,
            "seq": _SEQ,
        },
        "required": ["timestamp"],
        "additionalProperties": False,
    }


def _or_null(description: str, schema: Mapping[str, object]) -> _Object:
    described: _Object = {"description": description} if description else {}
    return {**described, "anyOf": [dict(schema), {"type": "null"}]} if schema else described


def _columns(catalog: Catalog) -> _Object:
    column = {"type": "array", "items": {}}
    return {
        "type": "object",
        "description": "One list for each chosen metric, all as long as that of the timestamps.",
        "properties": {
            "timestamp": {"type": "array", "items": _TIMESTAMP},
            **{
                m.name: {**column, "items": _or_null(m.description, m.schema)}
                for m in catalog.metrics
            },
        },
        "required": ["timestamp"],
        "additionalProperties": False,
    }


def _latest(catalog: Catalog) -> _Object:
    responses = {
        "200": {
            "description": "The latest message. It costs no extra sampling.",
            "headers": {"ETag": {"schema": {"type": "string"}}},
            "content": {"application/json": {"schema": {"oneOf": _refs("Sample", "Failure")}}},
        },
        "304": {"description": "The client has the latest message already."},
    }
    return _operation("latest", "The latest message", LATEST, catalog, responses)


def _history(catalog: Catalog) -> _Object:
    content = {"application/json": {"schema": _refs("Columns")[0]}}
    responses = {"200": {"description": "The past, oldest first.", "content": content}}
    return _operation("history", "The past in columns", COLUMNS, catalog, responses)


def _stream(catalog: Catalog) -> _Object:
    event = {
        "type": "string",
        "description": "Each event's data is a message, its id the timestamp.",
    }
    responses = {
        "200": {"description": "The feed.", "content": {"text/event-stream": {"schema": event}}}
    }
    summary = "The live feed as server-sent events"
    resume: _Object = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "A timestamp to resume after, as browsers send it; goes before the query.",
        "schema": {"type": "string", "format": "date-time"},
    }
    return _operation("stream", summary, FEED, catalog, responses, resume)


def _restricted() -> _Object:
    return {
        "operationId": "restricted",
        "summary": "Why a handshake for the authenticated feed is refused",
        "description": "For browsers, which do not tell. Takes the parameters of that feed.",
        "security": [{"token": []}],
        "responses": {
            "400": _refusal("A parameter breaks its rule."),
            "401": _refusal("There is no valid token."),
            "403": _refusal("The Host or Origin header is not one that may be."),
            "426": _refusal("Nothing else is wrong than that it is no WebSocket."),
            "429": _refusal("Too many come from the same address, or too often.", later=True),
            "503": _refusal("The hub is stopping, or has no room.", later=True),
        },
    }


def _operation(
    name: str,
    summary: str,
    parameters: Sequence[Parameter],
    catalog: Catalog,
    responses: Mapping[str, object],
    *headers: _Object,
) -> _Object:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*(_parameter(one, catalog) for one in parameters), *headers],
        "responses": {
            **responses,
            "400": _refusal("A parameter breaks its rule."),
            "403": _refusal("The Host or Origin header is not one that may be."),
            "429": _refusal("Too many come from the same address, or too often.", later=True),
            "503": _refusal("There is no sample yet, or no room.", later=True),
        },
    }


def _refusal(description: str, *, later: bool = False) -> _Object:
    content = {"application/json": {"schema": _refs("Refusal")[0]}}
    refusal: _Object = {"description": description, "content": content}
    if later:
        refusal["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return refusal


def _parameter(parameter: Parameter, catalog: Catalog) -> _Object:
    schema = parameter.schema(catalog)
    form = {"style": "form", "explode": False} if schema["type"] == "array" else {}
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
        **form,
    }


def _document(name: str, description: str) -> _Object:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": name,
        "summary": description,
        "responses": {
            "200": {"description": description, "content": content},
            "403": _refusal("The Host or Origin header is not one that may be."),
        },
    }


def _figures() -> _Object:
    text: _Object = {"schema": {"type": "string"}}
    content = {"application/openmetrics-text": text, "text/plain": text}
    return {
        "operationId": "figures",
        "summary": "The hub's own figures, for Prometheus",
        "responses": {
            "200": {"description": "All figures. Nothing is sampled for them.", "content": content},
            "403": _refusal("The Host or Origin header is not one that may be."),
        },
    }


def _health(name: str, summary: str) -> _Object:
    content: _Object = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "Yes.", "content": content},
            "503": {"description": "No, and why.", "content": content},
        },
    }


def _refs(*names: str) -> list[_Object]:
    return [{"$ref": f"#/components/schemas/{name}"} for name in names]


def asyncapi(
    catalog: Catalog, restricted: Catalog, host: str, prefix: str = "", *, secure: bool = False
) -> _Object:
    """Describe the live feeds, as AsyncAPI 3.0.

    Args:
        catalog: what may be asked for without a token.
        restricted: what may be asked for with a token.
        host: name or address, and port, under which clients reach it.
        prefix: the path it is mounted under.
        secure: whether they reach it through TLS.
    """
    protocol = "wss" if secure else "ws"
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/json",
        "servers": {"hub": {"host": host, "pathname": prefix or "/", "protocol": protocol}},
        "channels": {
            "feed": _feed(FEED_PATH, catalog),
            "restrictedFeed": _feed(RESTRICTED_FEED_PATH, restricted),
        },
        "operations": {
            "sendMessage": _sending("feed"),
            "sendRestrictedMessage": {**_sending("restrictedFeed"), "security": [_TOKEN]},
        },
        "components": {
            "messages": _messages(),
            "schemas": _schemas(restricted),
            "securitySchemes": {"token": _BEARER},
        },
    }


def _sending(channel: str) -> _Object:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": "The latest message at once, then one every interval.",
    }


def _feed(path: str, catalog: Catalog) -> _Object:
    query = {
        "type": "object",
        "properties": {
            one.name: {"description": one.description, **one.schema(catalog)} for one in FEED
        },
        "additionalProperties": False,
    }
    return {
        "address": path,
        "description": "Lists are separated by commas. Clients have nothing to say.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages()},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _messages() -> _Object:
    return {
        "sample": {"title": "What was measured", "payload": _refs("Sample")[0]},
        "failure": {"title": "What could not be measured", "payload": _refs("Failure")[0]},
    }
