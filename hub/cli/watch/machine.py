"""What machine a hub is on, as it tells its clients."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import TYPE_CHECKING, Final, Self, cast
from urllib.parse import quote, urlsplit

import anyio
from anyio.abc import ByteStream

from hub.cli.watch.message import Value, read_object

if TYPE_CHECKING:
    import socket

__all__ = ["Machine", "ask_machine"]

_PATH: Final = "/api/system/info"
_SECONDS: Final = 3.0
"""For how long an answer is waited for, which the view can do without."""

_MOST_BYTES: Final = 65536
_MOST_FAMILIES: Final = 100
_LONGEST_NAME: Final = 100
_MOST_CORES: Final = 65536
_PORTS: Final = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Machine:
    """What machine a hub is on. All texts are the server's, and may hold anything.

    Attributes:
        name: its own; empty where it is not told, as the others.
        system: the operating system and its release.
        cores: logical processors, 0 where it is not told.
        boot_time: when it was started, None where it is not told.
        families: what the hub offers to all.
    """

    name: str = ""
    system: str = ""
    cores: int = 0
    boot_time: datetime | None = None
    families: Sequence[str] = ()

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read what a hub answers.

        Raises:
            ValueError: it is no object of JSON; what is wrong in it is passed over.
        """
        content = read_object(data)
        names = content.get("families")
        families = names[:_MOST_FAMILIES] if isinstance(names, list) else []
        return cls(
            name=_text(content.get("name")),
            system=f"{_text(content.get('system'))} {_text(content.get('kernel'))}".strip(),
            cores=_cores(content.get("cores")),
            boot_time=_time(content.get("boot_time")),
            families=tuple(one for one in families if isinstance(one, str) and _is_name(one)),
        )


async def ask_machine(url: str) -> Machine | None:
    """Ask the hub at an address, as ``feed_url`` returns it; None where it does not tell.

    It is asked in plain HTTP, without the proxies that the environment may name.
    """
    with suppress(OSError, ValueError, HTTPException, anyio.BrokenResourceError):
        with anyio.move_on_after(_SECONDS):
            return Machine.read(_body(await _answer(url)))
    return None


async def _answer(url: str) -> bytes:
    """Return all that a server answers, up to a limit."""
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode()
    port = parts.port or _PORTS[parts.scheme]
    called = f"[{host}]" if ":" in host else host
    head = (
        f"GET {quote(parts.path, safe='/%')}{_PATH} HTTP/1.1\r\n"
        f"Host: {called}{f':{parts.port}' if parts.port else ''}\r\n"
        "Accept: application/json\r\nConnection: close\r\n\r\n"
    )
    data = b""
    async with await _connect(host, port, secure=parts.scheme == "wss") as stream:
        await stream.send(head.encode("ascii"))
        with suppress(anyio.EndOfStream):
            while len(data) < _MOST_BYTES:
                data += await stream.receive()
    return data


async def _connect(host: str, port: int, *, secure: bool) -> ByteStream:
    if not secure:
        return await anyio.connect_tcp(host, port)
    context = ssl.create_default_context()
    return await anyio.connect_tcp(
        host, port, ssl_context=context, tls_standard_compatible=False
    )  # fmt: skip


def _body(answer: bytes) -> bytes:
    """Return the body of an answer of which the whole is there.

    Raises:
        HTTPException: it is none, or it says that there is nothing to be had.
    """
    response = HTTPResponse(cast("socket.socket", _Received(answer)), method="GET")
    response.begin()
    if response.status != 200:
        raise HTTPException(response.reason)
    return response.read()


class _Received:
    """Bytes that have been received already, as the library wants to have them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._data)


def _is_name(name: str) -> bool:
    """Whether it may be the name of a family, and stand in an address."""
    return 0 < len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable()


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _cores(value: Value) -> int:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_CORES
    return int(value) if known else 0  # type: ignore[arg-type] # as it was just found


def _time(value: Value) -> datetime | None:
    with suppress(ValueError):
        time = datetime.fromisoformat(_text(value))
        return time if time.utcoffset() is not None else None
    return None
