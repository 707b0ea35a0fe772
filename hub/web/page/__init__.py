"""The live page: this package's own files, which load nothing from other servers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

from hub.web.compression import accepts_gzip, compress, mark_as_gzip

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
    """Compresses each file once, and adds the headers that tell browsers how to use it."""

    def __init__(self, directory: Path, headers: Mapping[str, str]) -> None:
        super().__init__(directory=directory)
        self._headers = headers
        self._compressed: dict[str, _Compressed] = {}
        """By path; it has the files of the directory, each as it was when last asked for."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Find a file and compress it, if it is new or has changed; this runs in a thread."""
        full_path, found = super().lookup_path(path)
        if found is not None and stat.S_ISREG(found.st_mode):
            kept = self._compressed.get(full_path)
            if kept is None or kept.state != _state(found):
                body = compress(Path(full_path).read_bytes())
                self._compressed[full_path] = _Compressed(_state(found), body)
        return full_path, found

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer in the form that the client takes; parts of a file are those of the plain form."""
        wanted = Headers(scope=scope)
        response: Response = FileResponse(full_path, status_code, stat_result=stat_result)
        response.headers.update(self._headers)
        compressed = self._compressed[str(full_path)]
        if compressed.body is not None and compressed.state == _state(stat_result):
            response.headers["Vary"] = "Accept-Encoding"
            if accepts_gzip(wanted) and "Range" not in wanted:
                response = _gzipped(response, compressed.body)
        if not self.is_not_modified(response.headers, wanted):
            return response
        unchanged = NotModifiedResponse(response.headers)
        unchanged.headers.update(self._headers)
        return unchanged


@dataclass(frozen=True, slots=True)
class _Compressed:
    """A file in its compressed form."""

    state: tuple[int, int]
    """When the file was changed, in nanoseconds, and how long it was, in bytes."""
    body: bytes | None
    """None where it is not worth it."""


def _state(found: os.stat_result) -> tuple[int, int]:
    return (found.st_mtime_ns, found.st_size)


def _gzipped(plain: Response, body: bytes) -> Response:
    """Turn the answer with a file into that with its compressed form."""
    response = Response(body, plain.status_code)
    response.raw_headers = plain.raw_headers
    del response.headers["Accept-Ranges"]
    response.headers["Content-Length"] = str(len(body))
    mark_as_gzip(response.headers)
    return response
