"""The live page: this package's own files, which load nothing from other servers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

__all__ = ["Page"]

_HERE: Final = Path(__file__).parent


def _headers(frame_ancestors: str) -> Mapping[str, str]:
    return {
        "Cache-Control": "no-cache",  # revalidated, and sent again only after a change
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self'; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors {frame_ancestors}; require-trusted-types-for 'script'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _sources(origin: str) -> str:
    """Write for a policy an origin, or a host's name that is meant with any scheme and port.

    Of a host that is an IPv6 address policies know nothing (CSP level 3, section 2.3.1).
    """
    if origin == "*" or "://" in origin:
        return origin
    return "" if ":" in origin else f"http://{origin}:* https://{origin}:*"


class Page:
    """The page and its parts, under a policy that lets it load nothing from other servers.

    All its links are relative: it may be mounted under any path, as long as its own address ends in
    a slash.

    Args:
        framed_by: whose pages may show it in a frame, beside those of its own origin: origins, host
            names or ``*``, as in the hub's settings.
    """

    def __init__(self, framed_by: Iterable[str] = ()) -> None:
        ancestors = ["'self'", *filter(None, map(_sources, framed_by))]
        headers = _headers(" ".join(ancestors))
        self._files = _Files(_HERE, headers)
        self.static = _Files(_HERE / "static", headers)
        """The ASGI application that serves the page's parts, for the path ``static/``."""

    async def index(self, request: Request) -> Response:
        """Answer a request for the page itself."""
        return await self._files.get_response("index.html", request.scope)


class _Files(StaticFiles):
    """Adds the headers that tell browsers how to use a file."""

    def __init__(self, directory: Path, headers: Mapping[str, str]) -> None:
        super().__init__(directory=directory)
        self._headers = headers

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(self._headers)
        return response
