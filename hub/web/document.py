"""Documents in JSON that many clients fetch and that seldom change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hub.web.compression import accepts_gzip, compress, mark_as_gzip

__all__ = ["Documents", "entity_tag", "matches"]

_KEPT: Final = 8
"""Documents: two of each prefix and host name that clients use; more are compressed anew."""


class Documents:
    """Answers with documents: compressed, plain, or with 304 to clients that have them already."""

    def __init__(self) -> None:
        self._compressed = lru_cache(_KEPT)(compress)

    def answer(self, request: Request, document: Mapping[str, object]) -> Response:
        """Answer a request for a document, in the form that its client takes."""
        response = JSONResponse(document)
        response.headers["ETag"] = entity_tag(bytes(response.body))
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        compressed = self._compressed(bytes(response.body))
        if compressed is not None and accepts_gzip(request.headers):
            mark_as_gzip(response.headers)
            response.body = compressed
            response.headers["Content-Length"] = str(len(compressed))
        if matches(request.headers.get("If-None-Match", ""), response.headers["ETag"]):
            return _not_modified(response)
        return response


def _not_modified(response: Response) -> Response:
    kept = ("ETag", "Cache-Control", "Vary")
    return Response(None, 304, {name: response.headers[name] for name in kept})


def entity_tag(body: bytes) -> str:
    """Return a strong entity tag of what is answered."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches(wanted: str, tag: str) -> bool:
    """Say whether an If-None-Match header names an entity tag (RFC 9110, section 13.1.2)."""
    tags = {one.strip().removeprefix("W/") for one in wanted.split(",")}
    return tag in tags or wanted.strip() == "*"
