"""The names under which the hub may be called, and the pages that may call it.

A browser lets any page open a WebSocket to anywhere, and a page can let its own name point to
another machine's address. What it cannot do is lie about the name in ``Host`` and ``Origin``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hub.errors import InvalidValue, RefusalReason, Refused

__all__ = ["HostPolicy", "check_host", "check_origin", "is_loopback"]

_ANY: Final = "*"
_LABELS: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"([0-9]+|0x[0-9a-f]*)", re.ASCII)
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{0,5}))?", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}


def check_host(field: str, text: str) -> str:
    """Return a host name or address as it is compared.

    Raises:
        InvalidValue: it is none, or comes with a port.
    """
    host = _ANY if text == _ANY else _host(f"[{text}]" if text.count(":") > 1 else text)
    if host is None:
        raise InvalidValue(field, "a host name or address without scheme and port", text)
    return host


def check_origin(field: str, text: str) -> str:
    """Return an origin, or the name of a host that is meant with any scheme and port.

    Raises:
        InvalidValue: it is neither.
    """
    origin = _Origin.parse(text)
    if origin is not None:
        return str(origin)
    rule = "an origin such as https://example.com, a host name, or *"
    try:
        host = check_host(field, text)
    except InvalidValue:
        raise InvalidValue(field, rule, text) from None
    if host == "null":  # any page can make itself one of that origin
        raise InvalidValue(field, rule, text)
    return host


def is_loopback(host: str) -> bool:
    """Say whether a host, as it is compared, is this machine and no other."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HostPolicy:
    """Judges the Host and Origin headers of requests.

    Args:
        hosts: names by which the hub may be called, beside those of the address at which a
            request has arrived; ``*`` is all.
        origins: pages that may call it, beside those of the host that they call.
    """

    _REMEMBERED: Final = 1024
    _LONGEST: Final = 512

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = frozenset(check_host("allow_host", host) for host in hosts)
        self._origins = frozenset(check_origin("allow_origin", origin) for origin in origins)
        self._known: set[tuple[bytes, bytes | None, str]] = set()

    def check(self, headers: Sequence[tuple[bytes, bytes]], local: str) -> None:
        """Let a request pass that has arrived at the address ``local``.

        What has none, such as a Unix socket, is on this machine.

        Raises:
            Refused: its Host or Origin is not one that may be.
        """
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if len(hosts) != 1:
            raise Refused(RefusalReason.HOST, f"there must be one Host header, not {len(hosts)}")
        if len(origins) > 1:
            raise Refused(
                RefusalReason.ORIGIN, f"there must be one Origin header, not {len(origins)}"
            )
        key = (hosts[0], origins[0] if origins else None, local)
        if key in self._known:
            return
        here = _host(f"[{local.partition('%')[0]}]" if ":" in local else local) or "localhost"
        name = self._check_host(hosts[0].decode("latin-1"), here)
        if origins:
            self._check_origin(origins[0].decode("latin-1"), name, here)
        if sum(map(len, hosts + origins)) <= self._LONGEST:
            self._remember(key)

    def _remember(self, key: tuple[bytes, bytes | None, str]) -> None:
        if len(self._known) >= self._REMEMBERED:
            self._known.clear()
        self._known.add(key)

    def _check_host(self, text: str, here: str) -> str:
        host = _host_of(text)
        if host is None:
            raise Refused(
                RefusalReason.HOST, f"Host must be a name or an address, not {_quoted(text)}"
            )
        loopback = is_loopback(host) and is_loopback(here)
        if not (loopback or host == here or host in self._hosts or _ANY in self._hosts):
            raise Refused(
                RefusalReason.HOST,
                f"Host must be a name that this hub serves, not {_quoted(host)} "
                "(an operator may add it with --allow-host)",
            )
        return host

    def _check_origin(self, text: str, name: str, here: str) -> None:
        if _ANY in self._origins:
            return
        origin = _Origin.parse(text)
        if origin is not None:
            loopback = is_loopback(origin.host) and is_loopback(here)
            if origin.host == name or loopback:
                return
            if self._is_listed(origin):
                return
        raise Refused(
            RefusalReason.ORIGIN,
            f"Origin must be a page of this hub's own host, not {_quoted(text)} "
            "(an operator may add it with --allow-origin)",
        )

    def _is_listed(self, origin: _Origin) -> bool:
        return str(origin) in self._origins or origin.host in self._origins


@dataclass(frozen=True, slots=True)
class _Origin:
    """A page's origin (RFC 6454, section 6.2), as it is compared."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> _Origin | None:
        scheme, separator, authority = text.lower().partition("://")
        host = _host_of(authority)
        if not separator or scheme not in _PORTS or host is None:
            return None
        port = authority.rpartition(":")[2] if not authority.endswith("]") else ""
        return cls(scheme, host, int(port) if port.isdigit() else _PORTS[scheme])

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def _host_of(authority: str) -> str | None:
    """Return the host of ``host[:port]`` as it is compared; None if it is malformed."""
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or int(parts[2] or 0) > 65535:
        return None
    return _host(parts[1])


def _host(text: str) -> str | None:
    """Return a name or an address, the latter in brackets if it is IPv6, as it is compared."""
    if text.startswith("["):
        return _address(text[1:-1], ipaddress.IPv6Address)
    name = text.lower().removesuffix(".")
    if not _LABELS.fullmatch(name):
        return None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):  # an address, or a way to disguise one
        return _address(name, ipaddress.IPv4Address)
    return name


def _address(
    text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]
) -> str | None:
    try:
        address = kind(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return str(address.ipv4_mapped or address)
    return str(address)


def _quoted(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"
