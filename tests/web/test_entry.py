"""The one way in: the same order of checks on every way, and one ticket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub import AtCapacity, Hub, InvalidValue, Metric, Settings
from hub.access.admission import Admission, Transport
from hub.errors import RefusalReason, Refused
from hub.feed.query import COLUMNS, FEED
from hub.feed.view import View
from hub.web.entry import Entry, Way
from tests.support.fakes import FakeClock, FakeCollector, Listener

METRICS = (Metric("cpu", lambda: 1.0, always=True), Metric("secret", lambda: 1, restricted=True))
TOKEN = b"Bearer right"

WAYS = {
    "websocket": Way.to_follow(Transport.WEBSOCKET),
    "authenticated websocket": Way.to_follow(Transport.WEBSOCKET, restricted=True),
    "events": Way.to_follow(Transport.EVENTS, resumes=True),
    "latest": Way(),
    "history": Way(COLUMNS),
    "explanation": Way(FEED, restricted=True, follows=True),
}


class Place:
    """An entry that has room for one client and one view, and lets an address come once."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.hub = Hub(Settings(views=1), metrics=METRICS, clock=clock, collector=FakeCollector())
        self.admission = Admission(
            clock=clock, tokens=("right",), max_clients=1, connect_rate="1/hour"
        )
        self.entry = Entry(self.hub, self.admission)
        self._callers = 0  # each of whom has an address of its own

    @property
    def clients(self) -> int:
        return sum(self.admission.statistics().clients.values())

    def refusal(self, way: Way, wrongs: set[RefusalReason]) -> RefusalReason | None:
        """Return why a request is refused that is wrong in all of these ways."""
        self._callers += 1
        address = "192.0.2.1" if RefusalReason.RATE in wrongs else f"198.51.100.{self._callers}"
        try:
            self.entry.enter(request(wrongs, address), way)
        except InvalidValue:
            return RefusalReason.PARAMETER
        except Refused as refused:
            return refused.reason
        return None


def request(wrongs: set[RefusalReason], address: str) -> dict[str, Any]:
    host = b"evil.example" if RefusalReason.HOST in wrongs else b"localhost"
    headers = [(b"host", host)]
    if RefusalReason.ORIGIN in wrongs:
        headers.append((b"origin", b"https://evil.example"))
    if RefusalReason.TOKEN not in wrongs:
        headers.append((b"authorization", TOKEN))
    query = b"interval=3" if RefusalReason.VIEWS in wrongs else b""
    if RefusalReason.PARAMETER in wrongs:
        query = b"metrics=gpu"
    return {
        "headers": headers,
        "query_string": query,
        "server": ("127.0.0.1", 54112),
        "client": (address, 4711),
    }


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Make an entry where everything that can be used up is."""
    place = Place()
    place.hub.start()
    place.hub.add(Listener(View(("cpu",), ticks=2)))
    place.admission.admit_attempt(request(set(), "192.0.2.1"))
    place.admission.acquire(request(set(), "192.0.2.1"), Transport.WEBSOCKET)
    yield place
    await place.hub.stop()


@pytest.mark.parametrize("name", WAYS)
async def test_the_order_of_the_checks_is_the_same_on_every_way(place: Place, name: str) -> None:
    way = WAYS[name]
    order = [
        RefusalReason.HOST,
        RefusalReason.ORIGIN,
        *([RefusalReason.RATE] if way.follows else []),
        *([RefusalReason.TOKEN] if way.restricted else []),
        RefusalReason.PARAMETER,
        *([RefusalReason.VIEWS] if way.follows else []),
    ]
    for first, reason in enumerate(order):
        assert place.refusal(way, set(order[first:])) is reason


@pytest.mark.parametrize("name", WAYS)
async def test_where_all_else_is_right_there_has_to_be_a_place_for_a_client(name: str) -> None:
    place, way = Place(), WAYS[name]
    place.admission.acquire(request(set(), "192.0.2.1"), Transport.EVENTS)
    full = RefusalReason.CAPACITY if way.transport else None
    assert place.refusal(way, set()) is full
    await place.hub.stop()


async def test_a_ticket_is_a_place_until_it_is_released_once() -> None:
    place = Place()
    query, ticket = place.entry.enter(request(set(), "192.0.2.3"), WAYS["events"])
    assert query.view.metrics == ("cpu",)
    assert str(ticket) == "192.0.2.3:4711"
    assert place.clients == 1
    ticket.release()
    assert place.clients == 0
    ticket.release()
    assert place.clients == 0
    await place.hub.stop()


async def test_what_is_refused_takes_no_place_and_starts_no_hub() -> None:
    place = Place()
    for reason in (RefusalReason.HOST, RefusalReason.PARAMETER):
        assert place.refusal(WAYS["websocket"], {reason}) is reason
    assert place.clients == 0
    assert place.hub.unready() == "starting"
    assert place.hub.statistics().sampler is None


async def test_the_default_of_the_authenticated_feed_is_its_own() -> None:
    place = Place()
    query, ticket = place.entry.enter(request(set(), "192.0.2.4"), WAYS["authenticated websocket"])
    ticket.release()
    assert query.view.metrics == ("cpu",)
    only_secret = Hub(metrics=METRICS[1:], clock=FakeClock(), collector=FakeCollector())
    entry = Entry(only_secret, Admission(clock=FakeClock(), tokens=("right",)))
    scope = request(set(), "192.0.2.4")
    query, ticket = entry.enter(scope, WAYS["authenticated websocket"])
    ticket.release()
    assert query.view.metrics == ("secret",)
    with pytest.raises(Refused, match="all families are restricted") as refused:
        entry.enter(scope, WAYS["websocket"])
    assert refused.value.reason is RefusalReason.TOKEN
    only_secret.register(Metric("load", lambda: 1.0))
    query, ticket = entry.enter(scope, WAYS["websocket"])
    ticket.release()
    assert query.view.metrics == ("load",)
    await place.hub.stop()
    await only_secret.stop()


async def test_there_is_a_word_for_a_hub_without_families() -> None:
    empty = Hub(metrics=(), clock=FakeClock(), collector=FakeCollector())
    entry = Entry(empty, Admission(clock=FakeClock()))
    with pytest.raises(InvalidValue, match="of which this hub has none"):
        entry.enter(request(set(), "192.0.2.4"), WAYS["websocket"])
    with pytest.raises(InvalidValue):
        async with empty.subscribe(("cpu",)):
            pass


async def test_a_closed_subscriber_counts_although_it_found_no_room() -> None:
    place = Place()
    place.hub.add(Listener(View(("cpu",))))
    late = Listener(View(("secret",)))
    with pytest.raises(AtCapacity):
        place.hub.check_view_capacity(late.view)
    place.hub.add(late)
    place.hub.remove(late)
    assert {reason.value: n for reason, n in place.hub.statistics().closed.items()} == {
        "at_capacity": 1
    }
