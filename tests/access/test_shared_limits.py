"""Limits that hold for several workers: as one process alone keeps them, or close to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import AtCapacity, Hub, Metric, Settings, create_app
from hub.access.admission import Admission, Ticket, Transport
from hub.access.places import descriptor_limit
from hub.access.shared_limits import SharedLimits, WorkerLimits
from hub.errors import RefusalReason, Refused
from hub.feed.view import View
from hub.feed.view_limit import ViewLimit
from tests.support.fakes import FakeClock, FakeCollector
from tests.support.workers import Service, service

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no workers")

WORKERS: Final = 3


def admission(shared: WorkerLimits | None = None, **limits: Any) -> Admission:  # noqa: ANN401
    return Admission(clock=FakeClock(), shared=shared, **limits)


def scope(address: str) -> dict[str, Any]:
    return {"headers": [(b"authorization", b"Bearer wrong")], "client": (address, 4711)}


def outcome(act: Callable[..., object], *arguments: object) -> object:
    """Return what a client gets, or why it is refused."""
    try:
        return act(*arguments)
    except Refused as refused:
        return refused.reason


class Workers:
    """Workers that share their limits, beside one process that has the same clients alone."""

    LIMITS: Final = {"max_clients": 7, "max_clients_per_ip": 4, "max_views_per_ip": 2}

    def __init__(self, made: Service) -> None:
        self._service = made
        self._alone = admission(None, **self.LIMITS)
        self._workers = [admission(one, **self.LIMITS) for one in made.workers]
        self._tickets: list[list[tuple[Ticket, Ticket]]] = [[] for _ in self._workers]

    def enter(self, worker: int, address: str, view: str | None) -> None:
        caller = (scope(address), Transport.EVENTS, view)
        found = outcome(self._workers[worker].acquire, *caller)
        expected = outcome(self._alone.acquire, *caller)
        if isinstance(found, Ticket) and isinstance(expected, Ticket):
            self._tickets[worker].append((found, expected))
        else:
            assert found is expected

    def leave(self, worker: int, which: int) -> None:
        tickets = self._tickets[worker]
        if tickets:
            for ticket in tickets.pop(which % len(tickets)):
                ticket.release()

    def end(self, worker: int) -> None:
        """Have a worker be killed, with all its clients."""
        self._service.end(worker)
        for _, ticket in self._tickets[worker]:
            ticket.release()
        self._tickets[worker].clear()
        self._workers[worker] = admission(self._service.workers[worker], **self.LIMITS)


STEP = st.one_of(
    st.tuples(
        st.just("enter"),
        st.integers(0, WORKERS - 1),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", ""]),
        st.sampled_from([None, "a", "b", "c"]),
    ),
    st.tuples(st.just("leave"), st.integers(0, WORKERS - 1), st.integers(0, 9)),
    st.tuples(st.just("end"), st.integers(0, WORKERS - 1)),
)


@given(st.lists(STEP, max_size=60))
def test_whichever_clients_come_or_go_all_workers_decide_as_one_process_alone(
    steps: list[tuple[Any, ...]],
) -> None:
    with service(WORKERS, max_clients=7) as made:
        workers = Workers(made)
        for name, *arguments in steps:
            getattr(workers, name)(*arguments)


def test_clients_of_all_workers_count_and_the_limit_is_that_of_all() -> None:
    with service(2) as made:
        one, two = (admission(shared, max_clients=2) for shared in made.workers)
        ticket = one.acquire(scope("192.0.2.1"), Transport.EVENTS)
        two.acquire(scope("192.0.2.2"), Transport.EVENTS)
        for place in (one, two):
            with pytest.raises(Refused, match=r"^2 clients are connected, which is the limit"):
                place.acquire(scope("192.0.2.3"), Transport.WEBSOCKET)
            assert place.statistics().limit == 2
            assert sum(place.statistics().clients.values()) == 1
        ticket.release()
        two.acquire(scope("192.0.2.3"), Transport.WEBSOCKET)


def test_without_a_limit_each_worker_has_what_its_descriptors_allow() -> None:
    own = descriptor_limit(256)
    if own is None:
        pytest.skip("descriptors have no limit here")
    with service(2) as made:
        one = admission(made.workers[0])
        assert one.statistics().limit == own
        two = admission(made.workers[1])
        assert one.statistics().limit == two.statistics().limit == 2 * own
        made.workers[1].places.write(own)  # it is full, and this one is not
        one.acquire(scope("192.0.2.1"), Transport.EVENTS)
        made.end(1)
        assert one.statistics().limit == own


def test_attempts_and_wrong_tokens_count_at_whichever_worker_and_outlive_it() -> None:
    with service(2) as made:
        one, two = (admission(shared, connect_rate="2/minute") for shared in made.workers)
        for place in (one, two):
            place.admit_attempt(scope("192.0.2.1"))
        for number in range(10):
            authenticate = (one, two)[number % 2].authenticate
            assert outcome(authenticate, scope("192.0.2.1")) is RefusalReason.TOKEN
        made.end(0)
        one = admission(made.workers[0], connect_rate="2/minute")
        for place in (one, two):
            for act in (place.admit_attempt, place.authenticate):
                assert outcome(act, scope("192.0.2.1")) is RefusalReason.RATE
            place.admit_attempt(scope("192.0.2.2"))


def test_an_application_keeps_the_limits_of_all_workers() -> None:
    with service(2) as made:
        settings = Settings(max_clients=1)
        one, two = (create_app(settings, shared=shared) for shared in made.workers)
        one.state.admission.acquire(scope("192.0.2.1"), Transport.EVENTS)
        with pytest.raises(Refused, match=r"^1 clients are connected"):
            two.state.admission.acquire(scope("192.0.2.2"), Transport.EVENTS)


# Views


def hub(shared: WorkerLimits, views: int) -> Hub:
    settings = Settings(views=views)
    metrics = [Metric(name, lambda: 1.0) for name in ("cpu", "memory")]
    return Hub(
        settings,
        metrics=metrics,
        clock=FakeClock(),
        collector=FakeCollector(),
        view_limit=ViewLimit(views, shared.views),
    )


async def test_a_view_that_is_live_at_another_worker_does_not_count_twice() -> None:
    with service(2, views=1) as made:
        one, two = (hub(shared, 1) for shared in made.workers)
        async with one.subscribe(["cpu"]):
            async with two.subscribe(["cpu"]), one.subscribe(["cpu"]):
                pass
            for other in (one, two):
                with pytest.raises(AtCapacity, match=r"^1 different views are live"):
                    other.check_view_capacity(View(("memory",)))
            two.view_limit.reserved.add(View(("memory",)))
            async with two.subscribe(["memory"]):
                assert two.statistics().views == 1
                one.check_view_capacity(View(("cpu",)))
        one.check_view_capacity(View(("memory",)))
        for each in (one, two):
            await each.stop()


async def test_a_hub_that_starts_anew_has_no_live_views() -> None:
    with service(2, views=1) as made:
        one, two = (hub(shared, 1) for shared in made.workers)
        async with one.subscribe(["cpu"]):
            await one.stop()
            one.start()
            two.check_view_capacity(View(("memory",)))
            await one.stop()


# What the parent makes


@pytest.mark.parametrize("max_clients", [None, 1, 100_000])
def test_the_memory_is_bounded_and_what_is_not_used_takes_none(max_clients: int | None) -> None:
    with service(4, max_clients=max_clients) as made:
        found = os.fstat(made.shared.fd)
        assert found.st_size <= 4 * 12 * 1024 * 1024
        if hasattr(os, "memfd_create"):
            assert found.st_blocks * 512 <= 4 * 64 * 1024


def test_a_part_is_taken_over_clean_and_there_are_no_more_parts_than_were_made() -> None:
    with service(2) as made:
        first = admission(made.workers[0], max_clients=1)
        first.acquire(scope("192.0.2.1"), Transport.EVENTS)
        made.workers[0].close()
        made.workers[0] = WorkerLimits.attach(made.shared.fd, 0)
        admission(made.workers[1], max_clients=1).acquire(scope("192.0.2.1"), Transport.EVENTS)
        with pytest.raises(IndexError):
            WorkerLimits.attach(made.shared.fd, 2)


def test_closing_again_is_harmless() -> None:
    shared = SharedLimits.create(1, views=1)
    worker = WorkerLimits.attach(shared.fd, 0)
    for _ in range(2):
        worker.close()
        shared.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(shared.fd)


def test_a_single_process_does_without_all_of_it() -> None:
    script = """
import sys, hub, hub.__main__, hub.server
hub.create_app(hub.Settings(max_clients=1, max_clients_per_ip=1, connect_rate="1/second"))
print([name for name in sys.modules if "shared" in name or "segment" in name])
"""
    told = subprocess.run(  # noqa: S603 # our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"
