"""The contract of the live feed in words for machines, as AsyncAPI.

It is made of the parameters that read the requests and of the metrics that are on offer.
"""

from __future__ import annotations

from typing import Final

from hub.feed.catalog import Catalog
from hub.feed.query import FEED, FEED_PATH, RESTRICTED_FEED_PATH
from hub.web.schemas import BEARER, INFO, Object, refs, schemas

__all__ = ["asyncapi"]

_TOKEN: Final = {"$ref": "#/components/securitySchemes/token"}


def asyncapi(
    catalog: Catalog, restricted: Catalog, host: str, prefix: str = "", *, secure: bool = False
) -> Object:
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
        "info": INFO,
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
            "schemas": schemas(restricted),
            "securitySchemes": {"token": BEARER},
        },
    }


def _sending(channel: str) -> Object:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": "The latest message at once, then one every interval.",
    }


def _feed(path: str, catalog: Catalog) -> Object:
    query = {
        "type": "object",
        "properties": {
            one.name: {"description": one.description, **one.schema(catalog)} for one in FEED
        },
        "additionalProperties": False,
    }
    return {
        "address": path,
        "description": "Lists are separated by commas. What clients send is ignored.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages()},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _messages() -> Object:
    return {
        "sample": {"title": "What was measured", "payload": refs("Sample")[0]},
        "failure": {"title": "What could not be measured", "payload": refs("Failure")[0]},
    }
