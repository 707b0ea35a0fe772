"""The feed over plain HTTP, the same on every server."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import json
import platform
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import anyio
import httpx2
import psutil
import pytest

from hub import Hub, InvalidValue, Metric, Settings, create_app
from hub.feed.history import History
from hub.feed.query import FeedQuery, PastFormat
from hub.feed.view import View
from hub.sampling.snapshot import Failure, Snapshot
from hub.web.columns import encode_columns
from hub.web.past import MEDIA_TYPES, MOST_BYTES, check_size, encode_past
from tests.support.clients import (
    DEFAULT_MESSAGE,
    TIMESTAMP,
    client,
    message,
    strict_json,
)
from tests.support.fakes import FakeClock, FakeCollector, TickingClock, settle
from tests.support.servers import DEADLINE, PATH, STARTERS, ServerProcess, start_hub

STREAM = f"{PATH}/stream"
HISTORY = f"{PATH}/history"


@pytest.fixture(scope="module", params=STARTERS)
def shared(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with STARTERS[request.param]() as server:
        yield server


@pytest.fixture
def server(shared: ServerProcess) -> Iterator[ServerProcess]:
    """The server, which must have logged no traceback afterwards."""
    mark = shared.log.mark
    yield shared
    shared.assert_tidy(since=mark)


@asynccontextmanager
async def browser(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server, within a deadline that holds for all that is done with it."""
    url = f"http://127.0.0.1:{server.port}"
    with anyio.fail_after(2 * DEADLINE):
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as http:
            yield http


async def get(server: ServerProcess, target: str, **headers: str) -> httpx2.Response:
    async with browser(server) as http:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http.get(target, headers=names)


def assert_refused(response: httpx2.Response, parameter: str) -> None:
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    body = strict_json(response.text)
    assert list(body) == ["error", "parameter"]
    assert body["parameter"] == parameter
    assert len(body["error"].splitlines()) == 1


# The latest message


async def test_the_latest_message_has_the_form_of_the_feed_s(server: ServerProcess) -> None:
    response = await get(server, PATH)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert DEFAULT_MESSAGE.fullmatch(response.text)


async def test_the_latest_message_is_the_one_that_a_new_subscriber_sees(
    server: ServerProcess,
) -> None:
    async with client(server.url()) as websocket:
        seen = [await message(websocket) for _ in range(3)]
        latest = (await get(server, PATH)).json()
        while latest not in seen and seen[-1]["timestamp"] < latest["timestamp"]:
            seen.append(await message(websocket))
    assert latest in seen


async def test_a_view_of_the_latest_message(server: ServerProcess) -> None:
    response = await get(server, f"{PATH}?metrics=disk,cpu&partial=true&interval=0.3&aggregate=max")
    assert list(response.json()) == ["cpu", "disk", "timestamp"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("metrics=gpu", "metrics"),
        ("interval=0.25", "interval"),
        ("history=5", "history"),
        ("seq=true", "seq"),
        ("x", "x"),
        ("metrics=%ff", "query"),
    ],
)
async def test_a_bad_query_for_the_latest_message_is_refused(
    server: ServerProcess, query: str, parameter: str
) -> None:
    assert_refused(await get(server, f"{PATH}?{query}"), parameter)


@pytest.mark.parametrize("path", [PATH, HISTORY, STREAM])
async def test_a_restricted_family_is_refused_and_says_where_it_is(
    server: ServerProcess, path: str
) -> None:
    response = await get(server, f"{path}?metrics=cpu,processes")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert strict_json(response.text) == {
        "error": "the family 'processes' is restricted: "
        "follow /api/system/ws with Authorization: Bearer TOKEN",
        "reason": "token",
    }


async def test_who_has_the_latest_message_already_is_told_so() -> None:
    with start_hub("--interval", "60", interval=None) as server:
        async with browser(server) as http:
            first = await http.get(PATH)
            tag = first.headers["etag"]
            assert first.headers["cache-control"] == "no-cache"
            assert re.fullmatch(r'"[0-9a-f]+"', tag)
            for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = await http.get(PATH, headers={"If-None-Match": condition})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == tag
            changed = await http.get(PATH, headers={"If-None-Match": '"other"'})
            assert changed.text == first.text
            other = await http.get(f"{PATH}?metrics=cpu", headers={"If-None-Match": tag})
            assert other.status_code == 200


@pytest.mark.parametrize("path", [PATH, HISTORY, STREAM, "/openapi.json", "/asyncapi.json"])
async def test_every_route_answers_get_and_head_and_nothing_else(
    server: ServerProcess, path: str
) -> None:
    async with browser(server) as http:
        head = await http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            refused = await http.request(method, path)
            assert refused.status_code == 405
            assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


# The past in columns


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/livez", "/openapi.json", PATH],
)
@pytest.mark.parametrize("more", ["%0a", "%0d%0a", "%00", "%2f"])
async def test_a_path_with_more_behind_it_is_another_one(
    server: ServerProcess, path: str, more: str
) -> None:
    """So a proxy that keeps a path private keeps all of its forms private."""
    assert (await get(server, path)).status_code == 200
    assert (await get(server, path + more)).status_code == 404


async def test_the_past_comes_in_columns_of_one_length(server: ServerProcess) -> None:
    async with client(server.url()) as websocket:
        seen = [await message(websocket) for _ in range(4)]
    columns = (await get(server, f"{HISTORY}?seconds=60")).json()
    assert list(columns) == ["timestamp", "cpu", "memory", "disk"]
    assert len({len(column) for column in columns.values()}) == 1
    assert columns["timestamp"] == sorted(set(columns["timestamp"]))
    rows = [
        dict(zip(("timestamp", "cpu", "memory", "disk"), row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    assert all(one in rows for one in seen)


async def test_the_past_in_longer_intervals_is_the_mean(server: ServerProcess) -> None:
    async with browser(server) as http:
        longer: dict[str, list[Any]] = {"timestamp": []}
        with anyio.fail_after(DEADLINE):
            while len(longer["timestamp"]) < 2:
                await anyio.sleep(0.1)  # until so much is past
                longer = (await http.get(f"{HISTORY}?interval=0.5&metrics=cpu&seconds=30")).json()
        single = (await http.get(f"{HISTORY}?metrics=cpu&seconds=30")).json()
    ends = [single["timestamp"].index(timestamp) for timestamp in longer["timestamp"]]
    for before, end, mean in zip(ends, ends[1:], longer["cpu"][1:], strict=False):
        values = single["cpu"][before + 1 : end + 1]
        assert mean == pytest.approx(sum(values) / len(values), abs=0.11)


async def test_a_crowd_that_asks_for_the_past_leaves_the_event_loop_to_others() -> None:
    rows, crowd = 1000, 10
    hub = Hub(clock=TickingClock(), collector=FakeCollector())
    for tick in range(rows):
        snapshot = Snapshot(tick, tick, float(tick), {"cpu": 1.5, "memory": 2.5, "disk": 3.5})
        hub.publish(snapshot)
    transport = httpx2.ASGITransport(create_app(hub=hub))
    turns = 0

    async def spin() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def ask() -> None:
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            columns = (await http.get(f"{HISTORY}?seconds=3600")).json()
        assert [len(column) for column in columns.values()] == [rows] * 4

    async with anyio.create_task_group() as group:
        group.start_soon(spin)
        async with anyio.create_task_group() as asking:
            for _ in range(crowd):
                asking.start_soon(ask)
        group.cancel_scope.cancel()
    await hub.stop()
    # Each reads and then encodes four columns, so many rows at a time; others come in between.
    assert turns >= crowd * 5 * (rows // 64)


def count_snapshots() -> int:
    gc.collect()
    return sum(type(one) is Snapshot for one in gc.get_objects())


def test_clients_that_read_slowly_hold_nothing_that_was_reduced_for_them() -> None:
    rows, crowd = 1000, 20
    history = History(rows)
    for tick in range(rows):
        history.append(Snapshot(tick, tick, float(tick), {"cpu": 1.5, "memory": 2.5}))
    metrics = {name: Metric(name, int) for name in ("cpu", "memory")}
    view = View(("cpu", "memory"), ticks=2)
    before = count_snapshots()
    answers = [encode_columns(history, view, metrics, 3600) for _ in range(crowd)]
    for answer in answers:
        heard = b""
        while b'"memory":[2.5' not in heard:
            heard += next(answer) or b""
    assert count_snapshots() - before < 3 * crowd
    for answer in answers:
        tail = b"".join(filter(None, answer))
        assert tail.endswith(b"2.5]}")


def test_what_is_forgotten_while_a_column_is_read_is_in_all_columns_or_in_none() -> None:
    history = History(100)
    for tick in range(100):
        history.append(Snapshot(tick, tick, float(tick), {"cpu": float(tick)}))
    answer = encode_columns(history, View(("cpu",), ticks=5), {"cpu": Metric("cpu", int)}, 3600)
    heard = b""
    for tick in range(100, 1000):
        heard += next(answer, None) or b""
        history.append(Snapshot(tick, tick, float(tick), {"cpu": float(tick)}))
    columns = json.loads(heard + b"".join(filter(None, answer)))
    assert len(columns["cpu"]) == len(columns["timestamp"]) > 5
    assert columns["cpu"] == sorted(columns["cpu"])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("seconds=3601", "seconds"), ("seconds=-1", "seconds"), ("since=now", "since")],
)
async def test_a_bad_query_for_the_past_is_refused(
    server: ServerProcess, query: str, parameter: str
) -> None:
    assert_refused(await get(server, f"{HISTORY}?{query}"), parameter)


# Server-sent events


@asynccontextmanager
async def stream(
    http: httpx2.AsyncClient, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[httpx2.ServerSentEvent]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.sse(f"{STREAM}{query}", headers=names) as source:
        yield source.__aiter__()


async def take(events: AsyncIterator[httpx2.ServerSentEvent], count: int) -> list[dict[str, Any]]:
    """Return the next messages, each of whose id must be its timestamp."""
    messages = []
    for _ in range(count):
        event = await anext(events)
        messages.append(strict_json(event.data))
        assert event.id == messages[-1]["timestamp"]
    return messages


async def test_the_stream_is_the_feed(server: ServerProcess) -> None:
    async with browser(server) as http, client(server.url()) as websocket, stream(http) as events:
        over_http = await take(events, 5)
        assert all(
            DEFAULT_MESSAGE.fullmatch(json.dumps(m, separators=(",", ":"))) for m in over_http
        )
        seen = [await message(websocket)]
        while seen[-1]["timestamp"] < over_http[-1]["timestamp"]:
            seen.append(await message(websocket))
    assert [one for one in seen if one in over_http] == [one for one in over_http if one in seen]
    assert over_http[-1] in seen


async def test_the_stream_s_head_keeps_caches_and_proxies_out(server: ServerProcess) -> None:
    async with browser(server) as http, http.stream("GET", STREAM) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        first = await anext(response.aiter_text())
        assert re.match(r"retry: [1-5]\d\d\d\n", first)


async def test_a_browser_that_comes_back_gets_what_it_missed(server: ServerProcess) -> None:
    async with browser(server) as http:
        async with stream(http, "?history=3600&seq=true&metrics=cpu") as events:
            first = await take(events, 3)
        await anyio.sleep(0.5)
        last = first[-1]["timestamp"]
        query = "?history=3600&seq=true&metrics=cpu"
        async with stream(http, query, Last_Event_ID=last) as events:
            resumed = await take(events, 8)
        assert resumed[0]["timestamp"] > last
        columns = (await http.get(f"{HISTORY}?seconds=3600&metrics=cpu")).json()
    timestamps = [one["timestamp"] for one in first + resumed]
    begin = columns["timestamp"].index(timestamps[0])
    kept = columns["timestamp"][begin : begin + len(timestamps)]
    assert timestamps[: len(kept)] == kept
    assert len(kept) >= 8


async def test_a_bad_last_event_id_is_refused(server: ServerProcess) -> None:
    assert_refused(await get(server, STREAM, Last_Event_ID="17"), "Last-Event-ID")
    async with browser(server) as http, stream(http, Last_Event_ID="") as events:
        assert await take(events, 1)


async def test_streams_that_are_left_are_forgotten(server: ServerProcess) -> None:
    """Two views may be live: were one not forgotten, there would be no room."""
    async with browser(server) as http:
        for number in range(30):
            async with stream(http, f"?interval=0.{number % 9 + 1}&seq=true&history=60") as events:
                await take(events, 1)


async def test_a_stream_ends_at_once_when_the_server_stops() -> None:
    with start_hub() as server:
        async with browser(server) as http, AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(stream(http)) for _ in range(5)]
            for events in streams:
                await take(events, 1)
            server.process.send_signal(signal.SIGTERM)
            for events in streams:
                async for _ in events:
                    pass
            assert await server.ended() == 0
        # One of them would say that the server had to end a stream when its time of grace was over.
        assert not [line for line in server.log.text.splitlines() if " ERROR " in line]


# The cap on live views


async def test_no_more_views_are_live_than_may_be() -> None:
    with start_hub("--views", "2") as server:
        one = client(server.url("?metrics=disk"), "127.0.0.2")
        other = client(server.url("?metrics=cpu"), "127.0.0.3")
        async with one, other, browser(server) as http:
            refused = await http.get(f"{STREAM}?metrics=memory")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert "2 different views are live" in strict_json(refused.text)["error"]
            for path in (PATH, HISTORY):  # which hold no view
                assert (await http.get(f"{path}?metrics=memory")).status_code == 200
            with pytest.raises(Exception, match="HTTP 503"):
                async with client(server.url("?metrics=memory")):
                    pass
            async with client(server.url()) as usual, stream(http) as events:
                await message(usual)
                await take(events, 1)
        await server.has_total(0)
        async with client(server.url("?metrics=memory")) as third:
            assert re.fullmatch(TIMESTAMP, (await message(third))["timestamp"])


async def test_an_address_may_follow_half_of_the_views_and_what_others_follow_too() -> None:
    with start_hub("--views", "5") as server:
        async with (
            client(server.url("?metrics=cpu")) as first,
            client(server.url("?metrics=memory")) as second,
            browser(server) as http,
        ):
            await message(first)
            await message(second)
            refused = await http.get(f"{STREAM}?metrics=disk")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert strict_json(refused.text)["error"].startswith("2 different views are followed")
            async with client(server.url("?metrics=cpu")) as again, client(server.url()) as usual:
                await message(again)
                await message(usual)
            async with client(server.url("?metrics=disk"), "127.0.0.2") as other:
                await message(other)
        await server.has_total(0)
        async with client(server.url("?metrics=disk")) as third:
            await message(third)


async def test_asking_for_the_latest_holds_no_view_and_has_it_sampled_for_a_while() -> None:
    """So families that no client follows can be polled, even those that need two looks."""
    clock = FakeClock()
    metrics = [Metric("cpu", lambda: 1.0, always=True), Metric("rare", lambda: 2.0)]
    hub = Hub(metrics=metrics, clock=clock, collector=FakeCollector())
    transport = httpx2.ASGITransport(create_app(hub=hub))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        asked = asyncio.ensure_future(http.get(f"{PATH}?metrics=rare"))
        await settle()
        await clock.advance(1)
        assert (await asked).json()["rare"] == 2.0
        assert hub.statistics().views == 0
        for _ in range(3):
            await clock.advance(50)
            assert (await http.get(f"{PATH}?metrics=rare")).json()["rare"] == 2.0
        await clock.advance(60)
        assert [metric.name for metric in hub.demand()] == ["cpu"]
    await hub.stop()


# An answer's size


def large(rows: int, size: int) -> History:
    history = History(rows)
    for tick in range(rows):
        history.append(Snapshot(tick, tick, float(tick), {"own": "x" * size}))
    return history


OWN = View(("own",))
METRICS = {"own": Metric("own", str)}


def test_an_answer_that_would_be_too_large_is_refused_and_says_how_much_may_be() -> None:
    history = large(1000, 20_000)
    with pytest.raises(InvalidValue, match=r"^seconds must be at most about (\d+) for ") as refused:
        check_size(history, OWN, 999)
    fitting = int(re.findall(r"about (\d+)", str(refused.value))[0])
    assert 380 < fitting < 420
    check_size(history, OWN, fitting)
    check_size(history, View(("own",), ticks=10), 999)
    sizes = map(len, filter(None, encode_past(history, FeedQuery(OWN, fitting), METRICS)))
    assert 0.9 * MOST_BYTES < sum(sizes) <= MOST_BYTES


def test_an_answer_that_has_become_larger_than_it_may_be_ends() -> None:
    answer = encode_past(large(1000, 20_000), FeedQuery(OWN, 999), METRICS)
    with pytest.raises(RuntimeError, match="an answer has become larger than"):
        b"".join(filter(None, answer))


def test_there_is_nothing_too_large_about_an_empty_history() -> None:
    check_size(History(10), OWN, 60)


async def test_a_past_that_is_too_large_is_400() -> None:
    metrics = [Metric("own", lambda: "x" * 100_000, always=True)]
    clock = FakeClock()
    hub = Hub(metrics=metrics, clock=clock, collector=FakeCollector())
    transport = httpx2.ASGITransport(create_app(hub=hub))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        hub.start()
        await settle()
        await clock.advance(100)
        refused = await http.get(f"{HISTORY}?seconds=99&metrics=own")
        assert refused.status_code == 400
        assert refused.json()["parameter"] == "seconds"
    await hub.stop()


# What machine it is


async def test_the_hub_tells_what_machine_it_is_on(server: ServerProcess) -> None:
    answer = await get(server, "/api/system/info")
    assert answer.status_code == 200
    info = strict_json(answer.text)
    assert list(info) == [
        "name", "system", "kernel", "cores", "memory", "boot_time", "version", "families",
    ]  # fmt: skip
    assert info["name"] == platform.node()
    assert info["cores"] == psutil.cpu_count()
    assert info["memory"] == psutil.virtual_memory().total
    assert datetime.fromisoformat(info["boot_time"]).timestamp() == int(psutil.boot_time())
    assert {"cpu", "network"} <= set(info["families"])
    assert "processes" not in info["families"]


async def test_the_machine_can_be_called_otherwise() -> None:
    hub = Hub(Settings(name="rack 7"), collector=FakeCollector())
    transport = httpx2.ASGITransport(create_app(hub=hub))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.get("/api/system/info")).json()["name"] == "rack 7"


async def test_what_machine_it_is_can_be_kept_private() -> None:
    hub = Hub(Settings(identity=False), collector=FakeCollector())
    transport = httpx2.ASGITransport(create_app(hub=hub))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/api/system/info")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "this hub keeps private what machine it is on (--no-identity)"
    }


# Members


async def test_members_are_chosen_by_globs(server: ServerProcess) -> None:
    chosen = await get(server, f"{PATH}?metrics=disks,network&devices=disks:/,network:lo")
    body = strict_json(chosen.text)
    assert list(body["disks"]) == ["/"]
    assert set(body["network"]["interfaces"]) <= {"lo"}
    none = await get(server, f"{PATH}?metrics=disks&devices=disks:/nowhere")
    assert strict_json(none.text)["disks"] == {}
    past = await get(server, f"{HISTORY}?seconds=2&metrics=disks&devices=disks:/nowhere")
    assert set(map(str, strict_json(past.text)["disks"])) <= {"{}", "None"}
    refused = await get(server, f"{PATH}?metrics=disks&devices=cpu:0")
    assert refused.status_code == 400
    assert strict_json(refused.text)["parameter"] == "devices"


# Formats


MEMBERS = View(("cpu", "load", "disks"))
FAMILIES = {name: Metric(name, int) for name in MEMBERS.metrics}


def some_past() -> History:
    history = History(10)
    for tick, readings in enumerate((
        {"cpu": 1.5, "load": [0.5, 1.0], "disks": {"/": 5, "/a,b": True}},
        {"cpu": Failure("gone"), "disks": {"/home": "x"}},
    )):  # fmt: skip
        history.append(Snapshot(tick, tick, float(tick), readings))  # type: ignore[arg-type]
    return history


def written(history: History, form: PastFormat) -> str:
    pieces = encode_past(history, FeedQuery(MEMBERS, 10, format=form), FAMILIES)
    return b"".join(filter(None, pieces)).decode()


def test_the_past_comes_in_rows() -> None:
    first, second = json.loads(written(some_past(), PastFormat.ROWS))
    assert first == {
        "timestamp": "1970-01-01T00:00:00.000000+00:00",
        "cpu": 1.5, "load": [0.5, 1.0], "disks": {"/": 5, "/a,b": True},
    }  # fmt: skip
    assert (second["cpu"], second["load"], second["disks"]) == (None, None, {"/home": "x"})
    assert written(History(10), PastFormat.ROWS) == "[]"


def test_the_past_comes_as_csv_with_a_column_for_each_member() -> None:
    lines = list(csv.reader(io.StringIO(written(some_past(), PastFormat.CSV))))
    assert lines == [
        ["timestamp", "cpu", "load.0", "load.1", "disks./", "disks./a,b", "disks./home"],
        ["1970-01-01T00:00:00.000000+00:00", "1.5", "0.5", "1.0", "5", "true", ""],
        ["1970-01-01T00:00:01.000000+00:00", "", "", "", "", "", "x"],
    ]
    assert written(History(10), PastFormat.CSV) == "timestamp,cpu,load,disks\r\n"


async def test_every_format_has_its_media_type(server: ServerProcess) -> None:
    for form, media_type in MEDIA_TYPES.items():
        answer = await get(server, f"{HISTORY}?seconds=2&metrics=cpu&format={form}")
        assert answer.headers["content-type"].partition(";")[0] == media_type
    refused = await get(server, f"{HISTORY}?format=xml")
    assert refused.status_code == 400
