from __future__ import annotations

from collections import Counter

from hub.feed.liveness import Keepalive
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.view import View
from tests.support.fakes import FakeClock, RecordingObserver


class Probed(QueuedSubscriber):
    """Writes down when it is probed."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(View(("cpu",)), 1, RecordingObserver(), ticket=HostTicket("probed"))
        self.clock = clock
        self.times: list[float] = []

    def _send_probe(self) -> None:
        self.times.append(self.clock.monotonic() - 1000)


async def test_everybody_is_probed_once_a_round_and_few_at_a_time() -> None:
    clock = FakeClock()
    crowd = [Probed(clock) for _ in range(1000)]
    keepalive = Keepalive(lambda: crowd, clock)
    keepalive.start()
    await clock.advance(Keepalive.ROUND_SECONDS)
    assert all(len(one.times) == 1 for one in crowd)
    at_once = Counter(time for one in crowd for time in one.times)
    assert max(at_once.values()) <= 1 + len(crowd) / Keepalive.STEPS
    await clock.advance(Keepalive.ROUND_SECONDS)
    gaps = {round(second - first, 6) for first, second in (one.times for one in crowd)}
    assert gaps == {Keepalive.ROUND_SECONDS}


async def test_a_newcomer_is_probed_in_the_next_round() -> None:
    clock = FakeClock()
    crowd: list[Probed] = []
    keepalive = Keepalive(lambda: list(crowd), clock)
    keepalive.start()
    await clock.advance(1)
    crowd.append(Probed(clock))
    await clock.advance(Keepalive.ROUND_SECONDS - 1)
    assert crowd[0].times == []
    await clock.advance(Keepalive.ROUND_SECONDS)
    assert len(crowd[0].times) == 1


async def test_one_timer_serves_all_and_is_gone_once_stopped() -> None:
    clock = FakeClock()
    crowd = [Probed(clock) for _ in range(100)]
    keepalive = Keepalive(lambda: crowd, clock)
    keepalive.start()
    await clock.advance(1)
    assert clock.pending == 1
    keepalive.stop()
    seen = [len(one.times) for one in crowd]
    await clock.advance(100)
    assert clock.pending == 0
    assert [len(one.times) for one in crowd] == seen
