"""Strangers at the entry: requests that never end, are too big, too many or no requests at all."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import Final

import anyio
import anyio.abc
import pytest

from hub.errors import RefusalReason
from hub.server.http_limits import HandshakeProtocol
from hub.server.waiting import Pending
from tests.support.clients import client, close_code, handshake, message, receive
from tests.support.entry import Entry
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub
from tests.support.transport import FakeTransport


@pytest.fixture(scope="module")
def shared() -> Iterator[ServerProcess]:
    with start_hub() as server:
        yield server


@pytest.fixture
async def server(shared: ServerProcess) -> AsyncIterator[ServerProcess]:
    """A hub that serves others all the while, and knows of no client afterwards."""
    mark = shared.log.mark
    async with client(shared.url()) as websocket:
        await receive(websocket)
        yield shared
        await receive(websocket)
    await shared.has_total(0)
    shared.assert_tidy(since=mark)


@asynccontextmanager
async def stranger(server: ServerProcess) -> AsyncIterator[anyio.abc.SocketStream]:
    with anyio.fail_after(2 * DEADLINE):
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            yield stream


async def ask(stream: anyio.abc.SocketStream, request: bytes) -> bytes:
    """Send as much of a request as the server takes; return what it has answered at the end."""
    with suppress(anyio.BrokenResourceError):  # it may hang up before all was sent
        await stream.send(request)
    return await answer(stream)


async def answer(stream: anyio.abc.SocketStream) -> bytes:
    """Read until the server ends the connection, in whatever way."""
    read = b""
    try:
        while True:
            read += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return read


def status(read: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", read)
    assert found, read
    return int(found[1])


GET: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"

REFUSED: Final = {
    "nonsense": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no method": (b"\r\n\r\n /\r\n\r\n", 400),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2p1\r\n", 400),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a control character": (GET + b"X: a\x00b\r\n\r\n", 400),
    "two lengths": (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    "a length and chunks": (GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a line of 17 KiB": (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n\r\n", 431),
    "a header of 17 KiB": (GET + b"Cookie: " + b"a" * 17_000 + b"\r\n\r\n", 431),
    "a header of 1 MiB that does not end": (GET + b"Cookie: " + b"a" * 2**20, 431),
    "17 KiB of small headers": (GET + b"X: y\r\n" * 3000 + b"\r\n", 431),
    "140 headers": (GET + b"X: y\r\n" * 140 + b"\r\n", 431),
    "a handshake with a cookie of 17 KiB": (
        handshake(PATH, "Cookie: " + "a" * 17_000),
        431,
    ),
    "a handshake with a cookie of 9 KB": (handshake(PATH, "Cookie: " + "a" * 9_000), 431),
    "a handshake with 140 headers": (handshake(PATH, *(f"X-{n}: y" for n in range(140))), 431),
    "a handshake with a body": (handshake(PATH, "Content-Length: 5") + b"hello", 413),
    "a handshake in chunks": (handshake(PATH, "Transfer-Encoding: chunked") + b"0\r\n\r\n", 413),
    "a handshake without a key": (
        handshake(PATH).replace(b"Sec-WebSocket-Key", b"X-Key"),
        400,
    ),
    "a handshake of an old version": (handshake(PATH).replace(b"Version: 13", b"Version: 8"), 400),
    "a handshake that posts": (handshake(PATH).replace(b"GET", b"POST"), 405),
}


@pytest.mark.parametrize(("request_", "expected"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_request_is_answered_and_cut_off(
    server: ServerProcess, request_: bytes, expected: int
) -> None:
    async with stranger(server) as stream:
        read = await ask(stream, request_)
    # Where the server has hung up before all was said, the answer may be lost to a reset.
    assert not read or status(read) == expected
    assert read or len(request_) > 100_000


async def test_refusals_of_what_is_no_request_are_counted(server: ServerProcess) -> None:
    before = await figures(server)
    async with stranger(server) as stream:
        await stream.send(REFUSED["nonsense"][0])
        await answer(stream)
    async with stranger(server) as stream:
        await stream.send(REFUSED["a handshake with a body"][0])
        await answer(stream)
    async with stranger(server) as stream:
        await stream.send(REFUSED["17 KiB of small headers"][0])
        await answer(stream)
    async with stranger(server) as stream:
        await stream.send(REFUSED["a handshake without a key"][0])
        await answer(stream)
    after = await figures(server)
    assert after["malformed"] - before["malformed"] == 2
    assert after["body"] - before["body"] == 1
    assert after["too_large"] - before["too_large"] == 1


async def figures(server: ServerProcess) -> dict[str, int]:
    async with stranger(server) as stream:
        await stream.send(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        text = (await answer(stream)).decode()
    found = re.findall(r'^hub_refused_total\{reason="(\w+)"\} (\d+)', text, re.MULTILINE)
    return {name: int(value) for name, value in found}


async def test_a_request_that_comes_byte_by_byte_is_served(server: ServerProcess) -> None:
    async with stranger(server) as stream:
        for byte in GET + b"Connection: close\r\n\r\n":
            await stream.send(bytes((byte,)))
        assert status(await answer(stream)) == 200


async def test_a_head_of_16_kib_is_served_over_and_over(server: ServerProcess) -> None:
    head = GET + b"X: " + b"a" * 15_000 + b"\r\n\r\n"
    async with stranger(server) as stream:
        for _ in range(5):
            await stream.send(head)
            read = b""
            while not read.endswith(b"\r\n\r\nok\n"):
                read += await stream.receive()
            assert status(read) == 200


BODIES: Final = {
    "a long one": (b"Content-Length: 1000000000\r\n\r\n", bytes(1000)),
    "chunks of one byte": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "an endless trailer": (b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
    "an endless extension": (b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"a"),
}
ROUTES: Final = ("/livez", PATH, f"{PATH}/stream", "/metrics", "/", "/nothing", "/api/system/ws")


@pytest.mark.parametrize(("head", "again"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("target", ROUTES)
async def test_an_endless_body_is_refused_at_once(
    server: ServerProcess, target: str, head: bytes, again: bytes
) -> None:
    before = await figures(server)
    async with stranger(server) as stream:
        await stream.send(GET.replace(b"/livez", target.encode()) + head)
        with suppress(anyio.BrokenResourceError):
            while True:
                await stream.send(again * 100)
        read = await answer(stream)  # which may be lost to the reset
    assert not read or status(read) == 413
    assert (await figures(server))["body"] - before["body"] == 1


async def test_a_pipeline_is_answered_in_order_as_long_as_it_is_short(
    server: ServerProcess,
) -> None:
    async with stranger(server) as stream:
        await stream.send((GET + b"\r\n") * 5 + GET + b"Connection: close\r\n\r\n")
        assert (await answer(stream)).count(b"HTTP/1.1 200 OK") == 6


async def test_a_pipeline_of_thousands_is_cut_off(server: ServerProcess) -> None:
    async with stranger(server) as stream:
        read = await ask(stream, (GET + b"\r\n") * 5000)
    assert read.count(b"HTTP/1.1 200 OK") <= HandshakeProtocol.PIPELINE + 1
    assert not read or b"HTTP/1.1 429" in read


STREAM: Final = f"GET {PATH}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def places(server: ServerProcess) -> int:
    """Return how many clients have a place in the feed of server-sent events."""
    async with stranger(server) as stream:
        await stream.send(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        text = (await answer(stream)).decode()
    found = re.search(r'^hub_clients\{transport="events"\} (\d+)', text, re.MULTILINE)
    assert found, text
    return int(found[1])


@pytest.mark.parametrize("more", [b"", b"nonsense\r\n\r\n", GET + b"\r\n", (GET + b"\r\n") * 50])
async def test_whatever_follows_a_stream_s_request_its_end_is_noticed_without_a_word(
    server: ServerProcess, more: bytes
) -> None:
    mark = server.log.mark
    async with stranger(server) as stream:
        await stream.send(STREAM)
        while b"data:" not in await stream.receive():
            continue
        assert await places(server) == 1
        await stream.send(more)
        with suppress(anyio.EndOfStream):  # what is too much ends it at once
            await stream.receive()
    with anyio.fail_after(DEADLINE):
        while await places(server):  # noqa: ASYNC110 # nothing tells of it
            await anyio.sleep(0.05)
    assert not [line for line in server.log.since(mark) if " ERROR " in line]


async def test_a_thousand_who_say_nothing_are_cut_off_and_others_come_in(
    server: ServerProcess,
) -> None:
    begun = time.monotonic()
    socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
    try:
        for number, sock in enumerate(socks):
            sock.sendall(handshake(PATH)[: number % 100])
        async with client(server.url()) as websocket:
            await message(websocket)
        with anyio.fail_after(2 * DEADLINE):
            for number, sock in enumerate(socks):
                sock.setblocking(False)
                await anyio.wait_readable(sock)
                read = _received(sock)
                assert not read if number % 100 == 0 else status(read) == 408
        assert Pending.SECONDS <= time.monotonic() - begun < 10
    finally:
        for sock in socks:
            sock.close()
    assert (await figures(server))["timeout"] >= 990


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(4096)
    except ConnectionResetError:
        return b""


# Without a socket


def test_silence_is_cut_off_after_its_time_and_not_before(entry: Entry) -> None:
    transport = entry.connect()
    entry.wait(Pending.SECONDS - 0.1)
    assert not transport.aborted
    entry.wait(0.1)
    assert transport.aborted
    assert transport.wire == b""
    assert len(entry.pending) == 0


def test_many_small_headers_are_refused_before_the_head_is_complete(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(GET + b"X: y\r\n" * 127)
    assert not transport.is_closing()
    transport.receive(b"X: y\r\n" * 2)
    assert status(bytes(transport.wire)) == 431
    assert entry.refused == [RefusalReason.TOO_LARGE]


def test_who_still_takes_an_answer_is_not_cut_off(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(GET + b"\r\n")
    entry.loop.do(lambda: transport.get_protocol().pause_writing())
    transport.room = 0
    entry.loop.do(lambda: transport.write(b"the rest of it"))
    entry.wait(Pending.SECONDS)
    assert not transport.aborted
    assert transport.is_closing()


def test_what_has_begun_and_does_not_end_is_told_so(entry: Entry) -> None:
    transport = entry.connect()
    for byte in b"GET /":
        transport.receive(bytes((byte,)))
        entry.wait(1)
    assert status(bytes(transport.wire)) == 408
    assert entry.refused == [RefusalReason.TIMEOUT]
    assert transport.is_closing()


def test_after_an_answer_the_time_begins_anew(entry: Entry) -> None:
    transport = entry.connect()
    for number in range(3):
        entry.wait(Pending.SECONDS - 1)
        transport.receive(GET + b"\r\n")
        assert len(entry.served) == number + 1
    assert not transport.is_closing()
    entry.wait(Pending.SECONDS)
    assert transport.aborted


def test_a_body_that_trickles_on_does_not_keep_the_connection(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(GET + b"Content-Length: 1000\r\n\r\n")
    for _ in range(5):
        transport.receive(b"x")
        entry.wait(1)
    assert transport.is_closing()


def test_above_the_capacity_it_is_told_at_once(entry: Entry) -> None:
    kept = [entry.connect(capacity=2) for _ in range(2)]
    surplus = entry.connect(capacity=2)
    assert status(bytes(surplus.wire)) == 503
    assert b"retry-after: 5\r\n" in surplus.wire
    assert surplus.is_closing()
    assert not any(transport.is_closing() for transport in kept)
    assert entry.refused == [RefusalReason.CAPACITY]


@pytest.mark.parametrize("line", [b"GET /\r\n", b"GET / HTTP/0.9\r\n", b"GET / HTTP/2.0\r\n"])
def test_a_version_that_is_not_spoken_is_refused(entry: Entry, line: bytes) -> None:
    transport = entry.connect()
    transport.receive(line + b"Host: localhost\r\n\r\n")
    assert status(bytes(transport.wire)) == 400
    assert transport.is_closing()
    assert entry.served == []


def from_address(entry: Entry, address: str, capacity: int = 4) -> FakeTransport:
    """Let a client connect from an address, be answered, and say no more."""
    transport = entry.connect(capacity, address)
    transport.receive(GET + b"\r\n")
    assert status(bytes(transport.wire)) == 200
    return transport


def test_where_there_is_no_room_the_oldest_idle_one_of_the_busiest_address_goes(
    entry: Entry,
) -> None:
    quiet = from_address(entry, "192.0.2.1")
    busy = [from_address(entry, "192.0.2.2") for _ in range(3)]
    for number in range(2):
        newcomer = from_address(entry, f"192.0.2.{number + 3}")
        assert not newcomer.is_closing()
        assert [one.aborted for one in busy] == [True, number == 1, False]
    assert not quiet.is_closing()
    assert len(entry.state.connections) == 4
    assert entry.refused == [RefusalReason.CAPACITY] * 2


def test_addresses_of_one_line_are_one_address(entry: Entry) -> None:
    alone = from_address(entry, "2001:db8:1::1")
    first = from_address(entry, "2001:db8:2::1")
    from_address(entry, "2001:db8:2::2")
    from_address(entry, "2001:db8:3::1")
    entry.connect(4, "192.0.2.1")
    assert (alone.aborted, first.aborted) == (False, True)


def test_what_is_not_idle_is_kept(entry: Entry) -> None:
    fresh = entry.connect(4)
    begun = from_address(entry, "192.0.2.2")
    begun.receive(b"GET")
    entry.hold()
    waiting = entry.connect(4)
    waiting.receive(GET + b"\r\n")
    entry.connect(4)
    surplus = entry.connect(4, "192.0.2.9")
    assert status(bytes(surplus.wire)) == 503
    assert not any(one.is_closing() for one in (fresh, begun, waiting))


def test_a_client_that_still_takes_its_answer_is_not_idle(entry: Entry) -> None:
    slow = entry.connect(1)
    slow.room = 10
    slow.receive(GET + b"\r\n")
    assert status(bytes(entry.connect(1).wire)) == 503
    slow.take()
    assert not entry.connect(1).wire
    assert slow.aborted


def test_nothing_is_kept_of_idle_connections_that_have_gone(entry: Entry) -> None:
    from_address(entry, "192.0.2.1").reset()
    assert len(entry.idle) == 0
    from_address(entry, "192.0.2.1").receive(b"\0")
    assert len(entry.idle) == 0
    from_address(entry, "192.0.2.1")
    assert len(entry.idle) == 1
    entry.wait(Pending.SECONDS)
    assert len(entry.idle) == 0


def test_who_hangs_up_is_forgotten(entry: Entry) -> None:
    transport = entry.connect()
    transport.reset()
    assert len(entry.pending) == 0
    assert not entry.state.connections
    entry.wait(100)
    assert entry.refused == []


def test_what_comes_after_a_refusal_is_not_read(entry: Entry) -> None:
    transport = entry.connect()
    entry.loop.do(lambda: transport.get_protocol().data_received(b"\x00"))
    said = bytes(transport.wire)
    assert status(said) == 400
    entry.loop.do(lambda: transport.get_protocol().data_received(GET + b"\r\n"))
    assert bytes(transport.wire) == said
    assert entry.served == []


# At the end


async def test_clients_that_were_refused_do_not_keep_the_hub_from_ending_well() -> None:
    attacks = [data for data, _ in REFUSED.values()] * 10
    with start_hub() as server:
        async with AsyncExitStack() as stack:
            followers = [await stack.enter_async_context(client(server.url())) for _ in range(20)]
            for follower in followers:
                await receive(follower)
            socks = [_attacked(server.port, data) for data in attacks]
            server.process.terminate()
            assert [await close_code(follower) for follower in followers] == [1012] * 20
            assert await server.ended() == 0
            for sock in socks:
                sock.close()
    assert "Hub stopped" in server.log.text
    assert len(server.log.text.splitlines()) < 100


@pytest.mark.parametrize("seconds", ["0", "1.5"])
async def test_answers_that_nobody_reads_do_not_hold_it_up(seconds: str) -> None:
    document = STREAM.replace(f"{PATH}/stream".encode(), b"/openapi.json")
    with start_hub("--drain-seconds", seconds) as server, ExitStack() as stack:
        async with client(server.url()) as follower:
            await receive(follower)
            for ahead in range(7):  # so that in one of them it is the stream that fills the buffers
                sock = stack.enter_context(_deaf(server.port))
                sock.sendall(document * ahead + STREAM)
            for _ in range(3):
                assert await places(server) > 0
                await receive(follower)
            server.process.terminate()
            assert await close_code(follower) == 1012
        assert await server.ended() == 0
    # One of them would say that the time of grace was over.
    assert not [line for line in server.log.text.splitlines() if " ERROR " in line]


def test_what_is_not_taken_at_the_end_is_given_up_soon(entry: Entry) -> None:
    transport = entry.connect()
    transport.room = 0
    transport.receive(GET + b"\r\n")
    entry.loop.do(lambda: transport.get_protocol().shutdown())  # type: ignore[attr-defined]
    entry.loop.skip(0.4)
    assert not transport.aborted
    entry.loop.skip(0.2)
    assert transport.aborted


def _deaf(port: int) -> socket.socket:
    """Connect with as little room for what is not read as the kernel allows."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", port))
    return sock


def _attacked(port: int, data: bytes) -> socket.socket:
    """Send without hearing the answer."""
    sock = socket.create_connection(("127.0.0.1", port))
    with suppress(ConnectionError):
        sock.sendall(data)
    return sock
