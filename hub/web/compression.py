"""What is sent compressed: files and documents that many clients fetch and that seldom change.

Each is compressed once and kept, not once for each request. All else goes plain; what is made for
a single request is left to proxies and to the middleware of a host.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import Final

from starlette.datastructures import Headers, MutableHeaders

__all__ = ["accepts_gzip", "compress", "mark_as_gzip"]

_SMALLEST: Final = 500
"""Bytes; of less, a packet takes as long with the saved ones as without."""

_CODING: Final = re.compile(
    r"\s*([\w!#$%&'*+.^`|~-]+)\s*(?:;\s*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?", re.ASCII
)


def accepts_gzip(headers: Headers) -> bool:
    """Say whether a request's client takes gzip, and likes it as much as the plain form.

    What breaks the rules of RFC 9110 (section 12.5.3) counts as not said.
    """
    weights = dict(_weights(",".join(headers.getlist("Accept-Encoding"))))
    rest = weights.get("*", 0.0)
    gzipped = weights.get("gzip", weights.get("x-gzip", rest))
    return gzipped > 0 and gzipped >= weights.get("identity", 0.0)


def _weights(accepted: str) -> Iterator[tuple[str, float]]:
    for one in accepted.split(","):
        if found := _CODING.fullmatch(one):
            yield found[1].lower(), float(found[2] or 1)


def compress(body: bytes) -> bytes | None:
    """Return the same bytes for the same body, or None where the client would gain nothing."""
    if len(body) < _SMALLEST:
        return None
    compressed = gzip.compress(body, mtime=0)
    return compressed if len(compressed) < len(body) else None


def mark_as_gzip(headers: MutableHeaders) -> None:
    """Have the headers of a plain answer say that it is compressed, under a tag of its own."""
    headers["Content-Encoding"] = "gzip"
    headers["ETag"] = f'{headers["ETag"].removesuffix(chr(34))}-gzip"'
