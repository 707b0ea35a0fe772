"""What is other on a connection whose client takes compressed messages, and may send such."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from hashlib import shake_128
from typing import Final

import pytest
from websockets.frames import Close, Opcode

from hub.feed.view import Frame
from hub.server.connection import CompressedConnection, Connection
from hub.web.extensions import InboundBudget
from tests.support.fakes import Replay
from tests.support.stage import Stage, client_frame, message, server_frames, staged, texts

LARGE: Final = 2000  # bytes of a message that is compressed
TAIL: Final = b"\x00\x00\xff\xff"


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged(kind=CompressedConnection) as made:
        yield made


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    flushed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return flushed.removesuffix(TAIL)


def compressed_frame(data: bytes, *, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    return client_frame(opcode, data, fin=fin, rsv1=True)


class TestOutbound:
    def test_a_large_message_is_written_as_the_very_bytes_that_others_get(
        self, stage: Stage
    ) -> None:
        frame = message(1, LARGE)
        stage.loop.do(lambda: stage.connection.offer(frame))
        assert stage.transport.writes == [frame.compressed]
        assert stage.wire[:1] == b"\xc1"
        assert len(stage.wire) < LARGE // 2
        assert texts(stage.wire) == [frame.payload]

    def test_a_small_message_is_written_as_it_is(self, stage: Stage) -> None:
        frame = message(1, 100)
        stage.loop.do(lambda: stage.connection.offer(frame))
        assert stage.transport.writes == [frame.wire]

    def test_what_has_waited_in_the_queue_is_compressed_too(self, stage: Stage) -> None:
        stage.transport.room = 0
        for number in range(3):
            stage.offer(number, LARGE)
        stage.transport.take()
        assert {w[:1] for w in stage.transport.writes} == {b"\xc1"}
        assert texts(stage.wire) == [message(n, LARGE).payload for n in range(3)]

    @pytest.mark.parametrize("room", [None, 3000])
    def test_what_is_replayed_is_not_compressed_and_what_follows_is(self, room: int | None) -> None:
        stage = Stage(kind=CompressedConnection, live=False, room=room)
        replay = Replay(stage.connection, 5, lambda number: message(number, LARGE))
        stage.loop.do(replay.start)
        for _ in range(5):
            stage.transport.take()
        stage.offer(5, LARGE)
        assert [w[:1] for w in stage.transport.writes] == [b"\x81"] * 5 + [b"\xc1"]
        assert texts(stage.wire) == [message(n, LARGE).payload for n in range(6)]
        stage.loop.close()

    def test_a_client_costs_no_more_memory(self) -> None:
        assert CompressedConnection.__basicsize__ == Connection.__basicsize__
        assert CompressedConnection.__dictoffset__ == 0

    def test_an_empty_message_goes_plain(self, stage: Stage) -> None:
        stage.loop.do(lambda: stage.connection.offer(Frame(b"")))
        assert stage.wire == b"\x81\x00"


class TestInbound:
    def quiet(self, stage: Stage) -> bool:
        """Say whether nothing was said, and nothing is kept."""
        connection = stage.connection
        return (stage.wire, connection._parser, connection._message) == (b"", None, None)

    @pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
    @pytest.mark.parametrize("size", [0, 1, 300, InboundBudget.MESSAGE_BYTES])
    def test_a_message_is_ignored(self, stage: Stage, opcode: Opcode, size: int) -> None:
        stage.transport.receive(compressed_frame(deflated(b"x" * size), opcode=opcode))
        assert self.quiet(stage)

    def test_plain_and_compressed_messages_may_take_turns(self, stage: Stage) -> None:
        for _ in range(5):
            stage.transport.receive(client_frame(Opcode.TEXT, b"hello"))
            stage.transport.receive(compressed_frame(deflated(b"hello")))
        assert self.quiet(stage)

    @pytest.mark.parametrize("step", [1, 2, 3, 7])
    def test_a_message_may_come_in_frames_with_others_in_between(
        self, stage: Stage, step: int
    ) -> None:
        sent = deflated("grüße, ".encode() * 40)
        parts = [sent[at : at + step] for at in range(0, len(sent), step)]
        for number, part in enumerate(parts):
            fin = number == len(parts) - 1
            if number == 0:
                stage.transport.receive(compressed_frame(part, fin=fin))
            else:
                stage.transport.receive(client_frame(Opcode.CONT, part, fin=fin))
            stage.transport.receive(client_frame(Opcode.PING, b"?"))
        assert {f.opcode for f in server_frames(stage.wire)} == {Opcode.PONG}
        assert len(server_frames(stage.wire)) == len(parts)
        assert (stage.connection._parser, stage.connection._message) == (None, None)

    @pytest.mark.parametrize("size", [InboundBudget.MESSAGE_BYTES + 1, 50_000, 3_000_000])
    def test_a_message_that_becomes_too_big_ends_the_connection(
        self, stage: Stage, size: int
    ) -> None:
        bomb = deflated(bytes(size))
        assert len(bomb) < InboundBudget.MESSAGE_BYTES
        stage.transport.receive(compressed_frame(bomb))
        assert stage.farewell == Close(1009, "message too big")

    def test_a_message_that_becomes_too_big_in_sum_ends_the_connection(self, stage: Stage) -> None:
        bomb = deflated(bytes(InboundBudget.MESSAGE_BYTES + 1))
        stage.transport.receive(compressed_frame(bomb[:-2], fin=False))
        stage.transport.receive(client_frame(Opcode.CONT, bomb[-2:], fin=True))
        assert stage.farewell == Close(1009, "message too big")

    def test_what_comes_compressed_may_not_be_more_either(self, stage: Stage) -> None:
        noise = shake_128(b"noise").digest(InboundBudget.MESSAGE_BYTES)
        stage.transport.receive(compressed_frame(deflated(noise))[:64])
        assert stage.farewell is not None
        assert stage.farewell.code == 1009

    def test_what_comes_behind_the_end_of_a_message_is_counted(self, stage: Stage) -> None:
        compressor = zlib.compressobj(wbits=-15)
        ended = compressor.compress(b"x") + compressor.flush(zlib.Z_FINISH)
        stage.transport.receive(compressed_frame(ended, fin=False))
        for _ in range(5):
            assert stage.farewell is None
            stage.transport.receive(client_frame(Opcode.CONT, bytes(1000), fin=False))
        assert stage.farewell is not None
        assert stage.farewell.code == 1009

    @pytest.mark.parametrize("garbage", [b"\x06", b"\x07", b"\xff" * 9, b"hello, hub"])
    def test_what_cannot_be_inflated_ends_the_connection(
        self, stage: Stage, garbage: bytes
    ) -> None:
        stage.transport.receive(compressed_frame(garbage))
        assert stage.farewell == Close(1007, "message cannot be inflated")

    @pytest.mark.parametrize("wrong", [b"\xff", b"\xc3(", b"abc\xe2\x82"])
    def test_text_that_is_not_utf_8_ends_the_connection(self, stage: Stage, wrong: bytes) -> None:
        stage.transport.receive(compressed_frame(deflated(wrong)))
        assert stage.farewell == Close(1007, "text is not UTF-8")

    def test_bytes_may_be_anything(self, stage: Stage) -> None:
        stage.transport.receive(compressed_frame(deflated(b"\xff\xfe"), opcode=Opcode.BINARY))
        assert self.quiet(stage)

    @pytest.mark.parametrize("begun", [True, False], ids=["compressed", "plain"])
    def test_a_continuation_may_not_say_that_it_is_compressed(
        self, stage: Stage, *, begun: bool
    ) -> None:
        first = client_frame(Opcode.TEXT, deflated(b"x") if begun else b"x", fin=False, rsv1=begun)
        stage.transport.receive(first + client_frame(Opcode.CONT, b"", rsv1=True))
        assert stage.farewell is not None
        assert stage.farewell.code == 1002

    def test_a_flood_is_inflated_no_further_than_the_budget(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[int] = []
        decompressobj = zlib.decompressobj

        def counted(wbits: int) -> object:
            made.append(wbits)
            return decompressobj(wbits=wbits)

        monkeypatch.setattr(zlib, "decompressobj", counted)
        stage.transport.receive(compressed_frame(deflated(b"x")) * 5000)
        assert stage.farewell == Close(1008, "too many messages")
        assert len(made) == InboundBudget.MESSAGES


def test_both_kinds_say_the_same(stage: Stage) -> None:
    body = Frame(json.dumps({"n": [0.5] * 500}).encode())
    with staged() as plain:
        for one in (stage, plain):
            one.loop.do(lambda one=one: one.connection.offer(body))  # type: ignore[misc]
        assert texts(stage.wire) == texts(plain.wire) == [body.payload]
        assert len(stage.wire) < len(plain.wire)
