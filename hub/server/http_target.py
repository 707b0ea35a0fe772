"""The target of a request in absolute form, as clients send it to proxies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["split_target"]

_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE)


def split_target(target: bytes, hosts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the host that a target names, and the rest of it in origin form.

    That host counts, not the Host header (RFC 9112, section 3.2.2), which has to be the same.

    Args:
        target: as it came.
        hosts: the values of all Host headers.

    Raises:
        ValueError: it is no target in absolute form, or the Host header differs.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise ValueError("no target of http")
    authority, path, query = found.groups(b"")
    if any(host.lower() != authority.lower() for host in hosts) or len(hosts) > 1:
        raise ValueError("the Host header names another")
    return authority, (path or b"/") + query
