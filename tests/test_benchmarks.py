from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import psutil
import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the benchmarks need Linux", allow_module_level=True)

from benchmarks import __main__ as comparison
from benchmarks import compression, costs, crowd, hostile, isolation, output, page, sampling, views
from benchmarks.bench import BenchError, Case, measure, report_to
from benchmarks.clients import Clients, LostClientsError
from benchmarks.machine import Cores, fitting
from benchmarks.made_up import LARGEST, USUAL, Machine, at_rest, families, snapshots
from benchmarks.measurement import Measurement, percentile
from benchmarks.meter import Meter
from benchmarks.report import Report, Row
from benchmarks.servers.crowded import BelatedClock
from benchmarks.servers.feed import message
from benchmarks.servers.made_up import path_of_all
from benchmarks.targets import MADE_UP, Target, UnavailableError, python_targets
from benchmarks.tick import TickCost, measure_tick
from benchmarks.wire import (
    WrongBytesError,
    accept_key,
    inflate,
    pong_frame,
    read_frame,
    read_message,
    text_frame,
)
from hub import Hub
from hub.feed.query import FEED, parse
from hub.feed.view import Frame
from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import MOST_MEMBERS, DeviceDeltas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
STAMP = "2025-11-10T12:30:45.123456+00:00"
PAYLOAD = f'{{"cpu":25.5,"memory":60.2,"disk":45.3,"timestamp":"{STAMP}"}}'.encode()
FRAME = text_frame(PAYLOAD.decode())


def payload(second: int = 45, cpu: str = "25.5") -> str:
    stamp = STAMP.replace(":45.", f":{second:02d}.")
    return f'{{"cpu":{cpu},"memory":60.2,"disk":45.3,"timestamp":"{stamp}"}}'


def frame(second: int) -> bytes:
    return text_frame(payload(second))


class TestFrames:
    def test_a_text_frame_is_read_and_what_follows_is_left(self) -> None:
        found = read_frame(FRAME + b"\x81")
        assert found is not None
        assert (found.head, found.payload, found.size) == (0x81, PAYLOAD, len(FRAME))

    def test_no_part_of_a_frame_is_a_frame(self) -> None:
        assert all(read_frame(FRAME[:size]) is None for size in range(len(FRAME)))

    def test_a_longer_text_has_a_longer_length(self) -> None:
        found = read_frame(b"\x81\x7e\x00\x7e" + b"x" * 126)
        assert found is not None
        assert found.size == 130

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(b"\x81\x85\0\0\0\0hello", id="masked"),
            pytest.param(b"\x01\x05hello", id="not final"),
            pytest.param(b"\x80\x05hello", id="continuation"),
            pytest.param(b"\x82\x05hello", id="binary"),
            pytest.param(b"\xc1\x05hello", id="compressed"),
            pytest.param(b"\x81\x7e\x00\x05hello", id="length in three bytes instead of one"),
            pytest.param(b"\x81\x7f\0\0\0\0\0\0\0\x05hello", id="length in nine bytes"),
            pytest.param(b"\x89\x7e\x00\x7e" + b"x" * 126, id="long ping"),
        ],
    )
    def test_wrong_framing_is_refused(self, wrong: bytes) -> None:
        with pytest.raises(WrongBytesError):
            read_frame(wrong)

    def test_a_compressed_text_is_read_where_that_was_agreed(self) -> None:
        large = Frame(PAYLOAD.ljust(600))
        found = read_frame(large.compressed, compression=True)
        assert found is not None
        assert (found.head, found.size) == (0xC1, len(large.compressed))
        assert inflate(found.payload) == large.payload

    @pytest.mark.parametrize("wrong", [b"", b"\x06", PAYLOAD], ids=["empty", "bad", "plain"])
    def test_what_cannot_be_inflated_is_refused(self, wrong: bytes) -> None:
        with pytest.raises(WrongBytesError):
            inflate(wrong)

    def test_what_is_cut_off_is_refused(self) -> None:
        payload = Frame(PAYLOAD.ljust(600)).compressed[4:]
        with pytest.raises(WrongBytesError):
            inflate(payload[:-3])

    def test_a_pong_is_masked_and_carries_the_payload(self) -> None:
        assert pong_frame(b"abc") == b"\x8a\x83\0\0\0\0abc"

    def test_the_accept_key_is_the_one_of_the_standard(self) -> None:
        assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class TestMessages:
    def test_a_message_says_when_it_was_sampled(self) -> None:
        found = read_message(PAYLOAD)
        assert found.stamp == pytest.approx(1762777845.123456, abs=1e-6)
        assert not found.failed

    def test_an_error_message_is_one_too(self) -> None:
        assert read_message(f'{{"error":"no disk","timestamp":"{STAMP}"}}'.encode()).failed

    def test_the_servers_here_send_right_messages(self) -> None:
        before = time.time()
        stamps = [read_message(message(count).encode()).stamp for count in range(900)]
        assert before - 1e-3 <= stamps[0] <= stamps[-1] <= time.time() + 1e-3

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(payload(cpu="NaN"), id="NaN"),
            pytest.param(payload(cpu="Infinity"), id="infinite"),
            pytest.param(payload(cpu="1e999"), id="infinite in digits"),
            pytest.param(payload(cpu="100.5"), id="above 100 %"),
            pytest.param(payload(cpu="-0.5"), id="negative"),
            pytest.param(payload(cpu="25"), id="integer"),
            pytest.param(payload(cpu='"25.5"'), id="string"),
            pytest.param(payload(cpu="true"), id="boolean"),
            pytest.param(payload(cpu="null"), id="null"),
            pytest.param(payload(cpu='1.0,"cpu":2.0'), id="key twice"),
            pytest.param(payload().replace("cpu", "cpus"), id="wrong key"),
            pytest.param(
                payload().replace("cpu", "x").replace("disk", "cpu").replace("x", "disk"),
                id="wrong order",
            ),
            pytest.param(payload().replace("}", ',"more":1.0}'), id="key too many"),
            pytest.param(payload().replace("+00:00", "Z"), id="Z for UTC"),
            pytest.param(payload().replace("+00:00", "+01:00"), id="other zone"),
            pytest.param(payload().replace(".123456", ".123"), id="three digits"),
            pytest.param(payload().replace(".123456", ""), id="whole second"),
            pytest.param(payload().replace("11-10", "13-10"), id="13th month"),
            pytest.param(payload() + "}", id="more after it"),
            pytest.param(payload()[:-1], id="cut off"),
            pytest.param('{"error":1,"timestamp":"' + STAMP + '"}', id="error that is no text"),
            pytest.param("[]", id="array"),
            pytest.param('[["cpu",1.0]]', id="array of pairs"),
            pytest.param("1.0", id="number"),
            pytest.param("", id="empty"),
        ],
    )
    def test_a_wrong_message_is_refused(self, wrong: str) -> None:
        with pytest.raises(WrongBytesError):
            read_message(wrong.encode())

    def test_bytes_that_are_not_utf8_are_refused(self) -> None:
        with pytest.raises(WrongBytesError):
            read_message(PAYLOAD.replace(b"cpu", b"\xff\xff\xff"))


class TestPercentiles:
    @pytest.mark.parametrize(
        ("share", "value"), [(0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1, 100)]
    )
    def test_it_is_the_nearest_rank(self, share: float, value: float) -> None:
        assert percentile(range(1, 101), share) == value

    def test_one_value_is_all_of_its_percentiles(self) -> None:
        assert {percentile([7.0], share) for share in (0, 0.5, 1)} == {7.0}

    @pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
    def test_there_are_none_of_nothing_and_none_beyond_all(
        self, values: list[float], share: float
    ) -> None:
        with pytest.raises(ValueError, match=r"no values|not a share"):
            percentile(values, share)


ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"sec-websocket-accept:%s\r\n\r\n"
)


class Peer:
    """A server whose every byte is the test's, beside the clients of it that are under test."""

    def __init__(self, listener: socket.socket, clients: Clients) -> None:
        self.listener = listener
        self.clients = clients
        self.connections: list[socket.socket] = []

    def open(self, count: int = 1, answer: bytes = ANSWER, *, piece: int = 4096) -> None:
        """Connect clients, which get the answer in pieces, %s in it standing for the accept key."""
        answering = threading.Thread(target=self._answer, args=(count, answer, piece))
        answering.start()
        try:
            self.clients.open(count, 8, timeout=5)
        finally:
            answering.join()

    def _answer(self, count: int, answer: bytes, piece: int) -> None:
        for _ in range(count):
            client, _ = self.listener.accept()
            self.connections.append(client)
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", client.recv(4096))
            assert key is not None
            whole = answer.replace(b"%s", accept_key(key[1]))
            for start in range(0, len(whole), piece):
                client.sendall(whole[start : start + piece])

    def send(self, data: bytes, client: int = 0) -> None:
        """Send to one client, and have the clients receive what is there."""
        if data:
            self.connections[client].sendall(data)
        # The second answer ends the run, so that it takes exactly one batch of events.
        self.clients.run(time.time() + 5, enough=iter((False, True)).__next__)

    def arrivals(self) -> dict[bytes, int]:
        return {tick.frame: len(tick.arrivals) for tick in self.clients.ticks.values()}


@pytest.fixture
def peer() -> Iterator[Peer]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Clients(listener.getsockname()[1], ["/feed"]) as clients,
    ):
        listener.settimeout(5)
        peer = Peer(listener, clients)
        yield peer
        for client in peer.connections:
            client.close()


class TestHandshakes:
    def test_all_clients_are_connected(self, peer: Peer) -> None:
        peer.open(20)
        assert len(peer.connections) == 20

    def test_an_answer_may_come_byte_by_byte(self, peer: Peer) -> None:
        peer.open(1, ANSWER + FRAME, piece=1)
        peer.connections[0].sendall(frame(46))
        peer.clients.run(time.time() + 5, enough=lambda: len(peer.clients.ticks) == 2)
        assert peer.arrivals() == {FRAME: 1, frame(46): 1}

    def test_frames_may_follow_in_the_same_segment(self, peer: Peer) -> None:
        peer.open(1, ANSWER + frame(1) + frame(2) + frame(3)[:10])
        peer.send(frame(3)[10:])
        assert peer.arrivals() == {frame(1): 1, frame(2): 1, frame(3): 1}

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(ANSWER.replace(b"101", b"200"), id="no switch"),
            pytest.param(ANSWER.replace(b"%s", accept_key(b"another")), id="another accept key"),
            pytest.param(ANSWER.replace(b"accept", b"refuse"), id="no accept key"),
            pytest.param(ANSWER.replace(b"WebSocket", b"h2c"), id="other protocol"),
            pytest.param(
                ANSWER.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
                id="extension",
            ),
        ],
    )
    def test_a_wrong_answer_is_refused(self, peer: Peer, answer: bytes) -> None:
        with pytest.raises(WrongBytesError):
            peer.open(1, answer)

    def test_a_server_that_hangs_up_is_an_error(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with Clients(port, ["/feed"]) as clients, pytest.raises(LostClientsError):
            clients.open(3, 1)


class TestDelivery:
    def test_every_copy_of_a_frame_counts(self, peer: Peer) -> None:
        peer.open(3)
        for client, second in itertools.product(range(3), (1, 2)):
            peer.send(frame(second), client)
        assert peer.arrivals() == {frame(1): 3, frame(2): 3}

    def test_frames_may_come_byte_by_byte(self, peer: Peer) -> None:
        peer.open(2)
        peer.send(frame(1) + frame(2), 1)
        for byte in frame(1) + frame(2):
            peer.send(bytes([byte]))
        assert peer.arrivals() == {frame(1): 2, frame(2): 2}

    @pytest.mark.parametrize("size", [2, 3, 7, 50, len(FRAME) - 1, len(FRAME) + 1, 1000])
    def test_frames_may_come_in_pieces_of_any_size(self, peer: Peer, size: int) -> None:
        peer.open()
        data = b"".join(map(frame, range(30)))
        for start in range(0, len(data), size):
            peer.send(data[start : start + size])
        assert peer.arrivals() == {frame(second): 1 for second in range(30)}

    def test_more_than_one_buffer_is_read_to_its_end(self, peer: Peer) -> None:
        peer.open()
        stamps = [f"{minute:02d}:{second:02d}" for minute in range(15) for second in range(60)]
        data = b"".join(text_frame(payload().replace("30:45", stamp)) for stamp in stamps)
        assert len(data) > 65536
        peer.connections[0].sendall(data)
        peer.clients.run(time.time() + 5, enough=lambda: len(peer.clients.ticks) == len(stamps))
        assert len(peer.clients.ticks) == len(stamps)

    def test_a_frame_that_is_late_counts_for_its_own_message(self, peer: Peer) -> None:
        peer.open(2)
        for client, second in ((0, 1), (0, 2), (1, 1), (1, 2)):
            peer.send(frame(second), client)
        assert peer.arrivals() == {frame(1): 2, frame(2): 2}

    def test_an_arrival_is_stamped_with_the_wall_clock(self, peer: Peer) -> None:
        peer.open(2)
        before = time.time()
        peer.send(FRAME, 0)
        peer.send(FRAME, 1)
        arrivals = peer.clients.ticks[FRAME].arrivals
        assert before <= arrivals[0] <= arrivals[1] <= time.time()

    def test_a_ping_is_answered(self, peer: Peer) -> None:
        peer.open()
        peer.send(b"\x89\x02hi")
        assert peer.connections[0].recv(100) == pong_frame(b"hi")

    @pytest.mark.parametrize("farewell", [b"\x88\x02\x03\xe8", b""], ids=["close", "hang-up"])
    def test_a_client_that_the_server_disconnects_is_lost(
        self, peer: Peer, farewell: bytes
    ) -> None:
        peer.open(2)
        if not farewell:
            peer.connections[0].shutdown(socket.SHUT_WR)
        peer.send(farewell)
        peer.send(FRAME, 1)
        assert (peer.clients.lost, peer.arrivals()) == (1, {FRAME: 1})

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(frame(1) + frame(1), id="twice at once"),
            pytest.param(frame(2) + frame(1), id="backwards"),
            pytest.param(text_frame(payload(cpu="NaN")), id="NaN"),
            pytest.param(frame(1)[:10] + frame(1), id="a frame within a frame"),
        ],
    )
    def test_wrong_frames_are_refused(self, peer: Peer, data: bytes) -> None:
        peer.open()
        with pytest.raises(WrongBytesError):
            peer.send(data)

    def test_a_repeated_frame_is_refused(self, peer: Peer) -> None:
        peer.open()
        peer.send(FRAME)
        with pytest.raises(WrongBytesError, match="not later"):
            peer.send(FRAME)

    def test_the_known_frame_is_not_taken_for_the_rest_of_another(self, peer: Peer) -> None:
        peer.open(2)
        peer.send(frame(2), 1)
        peer.send(frame(1)[:10], 0)
        with pytest.raises(WrongBytesError):
            peer.send(frame(2), 0)


MEASUREMENT = Measurement(
    grown_mib=0.5,
    clients=9000,
    stalled=0,
    frames=63000,
    cpu_us=10.0,
    load_us=5.0,
    others=0.0,
    lag_p50_ms=40.0,
    lag_p99_ms=80.0,
    lag_max_ms=81.0,
    rss_kib=0.0,
    handshakes=20000.0,
    drops=0,
    lost=0,
    failed=0,
    cut=0,
)


def row(key: str, title: str, **changed: float) -> Row:
    figures: dict[str, Any] = changed
    return Row(Target(key, title, ()), replace(MEASUREMENT, **figures))


class TestReports:
    def report(self) -> Report:
        rows = (
            row("hub", "hub", cpu_us=12.0, handshakes=4321.4, drops=1234),
            row("plain", "a <plain> one", cpu_us=60.0, lost=3, lag_p99_ms=160.0),
            row("floor-c", "C floor"),
            row("hub", "hub", clients=100, cpu_us=30.0, failed=2, others=0.5),
        )
        return Report(rows, ("something left out",), ("a machine",))

    def test_each_row_has_its_ratios_within_the_run(self) -> None:
        lines = self.report().markdown().splitlines()
        assert (
            "| **hub** | 12.0 | 1.20 | 0.20 | 40.0 | 80.0 | 81.0 | 0.0 | 4,321 | 1,234 | 5.0 |"
            in (lines)
        )

    def test_there_is_no_ratio_without_its_base(self) -> None:
        assert "| **hub** | 30.0 | - | - |" in self.report().markdown()

    def test_what_went_wrong_is_told(self) -> None:
        text = self.report().markdown()
        assert "a <plain> one, 9,000 clients: the server disconnected 3 clients." in text
        assert "hub, 100 clients: 2 of the messages were error messages." in text
        assert "during 1 of 4 measurements, on up to 0.50 cores" in text
        assert "- something left out\n" in text
        assert text.endswith("- a machine\n")

    def test_the_chart_is_of_the_most_clients_and_to_scale(self) -> None:
        bars = ET.fromstring(self.report().chart()).iter("{http://www.w3.org/2000/svg}rect")  # noqa: S314 - made here
        widths = [float(bar.attrib["width"]) for bar in bars]
        longest = max(widths)
        assert [round(width / longest, 2) for width in widths] == [0.2, 1.0, 0.17, 0.5, 1.0, 0.5]

    def test_the_chart_suits_light_and_dark(self) -> None:
        assert "prefers-color-scheme: dark" in self.report().chart()

    def test_isolation_tells_how_many_were_cut_off(self) -> None:
        found = [row("hub", "hub", clients=1000, stalled=1000, cut=990)]
        text = isolation.render(found, 20, ("a machine",))
        assert "2,000 clients, a window of 20 s where some stall." in text
        assert "| hub | 50 % | 1,000 | 40.0 | 80.0 | 81.0 | 0 | 0 | 990 of 1,000 | 0.0 |" in text

    def test_many_views_are_compared_with_one_by_their_medians(self) -> None:
        rounds = [(n, row("hub", "hub", cpu_us=us).measurement) for n, us in VIEW_ROUNDS]
        text = views.render(rounds, ("a machine",))
        assert "| 50 | 12.00 | 40.0 | 80.0 | 0 | 0.0 |" in text
        assert "of 50 views is 11.00 us per frame, that of 1 is 10.00: a ratio of 1.10." in text

    def test_what_compression_saves_is_told_of_the_medians(self) -> None:
        target = Target("made-up", "hub, made-up machine", ())
        rounds = [
            (
                "default",
                Case(target, 9, 1, compression=compression),
                row("hub", "hub", cpu_us=us, frame_bytes=size, rss_kib=kib).measurement,
            )
            for compression, us, size, kib in COMPRESSION_ROUNDS
        ]
        text = compression.render(rounds, ("a machine",))
        assert "| default | yes | 400 | 11.00 | 40.0 | 80.0 | 0 | 2.10 |" in text
        assert "- default: bytes 0.40, CPU per frame 1.10, +0.10 KiB/client" in text


COMPRESSION_ROUNDS = [
    *((False, 10.0, 1000.0, 2.0), (True, 11.0, 400.0, 2.1), (False, 10.0, 1000.0, 2.0)),
    *((True, 11.0, 400.0, 2.1), (False, 99.0, 1000.0, 9.0), (True, 99.0, 400.0, 9.0)),
]
VIEW_ROUNDS = [(1, 10.0), (50, 12.0), (1, 10.0), (50, 11.0), (1, 99.0), (50, 10.5)]


class TestViews:
    def test_all_views_are_different_for_the_hub(self) -> None:
        catalog = Hub().catalog()
        paths = views.views(50)
        queries = [path.partition("?")[2].encode() for path in paths]
        assert len({parse(query, FEED, catalog).view for query in queries}) == len(paths) == 50

    def test_a_message_of_a_view_is_checked_for_its_own_metrics(self) -> None:
        text = f'{{"memory":60.2,"timestamp":"{STAMP}","seq":7}}'.encode()
        assert read_message(text, {("memory",)}).stamp == read_message(PAYLOAD).stamp
        for wrong, chosen in ((text, ("cpu",)), (text.replace(b":7", b":7.5"), ("memory",))):
            with pytest.raises(WrongBytesError):
                read_message(wrong, {chosen})


class TestMadeUpMachines:
    @pytest.mark.parametrize("machine", [USUAL, LARGEST])
    def test_they_have_all_families_with_values_that_a_snapshot_may_have(
        self, machine: Machine
    ) -> None:
        (snapshot,) = itertools.islice(snapshots(machine, tuple(families())), 1)
        assert snapshot.readings.keys() == families().keys()
        for name, metric in families().items():
            reading = snapshot.readings[name]
            if metric.kind is Kind.RATE:
                assert isinstance(reading, DeviceDeltas)
                assert len(reading.devices) <= MOST_MEMBERS
            else:
                metric.rule.check(snapshot.value(name) or 0.0)

    def test_at_rest_they_have_what_is_sampled_unasked(self) -> None:
        assert {"cpu", "network"} <= set(at_rest(families()))
        assert {"temperatures", "processes"}.isdisjoint(at_rest(families()))

    def test_the_memory_of_their_past_is_what_the_hub_takes_it_for(self) -> None:
        found = costs.measure_memory(Machine(cores=1, devices=1, sensors=0), ("cpu", "network"))
        assert 0.8 * found.allocated < found.account < 1.2 * found.allocated
        assert found.resident > 0


CROWD = crowd.Crowd(
    tick=TickCost({"cpu": 300.0, "network": 6000.4}, 6400.0, 8000.0),
    snapshots=1360,
    reach=1359.0,
    estimate=32 * 2**20,
    idle=44 * 2**20,
    filled=76 * 2**20 + 2**19,
    peak=80 * 2**20,
    answers=(
        crowd.Answer(900, 200, 2**23, 900, 4.25, '{"timestamp":['),
        crowd.Answer(3600, 400, 171, 0, 0.01, '{"error":'),
    ),
    asked=12,
    calm=MEASUREMENT,
    busy=replace(MEASUREMENT, lag_max_ms=99.0, drops=1),
)


class TestSampling:
    async def test_a_tick_has_what_is_sampled_unasked_and_all_of_it_together(self) -> None:
        called: list[str] = []

        def collect(name: str) -> Callable[[], object]:
            def collector() -> int:
                called.append(name)
                return 1

            return collector

        metrics = (
            Metric("first", collect("first"), always=True, prime=int),
            Metric("asked", collect("asked")),
            Metric("second", collect("second"), always=True),
        )
        found = await measure_tick(metrics, 3, 0.0)
        assert list(found.families) == ["first", "second"]
        assert called == ["second", *["first", "second"] * 3]
        assert 0 < min(found.families.values()) <= found.cpu <= found.wall

    def test_a_report_compares_ticks_and_tells_what_the_past_takes(self) -> None:
        here = TickCost({"cpu": 250.0, "container": 270.0, "network": 90.0}, 610.0, 1000.0)
        text = sampling.render(here, CROWD, pairs=200, idle=0, notes=("a machine",))
        assert "| network | 90 | 6,000 |" in text
        assert "| container | 270 | - |" in text
        assert "| **all** | **610** | **6,400** |" in text
        assert "| resident, more than before | 32.5 MiB |" in text
        assert "| account over truth | 0.98 |" in text
        assert "| 900 | 200 | 900 | 8.0 MiB | 4.25 |" in text
        assert "| 3,600 | 400 | 0 | - | 0.01 |" in text
        assert "| the last of these requests, 12 answers | 40.0 | 80.0 | 99.0 | 1 |" in text

    def test_without_many_interfaces_there_is_a_report_of_a_tick(self) -> None:
        here = TickCost({"cpu": 250.0}, 250.0, 1000.0)
        text = sampling.render(here, None, pairs=200, idle=0, notes=("left out",))
        assert "| cpu | 250 | - |" in text
        assert "interfaces, " not in text
        assert text.endswith("- left out\n")

    def test_a_refusal_says_how_much_may_be_asked_for(self) -> None:
        text = '{"error":"seconds must be at most about 883, or else fewer metrics, not 3600"}'
        assert crowd.granted(crowd.Answer(3600, 400, len(text), 0, 0.01, text)) == 883
        with pytest.raises(BenchError, match="token"):
            crowd.granted(crowd.Answer(3600, 401, 1, 0, 0.01, '{"error":"a token"}'))

    async def test_a_belated_clock_catches_up_and_then_keeps_time(self) -> None:
        ticks: list[float] = []
        caught_up: list[bool] = []
        clock = BelatedClock(
            lambda: ticks.append(clock.monotonic()), lambda: caught_up.append(True)
        )
        assert time.time() - clock.time() == pytest.approx(3600, abs=1)
        clock.hurry()
        start = clock.monotonic()
        for minutes in range(10, 60, 10):
            await clock.sleep_until(start + 60 * minutes)
            assert clock.monotonic() == pytest.approx(start + 60 * minutes, abs=5)
        assert not caught_up
        await clock.sleep_until(start + 3600.2)
        assert caught_up
        assert time.time() == pytest.approx(clock.time(), abs=0.01)
        assert ticks == sorted(ticks)
        await clock.sleep_until(clock.monotonic() + 0.01)
        assert len(ticks) == 6

    def test_a_namespace_has_its_interfaces_and_is_gone_afterwards(self) -> None:
        program = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
        try:
            with crowd.namespace(2) as inside:
                command = (*inside, sys.executable, "-c", program)
                found = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 # our own
        except UnavailableError as error:
            pytest.skip(str(error))
        assert found.stdout == "['lo', 'veth0a', 'veth0b', 'veth1a', 'veth1b']\n"
        gone = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 # as above
        assert gone.returncode != 0


@pytest.fixture
def sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which a run replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class TestOutput:
    @pytest.mark.parametrize(
        "module", [comparison, isolation, views, hostile, sampling, page, costs]
    )
    def test_a_run_changes_the_recorded_results_only_on_request(self, module: ModuleType) -> None:
        assert module._arguments([]).output == ROOT / "build" / "benchmarks"
        assert module._arguments(["--record"]).output == ROOT / "benchmarks" / "results"
        assert module._arguments(["--output", "x"]).output == Path("x")

    def test_a_run_records_in_one_place_only(self) -> None:
        with pytest.raises(SystemExit):
            comparison._arguments(["--record", "--output", "x"])

    def test_git_ignores_what_is_not_recorded(self) -> None:
        ignored = (ROOT / ".gitignore").read_text().splitlines()
        assert f"{output.UNRECORDED.parent.name}/" in ignored

    @pytest.mark.usefixtures("sigterm_handler")
    def test_a_report_is_printed_and_written_to_a_new_directory(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert report_to(tmp_path / "new", "report.md", lambda: "# Report") == 0
        assert (tmp_path / "new" / "report.md").read_text() == "# Report"
        printed = capsys.readouterr()
        assert printed.out == "# Report\n"
        assert f"written to {tmp_path / 'new'}: report.md" in printed.err

    @pytest.mark.usefixtures("sigterm_handler")
    def test_a_run_that_fails_writes_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail() -> str:
            raise BenchError("a wrong frame")

        assert report_to(tmp_path / "new", "report.md", fail) == 1
        assert not (tmp_path / "new").exists()
        assert capsys.readouterr().err == "failed: a wrong frame\n"


class TestMachine:
    def test_numbers_of_clients_are_cut_to_what_fits(self) -> None:
        assert fitting((9000, 100, 1000), 800) == (100, 800)

    def test_the_fine_clock_agrees_with_psutil(self) -> None:
        times = psutil.Process().cpu_times()
        found = Meter(os.getpid()).cpu_seconds()
        assert found == pytest.approx(times.user + times.system, abs=0.05)


class TestEndToEnd:
    def case(self, *command: str) -> Case:
        return Case(Target("x", "a server", command), clients=5, seconds=1)

    def test_the_python_floor_delivers_everything(self) -> None:
        (floor,) = (one for one in python_targets() if one.key == "floor-python")
        shares: list[float] = []
        found = measure(Case(floor, clients=5, seconds=1, stalled=2), Cores.split(), shares.append)
        assert (found.clients, found.frames, found.drops, found.lost, found.cut) == (5, 5, 0, 0, 0)
        assert 0 < found.lag_p50_ms <= found.lag_p99_ms <= found.lag_max_ms
        assert found.cpu_us > 0
        assert shares == [1.0]

    def test_a_comparison_writes_to_the_directory_asked_for_and_nowhere_else(
        self, tmp_path: Path
    ) -> None:
        before = {path: path.read_bytes() for path in output.RECORDED.iterdir()}
        flags = ["--clients=5", "--seconds=1", "--only=floor-python", f"--output={tmp_path}"]
        command = [sys.executable, "-m", "benchmarks", *flags]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 # our own
        assert done.stdout == (tmp_path / "report.md").read_text() + "\n"
        assert "| Python floor |" in done.stdout
        assert "Python floor" in (tmp_path / "chart.svg").read_text()
        assert {path: path.read_bytes() for path in output.RECORDED.iterdir()} == before

    def test_the_hub_delivers_every_view(self) -> None:
        hub = next(one for one in python_targets() if one.key == "hub")
        case = Case(hub, clients=9, seconds=1, paths=views.views(9))
        found = measure(case, Cores.split(), lambda _: None)
        assert (found.frames, found.drops, found.lost) == (9, 0, 0)

    @pytest.mark.parametrize("compression", [False, True])
    def test_the_made_up_machine_sends_all_families(self, *, compression: bool) -> None:
        path = path_of_all()
        case = Case(MADE_UP, clients=3, seconds=1, paths=(path,), compression=compression)
        found = measure(case, Cores.split(), lambda _: None)
        assert (found.frames, found.drops, found.lost) == (3, 0, 0)
        assert (found.frame_bytes < 2000) == compression
        assert (found.frame_bytes > 4000) != compression

    def test_a_server_that_does_not_start_is_an_error(self) -> None:
        case = self.case(sys.executable, "-c", "raise SystemExit('no port left')")
        with pytest.raises(BenchError, match="no port left"):
            measure(case, Cores.split(), lambda _: None)

    def test_one_wrong_frame_ends_the_run(self) -> None:
        program = (
            "from benchmarks.servers import floor\n"
            "right = floor.message\n"
            "floor.message = lambda count: right(count).replace('60.2', 'NaN')\n"
            "floor._Floor().run()\n"
        )
        with pytest.raises(BenchError, match="NaN is not JSON"):
            measure(self.case(sys.executable, "-c", program), Cores.split(), lambda _: None)
