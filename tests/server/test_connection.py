from __future__ import annotations

import asyncio
import errno
import itertools
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from websockets.frames import Close, Opcode
from websockets.frames import Frame as WebSocketFrame
from websockets.protocol import State
from websockets.server import ServerProtocol

from hub.errors import CloseReason
from hub.feed.subscriber import Outcome
from hub.feed.view import Frame
from hub.server.connection import CompressedConnection, Connection
from hub.web.extensions import InboundBudget
from tests.support.fakes import Replay
from tests.support.stage import (
    CAPACITY,
    PING,
    Stage,
    client_frame,
    message,
    server_frames,
    staged,
    texts,
)

NOT_MINIMAL: Final = [
    (b"\x81\xfe\x00\x01" + bytes(4) + b"x", b""),
    (b"\x8a\xfe\x00\x00" + bytes(4), client_frame(Opcode.PING, b"?")),
    (b"\x88\xfe\x00\x02" + bytes(4) + b"\x03\xe8", client_frame(Opcode.TEXT, b"x" * 125)),
    (b"\x82\xfe\x00\x7d" + bytes(4), client_frame(Opcode.TEXT, b"x" * 126)),
    (b"\x82\xff" + (126).to_bytes(8) + bytes(4), client_frame(Opcode.TEXT, b"x" * 200)),
    (b"\x00\xff" + (65535).to_bytes(8), client_frame(Opcode.TEXT, b"x", fin=False)),
    (b"\x89\xff" + bytes(8), b""),
]
"""Frames whose length is written in more bytes than it takes, and what may come before them."""


@pytest.fixture(params=[Connection, CompressedConnection], ids=["plain", "compressed"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Both kinds of connections, which are to be the same but for the compression."""
    with staged(kind=request.param) as made:
        yield made


class TestOutbound:
    def test_a_frame_is_written_as_the_very_bytes_that_were_built(self, stage: Stage) -> None:
        frame = message(1)
        stage.loop.do(lambda: stage.connection.offer(frame))
        assert stage.transport.writes == [frame.wire]
        assert texts(stage.wire) == [frame.payload]

    @pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
    def test_a_frame_of_any_size_is_whole(self, stage: Stage, size: int) -> None:
        assert stage.offer(1, size) is Outcome.DELIVERED
        assert texts(stage.wire) == [message(1, size).payload]

    def test_what_the_kernel_refuses_of_one_frame_is_the_most_that_is_buffered(self) -> None:
        with staged(room=5) as stage:
            first = stage.offer(0)
            assert [first, stage.offer(1)] == [Outcome.DELIVERED, Outcome.QUEUED]
            assert stage.transport.get_write_buffer_size() == len(message(0).wire) - 5

    def test_while_the_transport_is_paused_the_oldest_frames_go(self, stage: Stage) -> None:
        stage.fill()
        assert stage.offer(4) is Outcome.DROPPED
        assert stage.offer(5) is Outcome.DROPPED
        stage.transport.take()
        assert texts(stage.wire) == [message(n).payload for n in (0, 3, 4, 5)]

    def test_the_observer_is_told_of_an_episode_from_its_start_to_its_end(
        self, stage: Stage
    ) -> None:
        stage.fill()
        assert stage.observer.told == ["blocked"]
        stage.offer(4)
        stage.offer(5)
        stage.transport.take()
        slow, recovered = "slow 192.0.2.7:4711", "recovered 2"
        assert stage.observer.told == ["blocked", slow, "flowing", recovered]

    def test_after_a_flush_frames_go_straight_to_the_transport_again(self, stage: Stage) -> None:
        stage.fill()
        stage.transport.take()
        assert stage.offer(9) is Outcome.DELIVERED
        assert texts(stage.wire)[-1] == message(9).payload

    def test_a_flush_stops_where_the_transport_pauses_again(self, stage: Stage) -> None:
        stage.fill()
        stage.transport.take(2 * len(message(0).wire) + 1)
        statistics = stage.connection.statistics()
        assert (statistics.delivered, statistics.pending) == (3, 1)
        assert stage.observer.told == ["blocked", "flowing", "blocked"]
        assert stage.offer(4) is Outcome.QUEUED
        stage.transport.take()
        assert texts(stage.wire) == [message(n).payload for n in range(5)]

    def test_the_counters_tell_what_became_of_every_frame(self, stage: Stage) -> None:
        stage.fill()
        stage.offer(4)
        counted = stage.connection.statistics()
        assert (counted.offered, counted.delivered, counted.dropped) == (5, 1, 1)
        assert (counted.pending, counted.peak) == (CAPACITY, CAPACITY)

    def test_a_closed_connection_refuses_frames(self, stage: Stage) -> None:
        stage.close(CloseReason.STOPPING)
        assert stage.offer(1) is Outcome.REFUSED
        assert stage.connection.statistics().offered == 0

    def test_a_connection_that_was_cut_off_refuses_frames(self, stage: Stage) -> None:
        stage.fill(1)
        stage.close(CloseReason.TOO_SLOW)
        before = stage.connection.statistics()
        assert stage.offer(2) is Outcome.REFUSED
        assert stage.connection.statistics() == before

    def test_a_connection_that_is_lost_refuses_frames(self, stage: Stage) -> None:
        stage.transport.reset()
        assert stage.offer(1) is Outcome.REFUSED
        assert stage.connection.statistics().offered == 0

    def test_a_connection_that_is_lost_while_it_is_blocked_refuses_frames(
        self, stage: Stage
    ) -> None:
        stage.fill(1)
        stage.transport.reset()
        assert stage.offer(2) is Outcome.REFUSED


class TestKeepalive:
    def test_a_probe_is_a_ping(self, stage: Stage) -> None:
        stage.probe()
        assert stage.wire == PING

    def test_a_client_that_answers_no_ping_is_given_up_at_the_next_probe(
        self, stage: Stage
    ) -> None:
        stage.probe()
        stage.probe()
        assert stage.farewell == Close(1011, "keepalive lost")
        assert stage.transport.eof_sent

    @pytest.mark.parametrize(
        "life",
        [
            pytest.param(client_frame(Opcode.PONG), id="pong"),
            pytest.param(client_frame(Opcode.TEXT, b"hello"), id="message"),
            pytest.param(client_frame(Opcode.TEXT, b"hello")[:1], id="one-byte"),
        ],
    )
    def test_any_bytes_are_a_sign_of_life(self, stage: Stage, life: bytes) -> None:
        for _ in range(3):
            stage.probe()
            stage.transport.receive(life[:1])
            life = life[1:] or life
        assert stage.wire == 3 * PING
        assert stage.connection.close_reason is None

    def test_a_blocked_client_is_not_probed(self, stage: Stage) -> None:
        stage.fill(1)
        stage.probe()
        stage.probe()
        assert stage.connection.close_reason is None
        stage.transport.take()
        assert PING not in stage.transport.writes

    @pytest.mark.parametrize("close_reason", [CloseReason.STOPPING, CloseReason.TOO_MANY_MESSAGES])
    def test_a_closed_connection_is_not_probed(
        self, stage: Stage, close_reason: CloseReason
    ) -> None:
        stage.close(close_reason)
        stage.probe()
        assert PING not in stage.transport.writes


class TestInbound:
    @pytest.mark.parametrize("body", [b"", b"x" * 125])
    def test_a_ping_is_answered_with_its_own_words(self, stage: Stage, body: bytes) -> None:
        stage.transport.receive(client_frame(Opcode.PING, body))
        assert server_frames(stage.wire) == [WebSocketFrame(Opcode.PONG, body)]

    def test_a_client_that_does_not_read_gets_no_pong(self, stage: Stage) -> None:
        stage.fill(1)
        for _ in range(10):
            stage.transport.receive(client_frame(Opcode.PING, b"still there?"))
        stage.transport.take()
        assert [f.opcode for f in server_frames(stage.wire)] == [Opcode.TEXT] * 2

    @pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY, Opcode.PONG])
    def test_what_a_client_says_is_ignored(self, stage: Stage, opcode: Opcode) -> None:
        stage.transport.receive(client_frame(opcode, b"hello"))
        assert (stage.wire, stage.connection._parser) == (b"", None)

    def test_a_message_of_the_allowed_size_is_ignored(self, stage: Stage) -> None:
        stage.transport.receive(client_frame(Opcode.BINARY, b"x" * InboundBudget.MESSAGE_BYTES))
        assert (stage.wire, stage.connection._parser) == (b"", None)

    def test_a_message_is_followed_byte_by_byte_and_then_forgotten(self, stage: Stage) -> None:
        said = client_frame(Opcode.TEXT, b"x" * 200)
        for at in range(len(said)):
            stage.transport.receive(said[at : at + 1])
            assert (stage.connection._parser is None) == (at == len(said) - 1)
        assert stage.wire == b""

    def test_a_fragmented_message_is_followed_to_its_end(self, stage: Stage) -> None:
        stage.transport.receive(client_frame(Opcode.TEXT, b"a", fin=False))
        assert stage.connection._parser is not None
        stage.transport.receive(client_frame(Opcode.PING, b"between"))
        stage.transport.receive(client_frame(Opcode.CONT, b"b", fin=False))
        assert stage.connection._parser is not None
        stage.transport.receive(client_frame(Opcode.CONT, b"c"))
        assert stage.connection._parser is None
        assert server_frames(stage.wire) == [WebSocketFrame(Opcode.PONG, b"between")]

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
    @pytest.mark.parametrize(("stretched", "before"), NOT_MINIMAL, ids=range(len(NOT_MINIMAL)))
    def test_a_length_that_is_not_minimal_ends_the_connection(
        self, stage: Stage, stretched: bytes, before: bytes, size: int
    ) -> None:
        sent = before + stretched
        for at in range(0, len(sent), size):
            stage.transport.receive(sent[at : at + size])
        assert stage.farewell is not None
        assert stage.farewell.code == 1002
        assert stage.connection.close_reason is None  # the client's doing

    @pytest.mark.parametrize("payload", [0, 1, 125, 126, 127, 4095])
    @pytest.mark.parametrize("size", [1, 2, 5, 4096])
    def test_a_length_that_is_minimal_does_not(self, stage: Stage, payload: int, size: int) -> None:
        sent = client_frame(Opcode.TEXT, b"x" * payload) * 3 + client_frame(Opcode.PING, b"?")
        for at in range(0, len(sent), size):
            stage.transport.receive(sent[at : at + size])
        assert server_frames(stage.wire) == [WebSocketFrame(Opcode.PONG, b"?")]
        assert stage.connection._parser is None

    def test_after_a_close_nothing_is_wrong_any_more(self, stage: Stage) -> None:
        farewell = client_frame(Opcode.CLOSE, Close(1000, "").serialize())
        stage.transport.receive(farewell + NOT_MINIMAL[0][0])
        assert stage.farewell == Close(1000, "")

    @pytest.mark.parametrize("size", [InboundBudget.MESSAGE_BYTES + 1, 1 << 16, 1 << 24])
    def test_a_message_that_is_too_big_ends_the_connection(self, stage: Stage, size: int) -> None:
        stage.transport.receive(client_frame(Opcode.TEXT, b"x" * size)[:64])
        assert stage.farewell is not None
        assert stage.farewell.code == 1009

    def test_a_message_that_is_too_big_in_sum_ends_the_connection(self, stage: Stage) -> None:
        half = b"x" * (InboundBudget.MESSAGE_BYTES // 2 + 1)
        stage.transport.receive(client_frame(Opcode.TEXT, half, fin=False))
        assert stage.wire == b""
        stage.transport.receive(client_frame(Opcode.CONT, half))
        assert stage.farewell is not None
        assert stage.farewell.code == 1009

    @pytest.mark.parametrize("wrong", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"abc\xe2\x82"])
    def test_text_that_is_not_utf_8_ends_the_connection(self, stage: Stage, wrong: bytes) -> None:
        stage.transport.receive(client_frame(Opcode.TEXT, wrong))
        assert stage.farewell == Close(1007, "text is not UTF-8")

    def test_bytes_may_be_anything(self, stage: Stage) -> None:
        stage.transport.receive(client_frame(Opcode.BINARY, b"\xff\xfe", fin=False))
        stage.transport.receive(client_frame(Opcode.PING, b"\xff"))
        stage.transport.receive(client_frame(Opcode.CONT, b"\xfd"))
        assert stage.farewell is None

    @given(st.binary(max_size=12) | st.text(max_size=6).map(str.encode), st.data())
    def test_text_is_judged_as_a_whole_wherever_it_is_cut(
        self, text: bytes, data: st.DataObject
    ) -> None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
        parts = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
        with staged() as stage:
            for number, part in enumerate(parts):
                opcode = Opcode.CONT if number else Opcode.TEXT
                stage.transport.receive(
                    client_frame(opcode, part, fin=number == len(parts) - 1)
                    + client_frame(Opcode.PONG)
                )
            try:
                text.decode()
            except UnicodeDecodeError:
                assert stage.farewell == Close(1007, "text is not UTF-8")
            else:
                assert stage.farewell is None
                assert stage.connection._parser is None

    def test_a_client_may_say_so_many_messages_in_a_second(self, stage: Stage) -> None:
        for _ in range(3):
            stage.transport.receive(client_frame(Opcode.TEXT, b"x") * InboundBudget.MESSAGES)
            stage.loop.skip(InboundBudget.SECONDS)
        assert stage.wire == b""

    def test_a_client_that_says_more_is_talkative(self, stage: Stage) -> None:
        stage.transport.receive(client_frame(Opcode.TEXT, b"x") * InboundBudget.MESSAGES)
        assert stage.wire == b""
        stage.transport.receive(client_frame(Opcode.TEXT, b"x"))
        assert stage.farewell == Close(1008, "too many messages")

    def test_after_the_farewell_a_flood_is_not_looked_at(self, stage: Stage) -> None:
        stage.transport.receive(client_frame(Opcode.PING, b"x") * 100_000)
        pongs = [f for f in server_frames(stage.wire) if f.opcode is Opcode.PONG]
        assert stage.farewell == Close(1008, "too many messages")
        assert len(pongs) < 1000

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            pytest.param(client_frame(Opcode.TEXT, b"x", mask=False), 1002, id="unmasked"),
            pytest.param(b"\x83" + client_frame(Opcode.TEXT, b"x")[1:], 1002, id="bad-opcode"),
            pytest.param(client_frame(Opcode.CLOSE, rsv1=True), 1002, id="rsv1-close"),
            pytest.param(client_frame(Opcode.PING, rsv1=True), 1002, id="rsv1-ping"),
            pytest.param(client_frame(Opcode.CONT, b"x", rsv1=True), 1002, id="rsv1-stray"),
            pytest.param(b"\xa1" + client_frame(Opcode.TEXT, b"x")[1:], 1002, id="rsv2"),
            pytest.param(b"\x91" + client_frame(Opcode.TEXT, b"x")[1:], 1002, id="rsv3"),
            pytest.param(client_frame(Opcode.CONT, b"x"), 1002, id="stray-continuation"),
            pytest.param(b"\x09" + client_frame(Opcode.PING, b"x")[1:], 1002, id="split-ping"),
            pytest.param(b"\x89\xfe\x00\x7e" + b"\0" * 130, 1002, id="long-ping"),
            pytest.param(client_frame(Opcode.CLOSE, b"\x03"), 1002, id="short-close"),
            pytest.param(client_frame(Opcode.CLOSE, b"\x03\xed"), 1002, id="close-1005"),
            pytest.param(client_frame(Opcode.CLOSE, b"\x00\x01"), 1002, id="close-1"),
            pytest.param(client_frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007, id="close-not-utf-8"),
        ],
    )
    def test_what_breaks_the_protocol_ends_the_connection(
        self, stage: Stage, said: bytes, code: int
    ) -> None:
        stage.transport.receive(said)
        assert stage.farewell is not None
        assert stage.farewell.code == code
        assert stage.transport.eof_sent
        stage.loop.skip(2)
        assert stage.leavers == [stage.connection]

    def test_a_client_that_has_not_agreed_to_compression_sends_none(self) -> None:
        with staged() as plain:
            plain.transport.receive(client_frame(Opcode.TEXT, b"x", rsv1=True))
            assert plain.farewell is not None
            assert plain.farewell.code == 1002


class TestTheEnd:
    @pytest.mark.parametrize(
        "body", [b"", Close(1000, "").serialize(), Close(4999, "x").serialize()]
    )
    def test_a_close_is_echoed_and_then_the_line_ended(self, stage: Stage, body: bytes) -> None:
        stage.transport.receive(client_frame(Opcode.CLOSE, body))
        assert server_frames(stage.wire) == [WebSocketFrame(Opcode.CLOSE, body)]
        assert stage.transport.eof_sent
        stage.transport.receive_eof()
        assert stage.leavers == [stage.connection]
        assert not stage.transport.aborted

    @pytest.mark.parametrize("close_reason", list(CloseReason))
    def test_the_hub_says_why_it_closes_and_waits_for_the_client(
        self, stage: Stage, close_reason: CloseReason
    ) -> None:
        stage.close(close_reason)
        assert stage.farewell == Close(close_reason.code, close_reason.phrase)
        assert stage.transport.eof_sent
        assert stage.leavers == []
        stage.transport.receive(client_frame(Opcode.CLOSE, b""))
        stage.transport.receive_eof()
        assert stage.leavers == [stage.connection]
        assert not stage.transport.aborted

    def test_a_client_that_does_not_hang_up_is_cut_off_after_a_second(self, stage: Stage) -> None:
        stage.close(CloseReason.STOPPING)
        stage.loop.skip(0.9)
        assert not stage.transport.aborted
        stage.loop.skip(0.2)
        assert stage.transport.aborted
        assert stage.leavers == [stage.connection]

    def test_a_client_that_takes_no_farewell_is_cut_off_after_a_second(self, stage: Stage) -> None:
        stage.transport.room = 0
        stage.close(CloseReason.STOPPING)
        stage.loop.skip(1.1)
        assert stage.transport.aborted
        assert stage.leavers == [stage.connection]

    def test_a_peer_that_has_just_gone_does_not_hold_up_the_end_of_others(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write_eof() -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        monkeypatch.setattr(stage.transport, "write_eof", write_eof)
        stage.close(CloseReason.STOPPING)
        stage.loop.skip(1.1)
        assert stage.transport.aborted
        assert stage.leavers == [stage.connection]

    def test_a_farewell_that_is_taken_late_ends_the_line(self, stage: Stage) -> None:
        stage.transport.room = 0
        stage.close(CloseReason.STOPPING)
        stage.transport.take()
        assert stage.farewell == Close(1001, "hub stops serving")
        assert stage.transport.eof_sent

    def test_a_stalled_client_is_cut_off_at_once(self, stage: Stage) -> None:
        stage.fill()
        stage.close(CloseReason.TOO_SLOW)
        assert stage.transport.aborted
        assert stage.leavers == [stage.connection]
        assert stage.connection.close_reason is CloseReason.TOO_SLOW

    @pytest.mark.parametrize(
        ("error", "close_reason"),
        [(TimeoutError(), CloseReason.TOO_SLOW), (ConnectionResetError(), None), (None, None)],
    )
    def test_who_was_given_up_by_the_kernel_was_too_slow(
        self, stage: Stage, error: Exception | None, close_reason: CloseReason | None
    ) -> None:
        stage.connection.connection_lost(error)
        assert stage.connection.close_reason is close_reason
        assert stage.leavers == [stage.connection]

    def test_a_stalled_client_that_has_ended_its_own_side_is_cut_off_too(
        self, stage: Stage
    ) -> None:
        stage.fill()
        stage.transport.receive_eof()
        assert not stage.transport.lost
        stage.close(CloseReason.TOO_SLOW)
        assert stage.transport.aborted
        assert stage.leavers == [stage.connection]

    def test_a_transport_that_cannot_half_close_is_given_the_same_second(self) -> None:
        with staged(half_close=False) as stage:
            stage.close(CloseReason.STOPPING)
            assert stage.farewell == Close(1001, "hub stops serving")
            stage.loop.skip(1.1)
            assert stage.leavers == [stage.connection]

    def test_closing_twice_says_one_farewell(self, stage: Stage) -> None:
        stage.close(CloseReason.TOO_MANY_MESSAGES)
        stage.close(CloseReason.STOPPING)
        assert stage.connection.close_reason is CloseReason.TOO_MANY_MESSAGES
        assert len(server_frames(stage.wire)) == 1

    def test_the_server_shuts_down_with_1012(self, stage: Stage) -> None:
        stage.loop.do(stage.connection.shutdown)
        assert stage.farewell == Close(1012, "service restart")

    @pytest.mark.parametrize(
        "close_reason", [CloseReason.RESTART, CloseReason.STOPPING, CloseReason.TOO_SLOW]
    )
    def test_the_hub_may_close_while_a_client_that_said_goodbye_lingers(
        self, stage: Stage, close_reason: CloseReason
    ) -> None:
        stage.transport.receive(client_frame(Opcode.CLOSE, b""))
        stage.close(close_reason)
        assert server_frames(stage.wire) == [WebSocketFrame(Opcode.CLOSE, b"")]
        stage.loop.skip(1.1)
        assert stage.leavers == [stage.connection]

    @pytest.mark.parametrize(
        "said",
        [client_frame(Opcode.CLOSE, b""), client_frame(Opcode.TEXT, b"x", mask=False)],
        ids=["close", "unmasked"],
    )
    def test_nothing_follows_the_farewell_of_a_client_that_was_blocked(
        self, stage: Stage, said: bytes
    ) -> None:
        stage.fill()
        stage.transport.receive(said)
        stage.transport.take()
        frames = server_frames(stage.wire)
        assert [f.opcode for f in frames] == [Opcode.TEXT, Opcode.CLOSE]
        assert stage.transport.eof_sent

    @pytest.mark.parametrize("ending", ["receive_eof", "reset"])
    def test_the_hub_is_told_once_and_the_server_forgets_the_connection(
        self, stage: Stage, ending: str
    ) -> None:
        assert stage.connections == {stage.connection}
        getattr(stage.transport, ending)()
        stage.close(CloseReason.STOPPING)
        stage.loop.skip(2)
        assert (stage.leavers, stage.connections) == ([stage.connection], set())

    def test_closing_a_lost_connection_writes_nothing(self, stage: Stage) -> None:
        stage.transport.reset()
        stage.close(CloseReason.STOPPING)
        assert stage.transport.writes == []

    def test_no_timer_is_left_behind(self, stage: Stage) -> None:
        stage.close(CloseReason.STOPPING)
        stage.transport.receive_eof()
        stage.loop.skip(2)
        assert not stage.transport.aborted


# Streams of client frames, cut anywhere

_small = st.binary(max_size=40)
_BODIES = {Opcode.TEXT: st.text(max_size=10).map(str.encode), Opcode.BINARY: _small}


@st.composite
def _frames_of_a_message(draw: st.DrawFn) -> list[bytes]:
    """A message in one to three frames, with pings and pongs in between."""
    opcode = draw(st.sampled_from(list(_BODIES)))
    parts = draw(st.lists(st.one_of(_BODIES[opcode], st.just(b"y" * 130)), min_size=1, max_size=3))
    frames = []
    for at, part in enumerate(parts):
        fin = at == len(parts) - 1
        frames.append(client_frame(Opcode.CONT if at else opcode, part, fin=fin))
        if draw(st.booleans()):
            control = draw(st.sampled_from([Opcode.PING, Opcode.PONG]))
            frames.append(client_frame(control, draw(_small)))
    return frames


_streams = st.lists(_frames_of_a_message(), min_size=1, max_size=6).map(
    lambda messages: b"".join(frame for frames in messages for frame in frames)
)


def _cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def _answers(parts: Sequence[bytes]) -> bytes:
    with staged() as stage:
        for part in parts:
            stage.transport.receive(part)
        assert stage.connection._parser is None
        assert stage.connection.close_reason is None
        return stage.wire


@given(_streams, st.lists(st.integers(min_value=0, max_value=2000), max_size=12))
@example(client_frame(Opcode.TEXT, b""), list(range(6)))
@settings(deadline=None)
def test_wherever_a_stream_is_cut_it_gets_the_same_answers(stream: bytes, cuts: list[int]) -> None:
    answers = _answers(_cut(stream, cuts))
    assert answers == _answers([stream])
    reference = ServerProtocol(state=State.OPEN)
    reference.receive_data(stream)
    assert answers == b"".join(reference.data_to_send())


@given(_streams, st.data())
@settings(deadline=None)
def test_the_parser_stays_just_as_long_as_a_message_is_unfinished(
    stream: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(min_value=1, max_value=len(stream)))
    with staged() as stage:
        stage.transport.receive(stream[:at])
        whole = ServerProtocol(state=State.OPEN)
        whole.receive_data(stream[:at])
        frames = whole.events_received()
        end = sum(_size(f) for f in frames if isinstance(f, WebSocketFrame))
        assert (stage.connection._parser is None) == (end == at and whole.current_size is None)


def _size(frame: WebSocketFrame) -> int:
    return len(frame.serialize(mask=True))


# Everything, in any order


class ConnectionMachine(RuleBasedStateMachine):
    """Offers, pauses, flushes, peer bytes, closes and losses, in any order."""

    kind: ClassVar[type[Connection]] = Connection
    first_bytes: ClassVar = {b"\x81"}  # of messages

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(kind=self.kind)
        self.offered: list[Frame] = []
        self.accepted: list[Frame] = []
        self.final_writes: int | None = None  # writes when the connection was ended

    def teardown(self) -> None:
        self.stage.loop.skip(2)
        self.stage.transport.reset()
        assert self.stage.leavers == [self.stage.connection]
        assert self.stage.connections == set()
        self.stage.loop.close()

    @property
    def _open(self) -> bool:
        return self.final_writes is None

    def _ended(self) -> None:
        if self.final_writes is None:
            self.final_writes = len(self.stage.transport.writes)

    def encoding(self, frame: Frame) -> bytes:
        return frame.wire

    @rule(size=st.sampled_from([0, 20, 130, 600]))
    def offer(self, size: int) -> None:
        frame = message(len(self.offered), size)
        self.offered.append(frame)
        outcome = self.stage.loop.do(lambda: self.stage.connection.offer(frame))
        if outcome is not Outcome.REFUSED:
            assert self._open
            self.accepted.append(frame)

    @rule()
    def the_kernel_takes_no_more(self) -> None:
        self.stage.transport.room = 0

    @rule(room=st.integers(min_value=0, max_value=60))
    def the_kernel_takes_some(self, room: int) -> None:
        if not self.stage.transport.lost:
            self.stage.transport.take(room)

    @rule()
    def the_kernel_takes_all(self) -> None:
        if not self.stage.transport.lost:
            self.stage.transport.take()

    @rule(said=st.sampled_from([Opcode.PING, Opcode.PONG, Opcode.TEXT]))
    def the_client_speaks(self, said: Opcode) -> None:
        self.stage.transport.receive(client_frame(said, b"x"))
        self.stage.loop.skip(0.1)

    @rule(said=st.sampled_from([client_frame(Opcode.CLOSE), client_frame(Opcode.TEXT, mask=False)]))
    def the_client_ends_it(self, said: bytes) -> None:
        if self.stage.transport.is_closing():
            return
        self.stage.transport.receive(said)
        self._ended()

    @rule()
    def the_client_ends_its_side(self) -> None:
        self.stage.transport.receive_eof()

    @rule()
    def the_client_goes_away(self) -> None:
        if not self.stage.transport.lost:
            self.stage.transport.reset()
        self._ended()

    @precondition(lambda self: self._open)
    @rule()
    def probe(self) -> None:
        self.stage.probe()
        if self.stage.connection.close_reason is not None:
            self._ended()

    @rule(close_reason=st.sampled_from(CloseReason))
    def close(self, close_reason: CloseReason) -> None:
        closing = self.stage.transport.is_closing()
        self.stage.close(close_reason)
        if not closing:
            self._ended()

    @rule(seconds=st.sampled_from([0.1, 0.6]))
    def time_passes(self, seconds: float) -> None:
        self.stage.loop.skip(seconds)

    @invariant()
    def every_frame_is_accounted_for(self) -> None:
        counted = self.stage.connection.statistics()
        assert counted.offered == len(self.accepted)
        assert counted.offered == counted.delivered + counted.dropped + counted.pending
        assert counted.pending <= counted.peak <= CAPACITY

    @invariant()
    def frames_are_written_whole_and_in_order(self) -> None:
        written = [w for w in self.stage.transport.writes if w[:1] in self.first_bytes]
        assert len(written) == self.stage.connection.statistics().delivered
        rest = iter(self.encoding(frame) for frame in self.accepted)
        assert all(wire in rest for wire in written)

    @invariant()
    def the_wire_carries_what_was_written(self) -> None:
        assert b"".join(self.stage.transport.writes).startswith(self.stage.wire)

    @invariant()
    def nothing_is_written_after_the_end(self) -> None:
        if self.final_writes is not None:
            assert len(self.stage.transport.writes) == self.final_writes


class CompressedConnectionMachine(ConnectionMachine):
    """The same, with a client that takes compressed messages."""

    kind = CompressedConnection
    first_bytes: ClassVar = {b"\x81", b"\xc1"}

    def encoding(self, frame: Frame) -> bytes:
        return frame.compressed


TestConnectionInAnyOrder = ConnectionMachine.TestCase
TestConnectionInAnyOrder.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=40
)
TestCompressedConnectionInAnyOrder = CompressedConnectionMachine.TestCase
TestCompressedConnectionInAnyOrder.settings = settings(
    deadline=None, max_examples=50, stateful_step_count=40
)


# A backlog


@pytest.fixture
def joining() -> Iterator[Stage]:
    """Make a connection that is not live yet."""
    stage = Stage(live=False)
    yield stage
    stage.loop.close()


def numbers(wire: bytes) -> list[int]:
    return [int(text.strip(b'{"n:}')) for text in texts(wire)]


def test_a_backlog_is_written_in_bursts_between_which_others_run(joining: Stage) -> None:
    replay = Replay(joining.connection, 100, message)

    async def begin() -> list[int]:
        replay.start()
        seen = [len(replay.read)]
        while len(replay.read) < 100:
            await asyncio.sleep(0)
            seen.append(len(replay.read))
        return seen

    bursts = [b - a for a, b in itertools.pairwise(joining.loop.run_until_complete(begin()))]
    assert len(bursts) >= 8
    assert max(bursts) <= 12
    assert numbers(joining.wire) == list(range(100))
    assert joining.connection.statistics().delivered == 100


def test_a_backlog_is_asked_for_only_as_far_as_the_transport_takes_it(joining: Stage) -> None:
    joining.transport.room = 50
    replay = Replay(joining.connection, 100, message)
    joining.loop.do(replay.start)
    taken = len(replay.read)
    assert taken < 10
    assert joining.observer.told[-1:] == ["blocked"]
    joining.transport.take(50)
    assert taken < len(replay.read) < 20
    joining.transport.take()
    for _ in range(4):
        joining.loop.do(lambda: None)
    assert numbers(joining.wire) == list(range(100))


def test_what_is_offered_after_a_backlog_comes_after_it(joining: Stage) -> None:
    replay = Replay(joining.connection, 5, message)
    joining.loop.do(replay.start)
    joining.offer(5)
    assert numbers(joining.wire) == [0, 1, 2, 3, 4, 5]


def test_who_leaves_during_a_backlog_is_asked_for_nothing_more(joining: Stage) -> None:
    joining.transport.room = 50
    replay = Replay(joining.connection, 100, message)
    joining.loop.do(replay.start)
    joining.close(CloseReason.RESTART)
    taken = len(replay.read)
    joining.transport.take()
    assert len(replay.read) == taken
    assert joining.transport.aborted
    assert joining.leavers == [joining.connection]
