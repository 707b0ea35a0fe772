from __future__ import annotations

import logging

import pytest

from hub.sampling.metric import Metric
from hub.sampling.own_readings import OwnReadings
from tests.support.fakes import FakeCollector, snapshot


async def test_what_is_read_here_is_added_and_nothing_else_is_changed() -> None:
    collector = FakeCollector()
    own = OwnReadings(collector)
    sent = snapshot(3, cpu=1.0)
    found = await own.add_to(sent, [Metric("queue", lambda: 7)])
    assert found.readings == {"cpu": 1.0, "queue": 7}
    assert (found.number, found.tick, found.time) == (sent.number, sent.tick, sent.time)


async def test_without_own_metrics_a_snapshot_stays_as_it_is_and_nothing_is_collected() -> None:
    collector = FakeCollector()
    own = OwnReadings(collector)
    sent = snapshot(1)
    assert await own.add_to(sent, []) is sent
    assert not collector.collections


async def test_the_collector_learns_of_a_pause_so_that_it_primes_again() -> None:
    collector = FakeCollector()
    own = OwnReadings(collector)
    metric = Metric("queue", lambda: 7)
    for wanted in ([metric], [], [], [metric]):
        await own.add_to(snapshot(1), wanted)
    assert collector.collections == [("queue",), (), ("queue",)]


async def test_a_family_of_which_only_a_part_is_read_is_noted() -> None:
    own = OwnReadings(FakeCollector())
    resting = Metric("queue", lambda: [1, 2], always=True, unasked=lambda: [1]).resting
    assert resting is not None
    found = await own.add_to(snapshot(1, cpu=1.0), [resting])
    assert found.resting == {"queue"}
    assert found.readings["queue"] == [1]


async def test_a_failure_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    own = OwnReadings(FakeCollector())

    def fail() -> object:
        raise OSError("no queue")

    with caplog.at_level(logging.ERROR):
        for number in (1, 2):
            await own.add_to(snapshot(number), [Metric("queue", fail)])
    assert caplog.messages == ["Error collecting metrics: queue: no queue"]
    assert own.failures == {"queue": 2}
