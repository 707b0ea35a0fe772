from __future__ import annotations

from dataclasses import replace

import pytest

from hub.access.admission import Admission, Transport
from hub.errors import CloseReason
from hub.feed.hub import Hub
from hub.feed.view import View
from hub.histogram import Histogram
from hub.sampling.sampler import SamplerStatistics
from hub.web.figures import Figures
from hub.workers.letters import Report, Service, Setup, pack, unpack
from hub.workers.reports import Reports

NONE = Histogram((1.0,)).distribution()
SAMPLER = SamplerStatistics(5, 1, NONE, NONE, {"disk": 2})


def report(clients: int, delivered: int, pending: int = 0, *views: str) -> Report:
    hub = replace(
        Hub().statistics(),
        subscribers=clients, views=len(views), delivered=delivered, pending=pending,
        offered=delivered + pending, recent_lag=delivered / 1000,
        closed={CloseReason.TOO_SLOW: clients},
    )  # fmt: skip
    admission = replace(
        Admission(clock=Hub().clock, max_clients=100).statistics(),
        clients={Transport.WEBSOCKET: clients, Transport.EVENTS: 0},
    )
    return Report(hub, admission, frozenset(View((name,)) for name in views))


def total(reports: Reports, *several: Report) -> Figures:
    found = reports.figures(several, SAMPLER, None, {}, {})
    assert found is not None
    return found


def test_what_workers_report_is_added_up() -> None:
    found = total(Reports(), report(2, 10, 0, "cpu", "load"), report(3, 20, 1, "cpu"))
    assert (found.hub.subscribers, found.hub.delivered, found.hub.pending) == (5, 30, 1)
    assert found.hub.views == 2, "a view that both have is one"
    assert found.hub.closed == {CloseReason.TOO_SLOW: 5}
    assert found.hub.recent_lag == 0.02
    assert found.hub.ticks == 5
    assert found.admission.clients[Transport.WEBSOCKET] == 5
    assert found.admission.limit == 100, "each knows that of all"


def test_no_total_goes_back_when_a_worker_ends() -> None:
    reports = Reports()
    first, second = report(2, 10, 3, "cpu"), report(3, 20, 0, "load")
    before = total(reports, first, second)
    reports.end(first)
    reports.end(None)  # one that has ended before it served
    after = total(reports, second)
    assert after.hub.delivered == before.hub.delivered
    assert after.hub.closed == before.hub.closed
    assert (after.hub.subscribers, after.hub.views, after.hub.pending) == (3, 1, 0)
    assert after.hub.abandoned == 3
    assert after.hub.offered == after.hub.delivered + after.hub.dropped + after.hub.abandoned
    assert after.admission.clients[Transport.WEBSOCKET] == 3
    assert after.admission.limit == 100
    reports.end(second)
    assert total(reports, report(0, 0)).hub.delivered == 30


def test_before_any_worker_has_reported_there_is_nothing_to_tell() -> None:
    assert Reports().figures([], SAMPLER, None, {}, {}) is None


def test_letters_say_what_they_were_given() -> None:
    figures = total(Reports(), report(2, 10, 3, "cpu"))
    for letter in (
        report(1, 2, 3, "cpu"),
        Service(figures, SAMPLER, "why"),
        Service(None, None, ""),
    ):
        assert unpack(pack(letter), type(letter)) == letter
    with pytest.raises(TypeError, match="a letter that is a Service"):
        unpack(pack(Service(None, None, "")), Setup)
