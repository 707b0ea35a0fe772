from __future__ import annotations

from hub.feed.demand import Demand
from tests.support.fakes import FakeClock


async def test_what_was_asked_for_is_wanted_for_a_minute_after_it_was_asked_for_last() -> None:
    clock = FakeClock()
    demand = Demand(clock)
    assert demand.names == set()
    demand.want(("network", "load"))
    await clock.advance(59)
    demand.want(("load",))
    assert demand.names == {"network", "load"}
    await clock.advance(1)
    assert demand.names == {"load"}
    await clock.advance(59)
    assert demand.names == set()
