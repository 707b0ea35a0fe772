"""No request has a body: what follows a head is another request, or too much."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import RefusalReason
from hub.server.http_limits import HandshakeProtocol
from hub.server.waiting import Pending
from tests.support.answers import Spoken, read_spoken
from tests.support.clients import handshake
from tests.support.entry import Entry
from tests.support.servers import PATH
from tests.support.transport import FakeTransport


def spoken(transport: FakeTransport) -> Spoken:
    return read_spoken(bytes(transport.wire))


def request(method: str = "GET", *headers: str, target: str = "/livez") -> bytes:
    lines = (f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", "")
    return "\r\n".join(lines).encode()


ANNOUNCED: Final = {
    "a length": ("Content-Length: 5",),
    "a length of more than there is": ("Content-Length: 99999999999",),
    "a length that begins with zeros": ("Content-Length: 0001",),
    "a length and an expectation": ("Content-Length: 5", "Expect: 100-continue"),
    "chunks": ("Transfer-Encoding: chunked",),
    "packed chunks": ("Transfer-Encoding: gzip, chunked",),
    "another coding": ("Transfer-Encoding: identity",),
    "chunks with trailers": ("Transfer-Encoding: chunked", "Trailer: X", "TE: trailers"),
    "a length, in other letters": ("cONTENT-lENGTH:\t 5 ",),
}
BODIES: Final = {
    "none yet": b"",
    "all of it": b"5\r\nhello\r\n0\r\n\r\n",
    "a trailer": b"0\r\nX: a\r\n\r\n",
    "an extension": b"1;x=y\r\nx\r\n",
    "a request": request(),
}
METHODS: Final = ("GET", "POST", "HEAD", "OPTIONS", "DELETE")


@pytest.mark.parametrize("headers", ANNOUNCED.values(), ids=ANNOUNCED)
@pytest.mark.parametrize("method", METHODS)
def test_a_request_that_announces_a_body_is_refused(
    entry: Entry, method: str, headers: tuple[str, ...]
) -> None:
    transport = entry.connect()
    transport.receive(request(method, *headers))
    (answer,) = spoken(transport).answers
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert transport.is_closing()
    assert entry.served == []
    assert entry.refused == [RefusalReason.BODY]


@pytest.mark.parametrize("headers", ANNOUNCED.values(), ids=ANNOUNCED)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("split", [True, False], ids=["split", "whole"])
def test_none_of_a_body_is_read(
    entry: Entry, headers: tuple[str, ...], body: bytes, *, split: bool
) -> None:
    transport = entry.connect()
    head = request("POST", *headers)
    for segment in (head, body) if split else (head + body,):
        transport.receive(segment)
    assert spoken(transport).statuses == [413]
    assert entry.served == []


@pytest.mark.parametrize("headers", ANNOUNCED.values(), ids=ANNOUNCED)
def test_a_handshake_that_announces_a_body_is_refused(
    entry: Entry, headers: tuple[str, ...]
) -> None:
    transport = entry.connect()
    transport.receive(handshake(PATH, *headers) + b"5\r\nhello\r\n0\r\n\r\n")
    assert spoken(transport).statuses == [413]
    assert entry.switched == []


def test_a_head_that_is_too_big_is_refused_as_that_whatever_it_announces(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request("POST", "Content-Length: 5", "X: " + "a" * 17_000))
    assert spoken(transport).statuses == [431]


@pytest.mark.parametrize("length", ["0", "00", "0 "])
@pytest.mark.parametrize("method", METHODS)
def test_a_length_of_nothing_is_no_body(entry: Entry, method: str, length: str) -> None:
    transport = entry.connect()
    for _ in range(2):
        transport.receive(request(method, f"Content-Length: {length}"))
    assert entry.served == [(method, "/livez")] * 2
    assert not transport.is_closing()


@pytest.mark.parametrize("length", ["0", "00"])
def test_a_length_of_nothing_is_no_body_of_a_handshake(entry: Entry, length: str) -> None:
    transport = entry.connect()
    transport.receive(handshake(PATH, f"Content-Length: {length}"))
    (head,) = entry.switched
    assert head.startswith(b"GET ")
    assert b"content-length" not in head  # with which not every version of the library is content


def test_nothing_is_asked_to_go_on(entry: Entry) -> None:
    entry.listens = True
    transport = entry.connect()
    transport.receive(request("GET", "Expect: 100-continue"))
    assert spoken(transport).statuses == [200]


# What comes after a request, while that is being answered


def test_requests_are_answered_one_after_the_other(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(b"".join(request(target=f"/{n}") for n in range(5)))
    entry.turn(20)
    assert entry.served == [("GET", f"/{n}") for n in range(5)]
    assert spoken(transport).statuses == [200] * 5
    assert not transport.is_closing()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 43, 100])
def test_however_requests_are_cut_they_are_read_alike(entry: Entry, size: int) -> None:
    transport = entry.connect()
    sent = b"\r\n" + b"\r\n".join(request(target=f"/{n}") for n in range(5)) + b"\r\n\r\n"
    for at in range(0, len(sent), size):
        transport.receive(sent[at : at + size])
    entry.turn(20)
    assert entry.served == [("GET", f"/{n}") for n in range(5)]
    assert spoken(transport).statuses == [200] * 5


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shift", range(6))
def test_the_end_of_a_head_is_found_however_it_is_cut(entry: Entry, size: int, shift: int) -> None:
    entry.hold()
    transport = entry.connect()
    sent = request(target="/" + "a" * shift) + request(target="/b")
    for at in range(0, len(sent), size):
        transport.receive(sent[at : at + size])
    assert len(entry.served) == 1  # the other waits for its answer
    assert len(entry.pending) == 1
    entry.release()
    entry.turn(20)
    assert [target for _, target in entry.served] == ["/" + "a" * shift, "/b"]


TOKENS: Final = st.sampled_from(
    (
        *(b"GET / HTTP/1.1", b"GET /", b"POST / HTTP/1.0", b"X: y", b"Connection: upgrade"),
        *(b"Upgrade: websocket", b"Upgrade: h2c", b"\r\n", b"\r\n", b"\r\n", b"\r\n\r\n"),
        *(b"\r", b"\n", b" ", b":", b"\t"),
    )
)


@given(st.lists(st.lists(TOKENS, max_size=12).map(b"".join), max_size=5))
def test_the_parser_ends_no_head_elsewhere(segments: list[bytes]) -> None:
    entry = Entry()
    try:
        entry.hold()
        transport = entry.connect()
        for segment in segments:
            transport.receive(segment)
        assert len(entry.served) + len(entry.switched) <= 1
        assert len(spoken(transport).answers) <= 1
    finally:
        entry.close()


def test_a_request_is_begun_only_when_the_one_before_has_been_answered(entry: Entry) -> None:
    entry.hold()
    transport = entry.connect()
    transport.receive(request(target="/1") + request(target="/2"))
    entry.turn(20)
    assert entry.served == [("GET", "/1")]
    assert transport.is_reading()  # else it would go unnoticed when the client leaves
    entry.release()
    entry.turn(20)
    assert entry.served == [("GET", "/1"), ("GET", "/2")]


@pytest.mark.parametrize("size", [1, 1000, 100_000])
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_what_comes_behind_is_bounded_in_bytes(entry: Entry, size: int, *, begun: bool) -> None:
    entry.hold(begun=begun)
    transport = entry.connect()
    transport.receive(request())
    sent = 0
    while not transport.is_closing():
        transport.receive(b"x" * size)
        sent += size
        assert sent <= HandshakeProtocol.HEAD_BYTES + size
    assert entry.refused == [RefusalReason.TOO_LARGE]
    assert entry.left == 1
    answers = spoken(transport).answers
    assert [answer.status for answer in answers] == ([200] if begun else [431])
    assert answers[0].complete is not begun


def test_what_comes_behind_in_the_same_segment_is_bounded_as_well(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request() + b"x" * (HandshakeProtocol.HEAD_BYTES + 1))
    assert transport.is_closing()
    assert entry.refused == [RefusalReason.TOO_LARGE]


def test_what_comes_behind_is_bounded_in_number(entry: Entry) -> None:
    entry.hold()
    transport = entry.connect()
    for _ in range(HandshakeProtocol.PIPELINE + 1):
        transport.receive(request())
    assert not transport.is_closing()
    transport.receive(request())
    assert transport.is_closing()
    assert entry.refused == [RefusalReason.RATE]


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_what_comes_behind_is_bounded_in_time(entry: Entry, *, begun: bool) -> None:
    entry.hold(begun=begun)
    transport = entry.connect()
    transport.receive(request())
    entry.wait(100)
    assert not transport.is_closing()  # an answer may take for ever
    for _ in range(5):
        transport.receive(b"x")
        assert not transport.aborted
        entry.wait(Pending.SECONDS / 5)
    assert transport.aborted
    assert entry.refused == [RefusalReason.TIMEOUT]
    assert entry.left == 1


def test_an_empty_line_behind_a_request_is_but_a_habit(entry: Entry) -> None:
    entry.hold()
    transport = entry.connect()
    transport.receive(request() + b"\r")
    transport.receive(b"\n")
    entry.wait(100)
    assert not transport.is_closing()
    entry.release()
    entry.wait(Pending.SECONDS)
    assert transport.aborted  # as one that has said nothing since
    assert spoken(transport).statuses == [200]


def test_empty_lines_do_not_go_on_for_ever(entry: Entry) -> None:
    transport = entry.connect()
    for _ in range(5):
        transport.receive(b"\r\n\r\n\r\n")
        entry.wait(1)
    assert transport.is_closing()
    other = entry.connect()
    other.receive(b"\r\n" * HandshakeProtocol.HEAD_BYTES)
    assert spoken(other).statuses == [431]


def test_what_has_come_behind_and_is_no_whole_head_has_its_time_from_the_answer_on(
    entry: Entry,
) -> None:
    entry.hold()
    transport = entry.connect()
    transport.receive(request() + request()[:10])
    entry.wait(Pending.SECONDS - 1)
    entry.release()
    entry.wait(Pending.SECONDS - 1)
    transport.receive(request()[10:])
    assert spoken(transport).statuses == [200, 200]


def test_nonsense_behind_a_request_is_refused_after_its_answer(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request() + b"\x00\r\n\r\n" + request())
    entry.turn(20)
    assert spoken(transport).statuses == [200, 400]
    assert transport.is_closing()


def test_what_comes_behind_the_last_request_is_not_read(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request("GET", "Connection: close") + request() * 3)
    entry.turn(20)
    assert spoken(transport).statuses == [200]
    assert len(entry.served) == 1


@pytest.mark.parametrize("end", [FakeTransport.reset, FakeTransport.receive_eof])
def test_a_client_that_leaves_while_it_is_answered_is_noticed(entry: Entry, end: object) -> None:
    entry.hold(begun=True)
    transport = entry.connect()
    transport.receive(request() + request())
    assert callable(end)
    end(transport)
    entry.turn(3)
    assert entry.left == 1
    assert entry.state.connections == set()
    assert len(entry.pending) == 0
    assert len(entry.served) == 1


# Taking turns


def test_in_one_turn_of_the_loop_one_request_that_has_come_behind_another_is_begun(
    entry: Entry,
) -> None:
    transports = [entry.connect() for _ in range(5)]
    entry.turn(60, lambda: hand_over(transports, request() * 7))
    assert len(entry.served) == 35
    first, behind = entry.turns_of_requests[:5], entry.turns_of_requests[5:]
    assert len(set(first)) == 1  # those that waited for nothing
    assert len(set(behind)) == 30
    assert [spoken(transport).statuses for transport in transports] == [[200] * 7] * 5


def test_connections_take_turns(entry: Entry) -> None:
    transports = [entry.connect() for _ in range(3)]
    entry.turn(60, lambda: hand_over(transports, request(target="/a") + request(target="/b") * 3))
    order = [target for _, target in entry.served]
    assert order == ["/a"] * 3 + ["/b"] * 9
    done = [len(spoken(transport).answers) for transport in transports]
    assert done == [4, 4, 4]


def test_a_turn_of_a_connection_that_is_gone_goes_to_the_next(entry: Entry) -> None:
    transports = [entry.connect() for _ in range(2)]
    entry.turn(1, lambda: hand_over(transports, request() * 3))
    transports[0].reset()
    entry.turn(20)
    assert spoken(transports[1]).statuses == [200] * 3
    assert len(entry.served) < 6


def hand_over(transports: Iterable[FakeTransport], data: bytes) -> None:
    """Have bytes come on all of them within one turn of the event loop."""
    for transport in transports:
        transport.get_protocol().data_received(data)
