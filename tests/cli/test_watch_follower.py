"""Following a feed that a test plays, in time that the test moves."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import anyio
import pytest
from rich.console import Console
from websockets.asyncio.client import connect
from websockets.datastructures import Headers, MultipleValuesError
from websockets.exceptions import (
    ConnectionClosedError,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import Close
from websockets.http11 import Response

from hub.cli.watch.disconnection import FeedRefused
from hub.cli.watch.families import Families
from hub.cli.watch.follower import Follower
from hub.cli.watch.machine import Machine
from hub.cli.watch.message import Message
from hub.cli.watch.options import FeedOptions
from hub.cli.watch.screen import Screen
from hub.cli.watch.viewer import Phase, State
from tests.support.fakes import FakeClock, settle

TOKEN: Final = "canary-watch-77aa"  # noqa: S105 # of a hub that is not there


class FakeFeed:
    """A connection whose messages a test puts in; what is no text ends it."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()

    def say(self, second: int, **content: object) -> str:
        stamp = f"2025-11-10T12:30:{second:02}.000000+00:00"
        text = json.dumps({**content, "timestamp": stamp})
        self.sent.put_nowait(text)
        return text

    async def recv(self) -> str | bytes:
        said = await self.sent.get()
        if isinstance(said, Exception):
            raise said
        return said


class Stage:
    """A follower of feeds that a test plays, in time that it moves."""

    def __init__(
        self, options: FeedOptions | None = None, families: Families | None = None
    ) -> None:
        self.clock = FakeClock()
        self.dialled: list[tuple[str, Mapping[str, Any]]] = []
        self.answers: list[FakeFeed | Exception] = []
        self.messages: list[str] = []
        self.states: list[State] = []
        self.follower = Follower(
            options or FeedOptions("ws://hub"),
            self,
            clock=self.clock,
            families=families,
            jitter=lambda: 0.5,
            connect=cast("type[connect]", self._connect),
        )

    @asynccontextmanager
    async def _connect(self, url: str, **options: object) -> AsyncIterator[FakeFeed]:
        self.dialled.append((url, options))
        answer = self.answers.pop(0) if self.answers else OSError(111, "as it were")
        if isinstance(answer, Exception):
            raise answer
        yield answer

    def show(self, message: Message) -> None:
        self.messages.append(message.text)

    def on_state(self, state: State) -> None:
        self.states.append(state)

    def answer(self) -> FakeFeed:
        feed = FakeFeed()
        self.answers.append(feed)
        return feed

    @property
    def urls(self) -> list[str]:
        return [url for url, _ in self.dialled]

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.follower.run)
            await settle()
            yield
            group.cancel_scope.cancel()


async def test_messages_are_handed_on_as_they_come() -> None:
    stage = Stage(FeedOptions("ws://hub/m", {"metrics": "cpu,load"}, history=60))
    feed = stage.answer()
    said = [feed.say(1, cpu=1.0), feed.say(2, cpu=2.0)]
    async with stage.playing():
        assert stage.messages == said
    assert stage.urls == ["ws://hub/m/api/system/metrics?metrics=cpu,load&history=60"]
    assert [state.phase for state in stage.states] == [Phase.CONNECTING, Phase.LIVE]


async def test_a_token_is_shown_in_a_header_and_opens_the_other_feed() -> None:
    stage = Stage(FeedOptions("ws://hub", token=TOKEN))
    async with stage.playing():
        pass
    ((url, options),) = stage.dialled
    assert url == "ws://hub/api/system/ws"
    assert options["additional_headers"] == {"Authorization": f"Bearer {TOKEN}"}
    assert TOKEN not in repr(stage.follower._options)


async def test_a_lost_connection_is_resumed_after_a_random_wait() -> None:
    stage = Stage(FeedOptions("ws://hub", history=60))
    feed, again = stage.answer(), FakeFeed()
    feed.say(1)
    feed.sent.put_nowait(ConnectionClosedError(Close(1012, "service restart"), None))
    stage.answers.append(again)
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, "service restart", 0.5)
        assert len(stage.dialled) == 1
        await stage.clock.advance(0.5)
        again.say(2)
        await settle()
        assert stage.states[-1].phase is Phase.LIVE
    assert stage.urls[1] == ("ws://hub/api/system/metrics?since=2025-11-10T12:30:01.000000%2B00:00")


async def test_waits_become_longer_up_to_a_limit_until_there_is_a_message() -> None:
    stage = Stage()
    async with stage.playing():
        for _ in range(8):
            await stage.clock.advance(stage.states[-1].seconds)
        waits = [state.seconds for state in stage.states[1:]]
        assert waits == [0.5, 1, 2, 4, 8, 15]
        assert len(stage.dialled) == 9
        assert stage.states[-1].reason == "Connection refused"
        feed = stage.answer()
        feed.say(1)
        feed.sent.put_nowait(ConnectionClosedError(None, None))
        await stage.clock.advance(15)
        assert stage.states[-1] == State(Phase.RECONNECTING, "connection lost", 0.5)


def refusal(status: int, body: object, headers: Mapping[str, str] | None = None) -> InvalidStatus:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return InvalidStatus(Response(status, "Reason", Headers(headers or {}), content))


async def test_a_hub_without_room_is_left_alone_for_as_long_as_it_says() -> None:
    stage = Stage()
    stage.answers.append(refusal(503, {"error": "no room"}, {"Retry-After": "5"}))
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, "no room", 5.5)


async def test_it_comes_back_however_often_it_has_tried() -> None:
    stage = Stage()
    async with stage.playing():
        await stage.clock.advance(15 * 1100)
        assert len(stage.dialled) > 1100
        feed = stage.answer()
        feed.say(1)
        await stage.clock.advance(15)
        assert stage.states[-1].phase is Phase.LIVE


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("Retry-After", "9" * 400)], 3600.5),
        ([("Retry-After", "9" * 5000)], 3600.5),
        ([("Retry-After", "0")], 0.5),
        ([("Retry-After", "-1")], 0.5),
        ([("Retry-After", "1e3")], 0.5),
        ([("Retry-After", "nan")], 0.5),
        ([("Retry-After", "\u00b2")], 0.5),
        ([("Retry-After", "5"), ("Retry-After", "6")], 0.5),
        ([("Retry-After", "Mon, 10 Nov 2025 12:30:45 GMT")], 0.5),
    ],
)
async def test_a_time_to_wait_that_makes_no_sense_is_bounded(
    headers: list[tuple[str, str]], seconds: float
) -> None:
    stage = Stage()
    response = Response(503, "Busy", Headers(headers), b'{"error":"no room"}')
    stage.answers.append(InvalidStatus(response))
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, "no room", seconds)
        screen = Screen("ws://hub", clock=FakeClock(), console=Console(file=io.StringIO()))
        screen.on_state(stage.states[-1])
        screen.render()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0001-01-01T00:00:00.000000+00:00", "9999-12-31T23:59:59.999999+00:00"),
        ("9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00.000000+00:00"),
        ("2025-11-10T12:30:45.000000+00:00", "2025-11-10T12:30:45.000000+00:00"),
    ],
)
async def test_times_that_make_no_sense_do_not_say_how_far_apart_messages_are(
    first: str, second: str
) -> None:
    stage = Stage()
    feed = stage.answer()
    for stamp in (first, second):
        feed.sent.put_nowait(json.dumps({"timestamp": stamp}))
    async with stage.playing():
        assert len(stage.messages) == 2
        await stage.clock.advance(179.9)
        assert stage.states[-1] == State(Phase.LIVE)
        await stage.clock.advance(0.2)
        assert stage.states[-1] == State(Phase.STALE)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal(400, {"error": "metrics must be", "parameter": "metrics"}), "metrics must be"),
        (refusal(401, {"error": "a valid token"}), "a valid token"),
        (refusal(404, b"<h1>Not Found</h1>"), "the hub answers 404 Reason"),
        (refusal(403, [1, 2]), "the hub answers 403 Reason"),
    ],
)
async def test_what_waiting_does_not_change_ends_it(answer: InvalidStatus, reason: str) -> None:
    stage = Stage()
    stage.answers.append(answer)
    with pytest.raises(FeedRefused, match=f"^{reason}$"):
        await stage.follower.run()


async def test_a_client_that_the_hub_sends_away_for_good_stays_away() -> None:
    stage = Stage()
    stage.answer().sent.put_nowait(ConnectionClosedError(Close(1008, "too many messages"), None))
    with pytest.raises(FeedRefused, match="too many messages"):
        await stage.follower.run()


async def test_where_the_hub_keeps_less_of_the_past_it_goes_without() -> None:
    stage = Stage(FeedOptions("ws://hub", {"metrics": "cpu"}, history=60))
    stage.answers.append(refusal(400, {"error": "history must be", "parameter": "history"}))
    feed = stage.answer()
    feed.say(1)
    async with stage.playing():
        assert stage.states[-1].phase is Phase.LIVE
    assert stage.urls[1] == "ws://hub/api/system/metrics?metrics=cpu"


class Catalog:
    """What a hub says it offers, as often as it is asked."""

    def __init__(self, *answers: str | None) -> None:
        self._answers = list(answers)

    async def __call__(self) -> Machine | None:
        answer = self._answers.pop(0)
        return Machine(families=tuple(answer.split(","))) if answer else None


BAD_METRICS: Final = {"error": "metrics must be one or more of cpu", "parameter": "metrics"}


async def test_all_that_the_hub_offers_is_followed_and_asked_for_anew() -> None:
    stage = Stage(families=Families(Catalog("cpu,load", "cpu,load,gpu")))
    feed, again = stage.answer(), stage.answer()
    feed.say(1)
    feed.sent.put_nowait(ConnectionClosedError(Close(1012, "service restart"), None))
    async with stage.playing():
        await stage.clock.advance(0.5)
        again.say(2)
        await settle()
    assert stage.urls == [
        "ws://hub/api/system/metrics?metrics=cpu,load",
        "ws://hub/api/system/metrics?metrics=cpu,load,gpu&since=2025-11-10T12:30:01.000000%2B00:00",
    ]


async def test_a_hub_that_offers_less_than_others_is_followed_all_the_same() -> None:
    stage = Stage(families=Families(Catalog(None, None, None, None)))
    stage.answers += [refusal(400, BAD_METRICS)] * 2
    stage.answer().say(1)
    async with stage.playing():
        assert stage.states[-1] == State(Phase.LIVE)
    assert [url.count(",") for url in stage.urls] == [17, 16, 8]


async def test_a_hub_that_refuses_all_choices_is_believed() -> None:
    stage = Stage(families=Families(Catalog("cpu", "cpu", "cpu")))
    stage.answers += [refusal(400, BAD_METRICS)] * 3
    with pytest.raises(FeedRefused, match="one or more of cpu"):
        await stage.follower.run()
    assert stage.urls == ["ws://hub/api/system/metrics?metrics=cpu", "ws://hub/api/system/metrics"]


async def test_what_the_user_names_is_not_replaced() -> None:
    stage = Stage(FeedOptions("ws://hub", {"metrics": "cpux"}), Families(Catalog("cpu", "cpu")))
    stage.answers.append(refusal(400, BAD_METRICS))
    with pytest.raises(FeedRefused, match="metrics must be"):
        await stage.follower.run()
    assert stage.urls == ["ws://hub/api/system/metrics?metrics=cpux"]


UNREADABLE: Final = State(Phase.UNREADABLE, "what it sends is no message of a metrics hub")


@pytest.mark.parametrize(
    "text",
    [
        "no JSON", "", b"\xff", b"", "[]", "{}", "[1]", '"x"', "null", "1", "[" * 100_000,
        '{"timestamp":"soon"}', '{"timestamp":1}', '{"timestamp":["2025-11-10T12:30:45+00:00"]}',
        '{"timestamp":"2025-11-10T12:30:45"}', '{"timestamp":"2025-11-10T12:30:45+01:00"}',
        '[["timestamp","2025-11-10T12:30:45+00:00"]]',
        *(
            f'{{"cpu":{value},"timestamp":"2025-11-10T12:30:45.000000+00:00"}}'
            for value in (
                "Infinity", "-Infinity", "NaN", "1e999", "9" * 400, "9" * 5000, '"\x1b"',
                "[" * 100 + "]" * 100, "[" * 100_000 + "]" * 100_000,
            )
        ),
    ],
    ids=lambda text: str(text[:30]),
)  # fmt: skip
async def test_what_is_no_message_is_told_once_and_the_view_goes_on(
    text: str | bytes,
) -> None:
    stage = Stage()
    feed = stage.answer()
    for _ in range(5):
        feed.sent.put_nowait(text)
    async with stage.playing():
        assert stage.states == [State(Phase.CONNECTING), UNREADABLE]
        said = feed.say(1, cpu=1.0)
        await settle()
        assert stage.states[2:] == [State(Phase.LIVE)]
        assert stage.messages == [said]


async def test_a_connection_over_which_nothing_but_nonsense_comes_is_given_up() -> None:
    stage = Stage()
    feed = stage.answer()
    async with stage.playing():
        for _ in range(10):
            feed.sent.put_nowait("nonsense")
            await stage.clock.advance(1)
        assert stage.states[1:] == [
            UNREADABLE, State(Phase.RECONNECTING, UNREADABLE.reason, 0.5),
            *[State(Phase.RECONNECTING, "Connection refused", 1.0)],
        ]  # fmt: skip


async def test_a_time_that_the_hub_does_not_take_back_is_forgotten() -> None:
    stage = Stage(FeedOptions("ws://hub", history=60))
    feed = stage.answer()
    feed.say(1)
    feed.sent.put_nowait(ConnectionClosedError(None, None))
    stage.answers.append(refusal(400, {"error": "since must be", "parameter": "since"}))
    again = stage.answer()
    async with stage.playing():
        await stage.clock.advance(0.5)
        again.say(2)
        await settle()
        assert stage.states[-1] == State(Phase.LIVE)
    assert stage.urls[2] == "ws://hub/api/system/metrics"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidURI("http://hub", "scheme isn't ws or wss"), "what answers speaks no WebSocket"),
        (InvalidMessage("no HTTP"), "what answers speaks no WebSocket"),
        (ValueError("a redirect to ws://["), "what answers speaks no WebSocket"),
        (MultipleValuesError("Location"), "what answers speaks no WebSocket"),
        (
            ConnectionClosedError(None, Close(1011, "keepalive ping timeout")),
            "given up: keepalive ping timeout",
        ),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "self-signed certificate"),
        (ConnectionResetError(104, "as it were"), "Connection reset by peer"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out during opening handshake"), "timed out during opening handshake"),
        (OSError(), "no answer"),
        (refusal(503, b"[" * 100_000), "the hub answers 503 Reason"),
        (refusal(503, {"error": ["no", "text"]}), "the hub answers 503 Reason"),
        (refusal(503, b"\xff\xfe"), "the hub answers 503 Reason"),
        (refusal(503, b'{"error":NaN}'), "the hub answers 503 Reason"),
    ],
)
async def test_whatever_a_server_answers_is_a_reason_to_try_again(
    error: Exception, reason: str
) -> None:
    stage = Stage()
    stage.answers.append(error)
    async with stage.playing():
        assert stage.states[-1] == State(Phase.RECONNECTING, reason, 0.5)


async def test_messages_that_have_come_already_do_not_hold_the_loop() -> None:
    stage = Stage()
    feed = stage.answer()
    turns = 0
    async with stage.playing():
        for number in range(50):
            feed.say(number)
        while len(stage.messages) < 50:
            await asyncio.sleep(0)
            turns += 1
    assert turns >= 50


@pytest.mark.parametrize(
    ("parameters", "said", "patience"),
    [
        ({}, 0, 3),  # the first message comes at once
        ({}, 1, 180),  # how far apart the others are is not known yet
        ({}, 2, 30),  # here they are ten seconds apart
        ({"interval": "20"}, 1, 60),
        ({"interval": "0.1"}, 1, 3),
    ],
)
async def test_silence_is_stale_and_then_the_end(
    parameters: dict[str, str], said: int, patience: float
) -> None:
    stage = Stage(FeedOptions("ws://hub", parameters))
    feed = stage.answer()
    for number in range(said):
        feed.say(10 * number)
    async with stage.playing():
        await stage.clock.advance(patience - 0.1)
        before = stage.states[-1].phase
        assert before is (Phase.LIVE if said else Phase.CONNECTING)
        await stage.clock.advance(0.2)
        assert stage.states[-1].phase is (Phase.STALE if said else Phase.CONNECTING)
        await stage.clock.advance(2 * patience - 0.3)
        assert len(stage.states) == (3 if said else 1)
        await stage.clock.advance(0.2)
        assert stage.states[-1] == State(Phase.RECONNECTING, "the hub is silent", 0.5)
        assert stage.clock.pending == 1, "no timer but the wait for the next try"
