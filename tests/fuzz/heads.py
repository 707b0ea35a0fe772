"""What a client says before it is known: the heads of requests, one behind the other."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import uvicorn
from uvicorn.server import ServerState

from hub.errors import RefusalReason
from hub.server.http_limits import HandshakeProtocol
from hub.server.waiting import Idle, Pending, Turns
from tests.fuzz.target import Target
from tests.fuzz.wire import read_requests
from tests.support.fakes import FakeClock
from tests.support.transport import FakeTransport, SteppedLoop

__all__ = ["TARGETS"]

_BODY: Final = re.compile(rb"(?i)\r\n(content-length|transfer-encoding)[ \t]*:")

_ODD: Final = re.compile(rb"PRI")
"""Half of HTTP/2's preface, for the rest of which the parser waits.

Of what follows in one piece it sees more, or less, than of what comes in parts.
"""

_SILENCE: Final = logging.Logger("fuzz", logging.CRITICAL)  # noqa: LOG001 # unregistered

_Headers = list[tuple[bytes, bytes]]


@dataclass
class _Heard:
    """What came of what a client has said.

    Attributes:
        requests: method, target and headers of what the application was asked.
        switched: what the other protocol was given: the request, and what came after it.
        answers: all that was answered.
    """

    requests: list[tuple[str, bytes, _Headers]] = field(default_factory=list)
    refused: list[RefusalReason] = field(default_factory=list)
    switched: list[bytes] = field(default_factory=list)
    answers: bytes = b""


class _Switched(asyncio.Protocol):
    """Stands in for the other protocol."""

    def __init__(self, *, app_state: dict[str, Any], **_: object) -> None:
        self._heard: _Heard = app_state["heard"]
        self._begun = False

    def data_received(self, data: bytes) -> None:
        if self._begun:
            self._heard.switched[1] += data
        else:
            self._begun = True
            self._heard.switched += [data, b""]


class _Protocol(HandshakeProtocol):
    def _fail(self, error: Exception) -> None:
        raise error


async def _answer(scope: Any, receive: object, send: Any) -> None:  # noqa: ANN401, ARG001
    target = scope["raw_path"] + (b"?" if scope["query_string"] else b"") + scope["query_string"]
    scope["state"]["heard"].requests.append((scope["method"], target, list(scope["headers"])))
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@functools.cache
def _config() -> uvicorn.Config:
    config = uvicorn.Config(
        _answer, ws=_Switched, log_config=None, lifespan="off", proxy_headers=False
    )
    config.load()
    return config


def hear_heads(data: bytes) -> None:
    cuts, said = data[:2], data[2:]
    ends = [match.end() for match in re.finditer(rb"\r\n\r\n", said)]
    ways = {tuple(cuts), tuple(range(len(said)))} | {
        tuple(end - before for end in ends) for before in (1, 2, 3)
    }
    loop = SteppedLoop()
    try:
        whole = _heard(loop, [said])
        for way in () if _ODD.search(said) else ways:
            assert _heard(loop, _cut(said, way)) == whole, way
    finally:
        loop.close()
    _check_answers(whole)
    _check_first(said, whole)
    if whole.switched:
        assert not whole.requests, "an answer was pending"
        assert b" HTTP/1.1\r\n" in said
        assert not _BODY.search(whole.switched[0])
        read_requests(whole.switched[0])
        assert said.endswith(whole.switched[1])


def _cut(said: bytes, places: Iterable[int]) -> list[bytes]:
    ends = [*sorted(places), len(said)]
    return [said[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def _heard(loop: SteppedLoop, parts: Sequence[bytes]) -> _Heard:
    """Say something in parts, before anything can be answered."""
    heard, transport, state = _Heard(), FakeTransport(loop), ServerState()

    class Protocol(_Protocol):
        waiting = Pending(FakeClock())
        turns = Turns()
        idle = Idle()
        on_refused = staticmethod(lambda reason, _: heard.refused.append(reason))

    protocol = Protocol(_config(), state, {"heard": heard}, loop)
    protocol.access_log, protocol.logger = False, _SILENCE
    transport.set_protocol(protocol)
    protocol.connection_made(transport)

    def say() -> None:
        for part in parts:
            if not transport.is_closing():
                transport.get_protocol().data_received(part)

    loop.do(say)
    before = -1
    while before != len(transport.wire):
        before = len(transport.wire)
        loop.do(lambda: None)
    heard.answers = bytes(transport.wire)
    loop.do(transport.abort)
    assert not state.tasks
    assert not state.connections
    return heard


def _check_answers(heard: _Heard) -> None:
    """Check that each request was answered once, and a refusal, if any, is the last."""
    statuses = [int(number) for number in re.findall(rb"HTTP/1\.1 (\d{3}) ", heard.answers)]
    answered = statuses.count(200)
    assert 0 <= len(heard.requests) - answered <= len(heard.refused) <= 1
    assert statuses[answered:] == [reason.status for reason in heard.refused]
    assert all(status < 500 for status in statuses)
    for _, target, headers in heard.requests:
        assert target.startswith(b"/") or target == b"*"
        names = [name for name, _ in headers]
        assert b"transfer-encoding" not in names
        assert all(not value.strip(b"0 \t") for name, value in headers if name == b"content-length")


def _check_first(said: bytes, heard: _Heard) -> None:
    """Check that another parser of HTTP reads the first request as the application did."""
    if not heard.requests:
        return
    method, target, headers = heard.requests[0]
    other = h11.Connection(h11.SERVER)
    try:
        other.receive_data(said.lstrip(b"\r\n"))
        event = other.next_event()
    except h11.RemoteProtocolError:
        return
    assert isinstance(event, h11.Request)
    assert event.method.decode() == method
    assert _without_authority(event.target) == target
    hosts = {value.lower() for name, value in headers if name == b"host"}
    named = re.match(rb"(?i)https?://([^/?#]*)", event.target)
    assert named is None or hosts == {named[1].lower()}
    count = len(event.headers)
    assert [(name, value.rstrip(b" \t")) for name, value in headers[:count]] == list(event.headers)
    assert [name for name, _ in headers[count:]] in ([], [b"host"])  # named by the target alone


def _without_authority(target: bytes) -> bytes:
    """Return the path, and the query unless it is empty."""
    local = re.sub(rb"(?i)^https?://[^/?#]*", b"", target)
    path, _, query = local.partition(b"#")[0].partition(b"?")
    return (path or b"/") + (b"?" + query if query else b"")


TARGETS: Final = (
    Target(
        "head",
        hear_heads,
        [
            *(
                b"GET / HTTP/1.1\r\n",
                b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"\r\n\r\n",
            ),
            *(
                b"Host: localhost\r\n",
                b"Upgrade: websocket\r\n",
                b"Connection: Upgrade\r\n",
                b"\r\n",
            ),
            *(
                b"Connection: close\r\n",
                b"Content-Length: 0\r\n",
                b"Content-Length: 5\r\n",
                b"CONNECT ",
            ),
            *(
                b"Transfer-Encoding: chunked\r\n",
                b"Expect: 100-continue\r\n",
                b"HTTP/1.0",
                b"POST ",
            ),
            *(b"http://localhost/", b"localhost:80", b"*", b"?a=b", b"#c", b"%00", b" folded\r\n"),
            *(
                b":",
                b" ",
                b"\t",
                b"\n",
                b"\r",
                b"\0",
                b"\x7f",
                b"\x85",
                b"\xff",
                b"\x81\x85\0\0\0\0hello",
            ),
        ],
    ),
)
