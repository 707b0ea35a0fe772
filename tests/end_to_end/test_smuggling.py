"""Clients who try to get past a proxy to what it does not pass on, or to one another's answers."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPResponse
from io import BytesIO
from typing import Final, cast
from urllib.parse import unquote

import anyio
import httpx2
import pytest

from tests.support.clients import client, receive
from tests.support.proxy import PROXIES, Kind, Proxy, needs, start_proxy
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub
from tests.support.smuggling import CASES, Case

pytestmark = pytest.mark.long

_PUBLIC: Final = re.compile(r"/(|static/.*|(openapi|asyncapi)\.json|api/system/.*)", re.DOTALL)
_REQUEST: Final = re.compile(
    r'(?P<peer>\S+) - "(?:WebSocket|\S+) (?P<path>.*?)(?: HTTP/\S+)?" (?P<answer>\S+)$'
)
_OPERATORS: Final = (b"hub_clients", b"ok\n", b"ready\n")
"""What answers of routes that are not public have in them."""

_MESSAGE: Final = b'{"cpu"'
_ENOUGH: Final = 4  # no answer has more than one message: this is the feed, which goes on


@dataclass(slots=True)
class Front:
    """A proxy with a hub behind it, both of which tell what they have been asked for."""

    kind: Kind
    hub: ServerProcess
    proxy: Proxy
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def served(self, *, since: int) -> list[re.Match[str]]:
        """List the requests that the hub has read, but for those that it refuses unread."""
        return [found for line in self.hub.log.since(since) if (found := _REQUEST.search(line))]

    def taken(self, *, since: int) -> list[int]:
        """List the statuses of the requests that the proxy has taken, but for the honest ones."""
        pattern = re.compile(self.kind.taken())
        found = map(pattern.search, self.proxy.log.since(since))
        return [int(one["status"]) for one in found if one and "honest" not in one["target"]]

    def be_served(self) -> None:
        """Be answered as other clients are; by then both have told of what was sent before."""
        name = f"honest-{next(self._numbers)}"
        heard = self._ask(f"{PATH}?metrics={name}")
        assert (statuses(heard), name.encode() in heard) == ([400], True), heard
        assert statuses(self._ask(f"/static/{name}")) == [404]
        self.hub.log.wait_for(f"/static/{name} ")
        self.proxy.log.wait_for(f"/static/{name}")

    def see_it_end(self, *, since: int) -> None:
        """Wait until the proxy has told of a connection that was switched to another protocol."""
        self.proxy.log.wait_for(self.kind.taken("0|101"), since=since)

    def _ask(self, target: str) -> bytes:
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        return talk(self.proxy.port, head.encode())


_HONEST: Final = 2
"""How many requests of those that have been listed are those of ``Front.be_served``."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(PROXIES[n], id=n, marks=needs(PROXIES[n])) for n in PROXIES],
)
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    kind = cast("Kind", request.param)
    with start_hub("--access-log") as hub, start_proxy(kind, hub.port) as proxy:
        yield Front(kind, hub, proxy)


def talk(port: int, *parts: bytes, source: str = "127.0.0.1") -> bytes:
    """Send the parts, each once the one before has been answered; return all that was heard."""
    heard = bytearray()
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE, (source, 0)) as sock,
        contextlib.suppress(ConnectionError),  # the rest is not wanted
    ):
        first, *later = parts
        sock.sendall(first)
        for part in later:
            heard += sock.recv(65536)
            sock.sendall(part)
        while heard.count(_MESSAGE) < _ENOUGH and (piece := sock.recv(65536)):
            heard += piece
    return bytes(heard)


class _Heard(BytesIO):
    """What was heard, in the place of a socket from which to read more than one answer."""

    def makefile(self, _mode: str) -> _Heard:
        return self

    def close(self) -> None:
        """Stay open, for the next answer."""


def answers(heard: bytes) -> Iterator[HTTPResponse]:
    """Read one answer after the other, up to a switch of protocols.

    What is not HTTP/1.1 from the first byte is what was asked for, and has no such answers: nginx
    speaks HTTP/0.9, HAProxy HTTP/2.
    """
    stream = _Heard(heard)
    while heard.startswith(b"HTTP/1.") and stream.tell() < len(heard):
        assert heard.startswith(b"HTTP/1.", stream.tell()), heard
        answer = HTTPResponse(cast("socket.socket", stream))
        answer.begin()
        yield answer
        if answer.status == 101:
            return
        answer.read()


def statuses(heard: bytes) -> list[int]:
    return [answer.status for answer in answers(heard)]


def expected(kind: Kind, heard: bytes) -> list[int]:
    """Return what the proxy should have told of its requests, after the answers to them.

    Caddy's library refuses what it cannot read without telling Caddy, under no server's name.
    """
    if kind.name != "caddy":
        return statuses(heard)
    named = [answer.status for answer in answers(heard) if "Server" in answer.headers]
    return [0 if status == 101 else status for status in named]


def try_out(front: Front, case: Case) -> None:
    at_hub, at_proxy = front.hub.log.mark, front.proxy.log.mark
    heard = talk(front.proxy.port, *case)
    front.be_served()
    if 101 in statuses(heard):
        front.see_it_end(since=at_proxy)
    served, taken = front.served(since=at_hub), front.taken(since=at_proxy)

    assert not [word for word in _OPERATORS if word in heard], heard
    paths = [(unquote(request["path"]), request["answer"]) for request in served]
    assert not [path for path in paths if path[1] != "404" and not _PUBLIC.fullmatch(path[0])]
    if heard.startswith(b"HTTP/1."):
        assert expected(front.kind, heard) == taken, heard
    assert len(served) <= len(taken) + _HONEST


@pytest.mark.parametrize("what", CASES)
def test_no_request_gets_past_a_proxy_and_each_has_its_own_answer(front: Front, what: str) -> None:
    failures = []
    for name, case in CASES[what].items():
        try:
            try_out(front, case)
        except (AssertionError, OSError) as error:
            failures.append(f"{name}: {error!r}")
    assert not failures, "\n".join(failures)
    front.hub.assert_tidy()


def test_connections_to_the_hub_are_kept_where_they_may_be(front: Front) -> None:
    """Else no case above shows that an answer goes to the client that asked for it."""
    mark = front.hub.log.mark
    for _ in range(3):
        front.be_served()
    peers = {request["peer"] for request in front.served(since=mark)}
    assert len(peers) == (3 * _HONEST if front.kind is PROXIES["nginx"] else 1)


async def test_what_goes_on_for_long_is_not_cut_off_by_a_proxy(front: Front) -> None:
    """It is idle on the client's side for longer than any request may take."""
    url = f"http://127.0.0.1:{front.proxy.port}"
    with anyio.fail_after(DEADLINE):
        async with (
            httpx2.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as http,
            http.sse(f"{PATH}/stream") as events,
            client(f"ws{url.removeprefix('http')}{PATH}") as websocket,
        ):
            arriving = aiter(events)
            for _ in range(15):
                await anext(arriving)
                await receive(websocket)


def test_what_clients_say_of_their_address_does_not_get_through(front: Front) -> None:
    """The hub, which would believe them, takes the address for theirs that the proxy names."""
    told = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nConnection: close"
    head = f"GET /static/x HTTP/1.1\r\nHost: localhost\r\n{told}\r\n\r\n"
    with (
        start_hub("--access-log", "--trusted-proxies", "127.0.0.1") as hub,
        start_proxy(front.kind, hub.port) as proxy,
    ):
        assert statuses(talk(proxy.port, head.encode(), source="127.0.0.2")) == [404]
        hub.log.wait_for(r"127\.0\.0\.2:\d+ - .*/static/x")
