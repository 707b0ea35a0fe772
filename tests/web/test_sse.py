"""The event stream over a server that the test plays."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.types import Message

from hub import CloseReason, Hub, Metric, Settings, create_app
from tests.support.fakes import FakeClock, FakeCollector, settle, snapshot

METRICS = (
    Metric("cpu", lambda: 1.0, always=True),
    Metric("rare", lambda: 1.0),
)


class Connection:
    """One request for the stream, whose client takes what comes until it stalls or leaves."""

    def __init__(self, hub: Hub, query: str = "") -> None:
        self.sent: list[Message] = []
        self.takes = asyncio.Event()
        self.gone = asyncio.Event()
        self.error: Exception | None = None
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/api/system/metrics/stream",
            "raw_path": b"/api/system/metrics/stream",
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost")],
            "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 2),
        }
        self.app = create_app(hub=hub)
        self.task = asyncio.ensure_future(self.app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if len(self.sent) >= 2:  # the head, and the first field
            await self.takes.wait()
            if self.error is not None:
                raise self.error
        self.sent.append(message)  # as uvicorn does, also when the client has gone


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def hub(clock: FakeClock) -> Hub:
    return Hub(Settings(history=60), metrics=METRICS, clock=clock, collector=FakeCollector())


async def test_a_client_that_leaves_during_a_replay_is_gone_for_good(
    hub: Hub, clock: FakeClock
) -> None:
    """The keepalive of the round in which it leaves once continued its replay, and joined it."""
    hub.start()
    await settle()
    for number in range(40):
        hub.publish(snapshot(number, cpu=1.0, rare=1.0))
    healthy = Connection(hub, "metrics=rare")
    healthy.takes.set()
    await clock.advance(15)
    stalled = Connection(hub, "metrics=rare&history=30")
    await clock.advance(5)  # into the next round of the keepalive
    assert hub.statistics().subscribers == 2
    stalled.gone.set()
    stalled.takes.set()
    await stalled.task
    sent = len(stalled.sent)
    await clock.advance(60)
    assert hub.statistics().subscribers == 1
    healthy.gone.set()
    await healthy.task
    found = hub.statistics()
    assert (found.subscribers, found.views, found.pending) == (0, 0, 0)
    await clock.advance(60)
    assert [metric.name for metric in hub.demand()] == ["cpu"]
    assert len(stalled.sent) == sent
    assert stalled.app.state.admission.statistics().clients["events"] == 0
    await hub.stop()


async def test_what_a_server_raises_is_logged_as_an_error_of_the_stream(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.start()
    await settle()
    hub.publish(snapshot(1, cpu=1.0, rare=1.0))
    broken = Connection(hub)
    broken.error = RuntimeError("broken")
    broken.takes.set()
    hub.publish(snapshot(2, cpu=1.0, rare=1.0))
    with caplog.at_level(logging.ERROR, logger="hub"):
        hub.publish(snapshot(3, cpu=1.0, rare=1.0))
        await broken.task
    assert caplog.messages == ["Public metrics event stream error: RuntimeError('broken')"]
    assert hub.statistics().subscribers == 0
    await hub.stop()


async def test_frames_that_were_pending_at_the_end_are_counted_and_told(
    hub: Hub, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub.start()
    await settle()
    stalled = Connection(hub)
    await settle()
    for number in range(20):
        hub.publish(snapshot(number, cpu=1.0, rare=1.0))
        await settle()
    with caplog.at_level(logging.INFO, logger="hub"):
        await clock.advance(16)
        stalled.gone.set()
        stalled.takes.set()
        await stalled.task
    found = hub.statistics()
    assert found.abandoned == 8
    assert found.offered == found.delivered + found.dropped + found.abandoned
    assert found.closed == {CloseReason.TOO_SLOW: 1}
    assert f"cut off, {found.dropped} frames lost and 8 pending" in caplog.text
    await hub.stop()
