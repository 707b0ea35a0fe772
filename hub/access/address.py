"""Addresses of clients, which a proxy may have passed on as their clients wrote them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["client_address", "network", "peer_name"]


def client_address(scope: Mapping[str, Any]) -> tuple[str, int]:
    """Return the address and port of a request's client; empty and 0 where they are not known.

    There is no address behind a Unix socket, and where a proxy passes on what is none.
    """
    return _split(scope.get("client"))


def network(address: str) -> str:
    """Return what addresses have in common that are one subscriber's line: IPv6 by /64."""
    if ":" not in address:
        return address
    found = ipaddress.IPv6Address(address.partition("%")[0])
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


def peer_name(client: Sequence[Any] | None) -> str:
    """Return a client's address, and port if it is known, as they are written in the log."""
    address, port = _split(client)
    if not address:
        return "of unknown address"
    name = f"[{address}]" if ":" in address else address
    return f"{name}:{port}" if port else name  # proxies name none


def _split(client: Sequence[Any] | None) -> tuple[str, int]:
    known: Sequence[Any] = (*(client or ("",)), 0)
    address, port = known[:2]
    return _address(str(address)), port if isinstance(port, int) and 0 <= port < 1 << 16 else 0


def _address(text: str) -> str:
    """Return an address in its usual form, which is one for each; empty if the text is none.

    Leading zeros are not accepted: readers differ on what they mean.
    """
    try:
        socket.inet_pton(socket.AF_INET, text)  # nearly all are, and this is the cheapest way
    except (OSError, ValueError):
        return _other_address(text)
    return text


def _other_address(text: str) -> str:
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    return str(address) if str(address).isprintable() else ""
