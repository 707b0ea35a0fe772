"""The live page: this package's own files, which load nothing from other servers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

__all__ = ["Page"]

_HERE: Final = Path(__file__).parent

_HEADERS: Final = {
    "Cache-Control": "no-cache",  # revalidated, and sent again only after a change
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Page:
    """The page and its parts, under a policy that lets it load nothing from other servers.

    All its links are relative: it may be mounted under any path, as long as its own address ends in
    a slash.
    """

    def __init__(self) -> None:
        self._files = _Files(directory=_HERE)
        self.static = _Files(directory=_HERE / "static")
        """The ASGI application that serves the page's parts, for the path ``static/``."""

    async def index(self, request: Request) -> Response:
        """Answer a request for the page itself."""
        return await self._files.get_response("index.html", request.scope)


class _Files(StaticFiles):
    """Adds the headers that tell browsers how to use a file."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_HEADERS)
        return response
