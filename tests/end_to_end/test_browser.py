"""What a real browser makes of the feed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import httpx2
import pytest
from playwright.async_api import Page

from hub import Hub, Settings
from hub.feed.query import FEED_PATH
from tests.support.browser import LOST, needs_chromium, open_page
from tests.support.past import kept_snapshots
from tests.support.servers import DEADLINE, start_hub, surviving

pytestmark = [pytest.mark.long, needs_chromium, pytest.mark.usefixtures("browser")]

EXPECTED: Final = rf"{LOST}|404 \(Not Found\)"  # there is no icon beside a JSON document

LISTEN = """(path) => {
    window.seen = [];
    window.opened = 0;
    window.feed = new EventSource(path);
    feed.onopen = () => { opened += 1; };
    feed.onmessage = (event) => { seen.push(JSON.parse(event.data).timestamp); };
}"""


async def listen(page: Page, path: str) -> None:
    await page.evaluate(LISTEN, path)
    await seen(page, 3)


async def seen(page: Page, count: int, opened: int = 1) -> list[str]:
    """Wait for so many messages over so many connections; return the timestamps so far."""
    condition = f"seen.length >= {count} && opened >= {opened}"
    await page.wait_for_function(condition, timeout=2000 * DEADLINE)
    timestamps: list[str] = await page.evaluate("seen")
    assert timestamps == sorted(set(timestamps)), "strictly increasing"
    return timestamps


async def test_an_event_source_gets_what_it_missed_from_the_buffer_that_survived() -> None:
    hub = Hub(Settings(interval=0.1))
    async with hub.lifespan(), AsyncExitStack() as first:
        port = await first.enter_async_context(surviving(hub))
        origin = f"http://127.0.0.1:{port}"
        async with open_page(f"{origin}/openapi.json", expected=EXPECTED) as page:
            await listen(page, f"{FEED_PATH}/stream?history=60")
            await first.aclose()
            async with surviving(hub, port):
                received = await seen(page, 20, opened=2)
                kept = [snapshot.timestamp for snapshot in kept_snapshots(hub, 60)]
    assert received == kept[kept.index(received[0]) :][: len(received)]


async def test_an_event_source_starts_cleanly_where_no_buffer_survived() -> None:
    with start_hub() as first:
        port = str(first.port)
        async with open_page(f"http://127.0.0.1:{port}/openapi.json", expected=EXPECTED) as page:
            await listen(page, f"{FEED_PATH}/stream?history=60")
            assert await first.stopped() == 0
            before = len(await seen(page, 3))
            with start_hub("--port", port) as second:
                received = await seen(page, before + 5, opened=2)
                url = f"http://127.0.0.1:{second.port}{FEED_PATH}/history?seconds=60"
                kept = httpx2.get(url, trust_env=False).json()["timestamp"]
    assert received[before:] == kept[: len(received) - before]
