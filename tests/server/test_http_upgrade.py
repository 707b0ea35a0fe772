"""A switch of protocols: at its time, to a protocol that is spoken, or not at all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.abc
import pytest
from websockets.frames import Opcode

from hub.errors import RefusalReason
from tests.server.test_http_body import request, spoken
from tests.support.answers import Spoken, read_spoken
from tests.support.clients import handshake
from tests.support.entry import Entry
from tests.support.loops import LOOPS, environ_for
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub

UPGRADE: Final = handshake(PATH)
MESSAGE: Final = b"\x81\x85\x00\x00\x00\x00hello"
PING: Final = b"\x89\x85\x00\x00\x00\x00hello"


def test_an_upgrade_is_handed_on(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(UPGRADE)
    (head,) = entry.switched
    assert head.splitlines()[0] == UPGRADE.splitlines()[0]
    assert sorted(head.lower().splitlines()) == sorted(UPGRADE.lower().splitlines())
    assert entry.served == []


def test_it_may_follow_an_answer(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request())
    transport.receive(UPGRADE)
    assert spoken(transport).statuses == [200]
    assert len(entry.switched) == 1


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_it_is_refused_behind_a_request_that_is_not_answered_yet(
    entry: Entry, ahead: int, size: int
) -> None:
    entry.hold()
    transport = entry.connect()
    sent = request() * ahead + UPGRADE
    for at in range(0, len(sent), size):
        transport.receive(sent[at : at + size])
    assert entry.switched == []
    entry.release()
    entry.turn(20)
    assert entry.switched == []
    assert spoken(transport).statuses == [200] * ahead + [429]
    assert transport.is_closing()
    assert entry.refused == [RefusalReason.RATE]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shift", range(6))
@pytest.mark.parametrize("last", [1, 2, 3, 4, 5])
def test_it_is_refused_however_the_request_ahead_is_cut(
    entry: Entry, size: int, shift: int, last: int
) -> None:
    entry.hold()
    transport = entry.connect()
    ahead = request(target="/" + "a" * shift)
    for at in range(0, len(ahead) - last, size):
        transport.receive(ahead[at : min(at + size, len(ahead) - last)])
    transport.receive(ahead[-last:] + UPGRADE)
    assert entry.switched == []
    assert len(entry.served) == 1
    entry.release()
    entry.turn(20)
    assert entry.switched == []
    assert spoken(transport).statuses == [200, 429]


def test_it_is_refused_if_it_has_only_begun_behind_it(entry: Entry) -> None:
    entry.hold()
    transport = entry.connect()
    transport.receive(request() + UPGRADE[:20])
    entry.release()
    transport.receive(UPGRADE[20:])
    assert entry.switched == []
    assert spoken(transport).statuses == [200, 429]


def test_an_empty_line_between_does_not_make_it_too_early(entry: Entry) -> None:
    entry.hold()
    transport = entry.connect()
    transport.receive(request() + b"\r\n")
    entry.release()
    transport.receive(UPGRADE)
    assert len(entry.switched) == 1


def test_what_comes_with_it_is_handed_on_after_it(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(UPGRADE + b"\x81\x80abcd")
    assert len(entry.switched) == 2
    assert entry.switched[1] == b"\x81\x80abcd"


IGNORED: Final = {
    "in HTTP/1.0": UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "to HTTP/2": UPGRADE.replace(b"websocket", b"h2c"),
    "to HTTP/2, as curl asks": request(
        "GET",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        target=PATH,
    ),
    "to one of several": UPGRADE.replace(b"websocket", b"h2c, websocket"),
    "to a newer one": UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: websocket/14"),
    "to nothing": UPGRADE.replace(b"Upgrade: websocket\r\n", b""),
    "without saying so": UPGRADE.replace(b"Connection: Upgrade\r\n", b""),
    "and takes it back": UPGRADE.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"),
    "with a length of nothing": UPGRADE.replace(b"websocket", b"h2c").replace(
        b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "that posts": UPGRADE.replace(b"websocket", b"h2c").replace(b"GET", b"POST"),
}


@pytest.mark.parametrize("head", IGNORED.values(), ids=IGNORED)
def test_one_that_is_not_spoken_is_answered_as_if_it_had_not_been_asked_for(
    entry: Entry, head: bytes
) -> None:
    transport = entry.connect()
    transport.receive(head)
    assert entry.switched == []
    assert [path for _, path in entry.served] == [PATH]
    assert spoken(transport).statuses == [200]
    assert transport.is_closing() is (b"HTTP/1.0" in head)


@pytest.mark.parametrize("head", [one for one in IGNORED.values() if b"HTTP/1.0" not in one])
def test_and_so_is_what_follows_it(entry: Entry, head: bytes) -> None:
    transport = entry.connect()
    transport.receive(head + request(target="/next") + head)
    entry.turn(20)
    assert [path for _, path in entry.served] == [PATH, "/next", PATH]
    assert spoken(transport).statuses == [200] * 3


@pytest.mark.parametrize("head", IGNORED.values(), ids=IGNORED)
def test_of_which_nothing_is_logged(
    entry: Entry, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    entry.connect().receive(head)
    assert caplog.records == []


@pytest.mark.parametrize("target", ["/livez", "localhost:80", "localhost", "http://localhost/"])
def test_a_tunnel_is_refused(entry: Entry, target: str) -> None:
    transport = entry.connect()
    transport.receive(request("CONNECT", target=target) + request())
    assert spoken(transport).statuses == [400]
    assert entry.served == []


# At a hub


@pytest.fixture(scope="module", params=LOOPS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("loop")
    with start_hub(environ=environ_for(request.param, directory)) as server:
        yield server


@asynccontextmanager
async def stranger(server: ServerProcess) -> AsyncIterator[anyio.abc.SocketStream]:
    with anyio.fail_after(2 * DEADLINE):
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            yield stream


async def said(stream: anyio.abc.SocketStream) -> Spoken:
    """Read until the server ends the connection; take it apart."""
    read = b""
    try:
        while True:
            read += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return read_spoken(read)


async def clients(server: ServerProcess) -> int:
    async with stranger(server) as stream:
        await stream.send(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        (answer,) = (await said(stream)).answers
    figures = re.findall(
        r'^hub_clients\{transport="\w+"\} (\d+)', answer.body.decode(), re.MULTILINE
    )
    assert figures
    return sum(map(int, figures))


@pytest.mark.parametrize("target", ["/livez", f"{PATH}/stream", "/openapi.json"])
async def test_an_answer_and_frames_do_not_mingle(server: ServerProcess, target: str) -> None:
    mark = server.log.mark
    for _ in range(20):
        async with stranger(server) as stream:
            await stream.send(request(target=target) + UPGRADE)
            if target.endswith("stream"):
                while b"data:" not in await stream.receive():
                    continue
            else:
                assert (await said(stream)).statuses == [200, 429]
    await nobody_is_left(server)
    assert not [line for line in server.log.since(mark) if " ERROR " in line]


async def test_frames_that_come_with_the_handshake_are_read(server: ServerProcess) -> None:
    async with stranger(server) as stream:
        await stream.send(UPGRADE + MESSAGE + PING)
        read = b""
        while b"\x8a\x05hello" not in read:
            read += await stream.receive()
        spoken = read_spoken(read)
    assert spoken.statuses == [101]
    assert spoken.frames[0].opcode is Opcode.PONG or spoken.frames[0].opcode is Opcode.TEXT
    await nobody_is_left(server)


@pytest.mark.parametrize("early", [PING, b"\x81\x01x", b"\xff\xff" * 20, PING * 1000])
@pytest.mark.parametrize("rest", [b"", request(), UPGRADE])
async def test_whatever_comes_with_the_handshake_an_answer_comes_first(
    server: ServerProcess, early: bytes, rest: bytes
) -> None:
    mark = server.log.mark
    async with stranger(server) as stream:
        await stream.send(UPGRADE + early + rest)
        await stream.send_eof()
        assert (await said(stream)).statuses in ([101], [400], [])
    await nobody_is_left(server)
    assert not [line for line in server.log.since(mark) if " ERROR " in line]


async def nobody_is_left(server: ServerProcess) -> None:
    with anyio.fail_after(DEADLINE):
        while await clients(server):  # noqa: ASYNC110 # nothing tells of it
            await anyio.sleep(0.05)
