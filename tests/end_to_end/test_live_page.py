"""The live page in a real browser."""

from __future__ import annotations

import itertools
import math
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from playwright.async_api import Locator, Page, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from hub import CloseReason, Hub, Metric, Settings, create_app
from tests.support.browser import LOST, eventually, needs_chromium, open_page, open_tabs
from tests.support.clients import client
from tests.support.past import kept_snapshots
from tests.support.servers import DEADLINE, ServerProcess, serve_here, start_hub, surviving

pytestmark = [pytest.mark.long, needs_chromium, pytest.mark.usefixtures("browser")]

TOKEN: Final = "canary-page-5d1e"  # noqa: S105 # of a hub that ends with its test
PROCESSES_ARE_LIVE: Final = """() => {
    const full = document.querySelectorAll("#processes tr").length === 10;
    window.full = full ? (window.full ?? 0) + 1 : 0;
    return window.full > 10;
}"""
"""Whether ten looks in a row have found all rows: a message of the past may have them, and those
after it not, where another page was shown them before."""

EXAMPLE: Final = Path("README.md").read_text(encoding="utf-8").split("```html\n")[1].split("```")[0]
AXE: Final = Path(".venv/npm/node_modules/axe-core/axe.min.js")
SCREENSHOTS: Final = Path("build/screenshots")
CLIENTS: Final = 'hub_clients{transport="websocket"}'
MARGINS: Final = (60, 6)
"""Pixels to the left and right of what a chart plots."""

expect.set_options(timeout=3000 * DEADLINE)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub(environ={"HUB_TOKENS": TOKEN}) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}/"


def state(page: Page, name: str) -> Locator:
    return page.locator(f"#state[data-state={name}]")


async def live(page: Page) -> None:
    await expect(state(page, "live")).to_be_visible()
    await expect(page.locator("#panels")).to_be_visible()


async def line(page: Page, chart: str = "cpu") -> str:
    """Return the path that a chart's first line is drawn with."""
    return await page.locator(f"#{chart} .line-1").get_attribute("d") or ""


async def figures(server: ServerProcess) -> dict[str, float]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{server.port}/metrics")).text
    lines = [row.rsplit(" ", 1) for row in text.splitlines() if not row.startswith("#")]
    return {name: float(value) for name, value in lines}


# What the page shows


async def test_it_shows_the_machine_live(url: str) -> None:
    async with open_page(url) as page:
        await live(page)
        before = await line(page)
        await eventually(lambda: line(page), lambda path: path != before)
        for chart in ("cpu", "memory", "disk"):
            value = page.locator(f"#{chart} dd").first
            assert re.fullmatch(r"\d+(\.\d)? %", await value.inner_text())
        bars = page.get_by_role("meter")
        await eventually(bars.count, lambda count: count > 1)  # processors need a tick more
        shares = [int(str(await bar.get_attribute("aria-valuenow"))) for bar in await bars.all()]
        assert all(0 <= share <= 100 for share in shares)
        assert not await page.locator(".note:visible").all()


async def test_the_range_is_kept_in_the_address(url: str) -> None:
    async with open_page(f"{url}?range=1h") as page:
        await live(page)
        assert await page.get_by_role("radio", name="1 h").is_checked()
        await page.get_by_text("10 min").click()
        assert page.url == f"{url}?range=10m"
        await expect(page.locator("#cpu .scale")).to_contain_text("10 min")
        await page.reload()
        await live(page)
        assert await page.get_by_role("radio", name="10 min").is_checked()
        await expect(page.locator("#cpu .scale")).to_contain_text("10 min")


async def test_an_unknown_range_is_the_shortest(url: str) -> None:
    async with open_page(f"{url}?range=__proto__") as page:
        await live(page)
        assert await page.get_by_role("radio", name="1 min").is_checked()


async def test_processes_are_shown_to_a_user_with_a_token(url: str) -> None:
    async with open_page(url, expected=LOST + "|401") as page:
        await live(page)
        rows = page.locator("#processes tr")
        field = page.get_by_label("Token")
        await field.fill("wrong")
        await field.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("The hub does not know this token.")
        await live(page)
        await field.fill(TOKEN)
        await field.press("Enter")
        await expect(rows).to_have_count(10)
        assert not await page.get_by_role("alert").inner_text()
        await page.reload()
        await expect(rows).to_have_count(10)
        assert TOKEN not in page.url
        await page.get_by_role("button", name="Forget the token").click()
        await expect(field).to_be_visible()
        await live(page)


async def test_what_no_browser_can_send_as_a_token_is_refused_as_any_other(url: str) -> None:
    async with open_page(url) as page:
        await live(page)
        await page.get_by_label("Token").fill("with a blank")
        await page.get_by_role("button", name="Show").click()
        await expect(state(page, "refused")).to_contain_text("cannot send this token")


async def test_what_cannot_be_measured_says_so_in_its_chart() -> None:
    with start_hub("--disk-path", "/nowhere") as server:
        async with open_page(f"http://127.0.0.1:{server.port}/") as page:
            await live(page)
            await expect(page.locator("#disk .note")).to_have_text("No such file or directory")
            await expect(page.locator("#cpu .note")).to_be_hidden()


async def test_an_application_s_own_numbers_have_charts_under_any_prefix() -> None:
    hub = Hub(Settings(interval=0.1))
    hub.register(Metric("queue_depth", lambda: 7))
    host = FastAPI()
    host.mount("/deep/below", create_app(hub=hub))
    async with serve_here(host) as server, hub.lifespan():
        async with open_page(f"http://127.0.0.1:{server.port}/deep/below") as page:
            await live(page)
            own = page.locator("figure", has_text="queue_depth")
            await expect(own.locator("dd")).to_have_text("7")
        hub.close_all(CloseReason.RESTART)


# How it behaves as a client


def points(path: str) -> list[float]:
    """Return the places of the values in a chart's path, in pixels from the left."""
    return [int(x) / 10 for x in re.findall(r"[ML](\d+),", path)]


def places(times: Sequence[int], width: float) -> list[float]:
    """Return the places that values of these times must have in a chart of the last minute.

    Of those that fall into one column of pixels, only the first has a point of its own.
    """
    left, right = MARGINS
    start, scale = times[-1] - 60_000, (width - left - right) / 60_000
    found = [left + (time - start) * scale for time in times if time >= start]
    return [next(column) for _, column in itertools.groupby(found, math.floor)]


async def kept(hub: Hub) -> list[int]:
    """Return the times of all that the hub has kept, in milliseconds as browsers have them."""
    return [math.floor(Fraction(str(one.time)) * 1000) for one in kept_snapshots(hub, 60)]


async def assert_all_is_shown(page: Page, hub: Hub) -> None:
    """Stop the hub; then the chart must show its whole history, in order, without further gaps."""
    await hub.stop()
    box = await page.locator("#cpu svg").bounding_box()
    assert box is not None
    times = await kept(hub)
    wanted = places(times, box["width"])
    shown = await eventually(lambda: line(page), lambda path: len(points(path)) >= len(wanted))
    assert points(shown) == pytest.approx(wanted, abs=0.2)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert shown.count("M") == 1 + sum(gap > 500 for gap in gaps), "a gap"


SPARSE: Final = Settings(interval=0.2)
NARROW: Final = {"width": 700, "height": 900}  # so that charts are wide: two pixels for each value


async def test_the_chart_begins_with_the_hub_s_history() -> None:
    hub = Hub(SPARSE)
    async with hub.lifespan(), surviving(hub) as port:
        await eventually(lambda: kept(hub), lambda times: len(times) > 10)
        async with open_page(f"http://127.0.0.1:{port}/", expected=LOST, viewport=NARROW) as page:
            await live(page)
            await assert_all_is_shown(page, hub)


async def test_after_an_outage_the_chart_has_all_that_the_hub_has_kept() -> None:
    hub = Hub(SPARSE)
    async with hub.lifespan(), AsyncExitStack() as first:
        port = await first.enter_async_context(surviving(hub))
        async with open_page(f"http://127.0.0.1:{port}/", expected=LOST, viewport=NARROW) as page:
            await live(page)
            await eventually(lambda: line(page), lambda path: len(points(path)) > 5)
            await first.aclose()
            await expect(state(page, "reconnecting")).to_contain_text("next try in")
            outage = len(await kept(hub))
            await eventually(lambda: kept(hub), lambda times: len(times) > outage + 10)
            async with surviving(hub, port):
                await live(page)
                await assert_all_is_shown(page, hub)


async def test_a_hub_that_starts_anew_is_found_again() -> None:
    with start_hub() as first:
        port = str(first.port)
        async with open_page(f"http://127.0.0.1:{port}/", expected=LOST) as page:
            await live(page)
            assert await first.stopped() == 0
            await expect(state(page, "reconnecting")).to_be_visible()
            with start_hub("--port", port):
                await live(page)
                before = await line(page)
                await eventually(lambda: line(page), lambda path: path != before)


async def test_a_hub_that_stands_still_is_stale() -> None:
    with start_hub() as server:
        async with open_page(f"http://127.0.0.1:{server.port}/", expected=LOST) as page:
            await live(page)
            server.process.send_signal(signal.SIGSTOP)
            try:
                await expect(state(page, "stale")).to_be_visible()
            finally:
                server.process.send_signal(signal.SIGCONT)
            await live(page)


async def test_when_the_hub_is_full_the_page_says_so_and_waits() -> None:
    with start_hub("--max-clients", "1") as server:
        address = f"http://127.0.0.1:{server.port}/"
        async with open_page(address) as first:
            await live(first)
            async with open_page(address, expected=LOST + "|503") as second:
                await expect(state(second, "reconnecting")).to_contain_text(
                    "1 clients are connected, which is the limit, next try in"
                )
                await first.close()
                await live(second)


async def test_without_websockets_it_takes_events() -> None:
    hub = Hub(Settings(interval=0.1))
    async with serve_here(create_app(hub=hub), ws="none") as server, hub.lifespan():
        async with open_page(f"http://127.0.0.1:{server.port}/", expected=LOST) as page:
            await live(page)
            before = await line(page)
            await eventually(lambda: line(page), lambda path: path != before)
        hub.close_all(CloseReason.RESTART)


async def test_a_hidden_tab_has_no_connection_and_no_gap_when_it_is_shown_again() -> None:
    hub = Hub(SPARSE)

    async def clients() -> int:
        return hub.statistics().subscribers

    async with hub.lifespan(), surviving(hub) as port, open_tabs(NARROW["width"]) as window:
        page = window.pages[0]
        await page.goto(f"http://127.0.0.1:{port}/")
        await live(page)
        assert await clients() == 1
        other = await window.new_page()
        await other.bring_to_front()
        await eventually(clients, lambda count: count == 0)
        assert await page.locator("#state").get_attribute("data-state") == "paused"
        hidden = len(await kept(hub))
        await eventually(lambda: kept(hub), lambda times: len(times) > hidden + 10)
        await page.bring_to_front()
        await live(page)
        await assert_all_is_shown(page, hub)


async def test_twenty_tabs_are_twenty_subscribers_of_one_view(
    server: ServerProcess, url: str
) -> None:
    async with open_page(url) as page:
        pages = [page, *[await page.context.new_page() for _ in range(19)]]
        for one in pages[1:]:
            await one.goto(url)
        for one in pages:
            await live(one)
        found = await eventually(lambda: figures(server), lambda one: one[CLIENTS] <= 20)
    assert (found[CLIENTS], found["hub_views"]) == (20, 1)


async def test_there_is_always_room_for_the_page_s_views() -> None:
    with start_hub("--views", "1", environ={"HUB_TOKENS": TOKEN}) as server:
        async with client(server.url("?interval=7"), "127.0.0.2"):
            for name in ("1m", "10m", "1h"):
                async with open_page(f"http://127.0.0.1:{server.port}/?range={name}") as page:
                    await live(page)
                    await page.get_by_label("Token").fill(TOKEN)
                    await page.get_by_label("Token").press("Enter")
                    await expect(page.locator("#processes tr").first).to_be_visible()


async def test_the_module_serves_other_pages_too(url: str) -> None:
    """It has the names and events of its documentation."""
    async with open_page(url) as page:
        await live(page)
        found: dict[str, Any] = await page.evaluate(
            """async () => {
                const { MetricsFeed } = await import("./static/metrics-feed.js");
                const feed = new MetricsFeed({ metrics: ["memory"], history: 60, seq: true });
                const [messages, states] = [[], []];
                feed.addEventListener("state", ({ detail }) => states.push(detail.name));
                await new Promise((resolve) => {
                    feed.addEventListener("message", ({ detail }) => {
                        messages.push(detail);
                        if (messages.length === 5) resolve();
                    });
                    feed.open();
                });
                feed.close();
                return { messages, states };
            }"""
        )
    assert found["states"] == ["connecting", "live", "closed"]
    assert [sorted(one) for one in found["messages"]] == [["memory", "seq", "timestamp"]] * 5
    stamps = [one["timestamp"] for one in found["messages"]]
    assert stamps == sorted(set(stamps))


async def test_a_page_of_another_origin_follows_the_feed_as_the_readme_says(
    server: ServerProcess,
) -> None:
    page = EXAMPLE.replace(":54112", f":{server.port}").replace("console.log(", "window.seen = (")
    other = Starlette(routes=[Route("/", lambda _: HTMLResponse(page))])
    away = re.escape(f"127.0.0.1:{server.port}/static/metrics-feed.js")
    async with serve_here(other) as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.port}/"
        async with open_page(url, expected=f"{away}|404") as shown:
            stamp = await eventually(lambda: shown.evaluate("window.seen"), bool)
            await eventually(lambda: shown.evaluate("window.seen"), lambda seen: seen > stamp)


async def test_where_the_hub_s_clock_is_set_back_the_chart_follows(url: str) -> None:
    script = """async (stamps) => {
        const { Series } = await import("./static/series.js");
        const series = new Series([(message) => message.value], 60);
        stamps.forEach((timestamp, value) => series.add({ timestamp, value }));
        return { times: series.times, values: series.columns[0] };
    }"""
    stamps = [f"2025-11-10T12:30:{second:02}.000000+00:00" for second in (1, 2, 3, 4, 2, 5)]
    async with open_page(url) as page:
        found = await page.evaluate(script, stamps)
    assert found["values"] == [0, 4, 5]
    assert found["times"] == sorted(set(found["times"]))


# Accessibility


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.skipif(not AXE.exists(), reason="npm's axe-core is not in .venv/npm")
async def test_it_keeps_to_wcag_aa(url: str, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900}
    async with open_page(url, color_scheme=scheme, viewport=size) as page:
        await live(page)
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_function(PROCESSES_ARE_LIVE, polling=50)
        await page.evaluate(AXE.read_text())
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = await page.evaluate("(tags) => axe.run({ runOnly: tags })", tags)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SCREENSHOTS / f"page-{scheme}-{width}.png", full_page=True)
    assert len(found["passes"]) > 10
    wrong = [
        (rule["id"], node["html"])
        for rule in (*found["violations"], *found["incomplete"])
        for node in rule["nodes"]
    ]
    # axe cannot tell the background of SVG text. It is the panel's, as for all other text.
    unknown = [("color-contrast", html) for _, html in wrong if html.startswith("<text")]
    assert [one for one in wrong if one not in unknown] == []


async def test_the_layout_neither_shifts_nor_overflows(url: str) -> None:
    script = """window.shifts = [];
    const note = ({ value, sources }) => [value, ...sources.map(({ node }) => node?.id)];
    new PerformanceObserver((list) => shifts.push(...list.getEntries().map(note)))
        .observe({ type: "layout-shift", buffered: true });"""
    phone = {"width": 320, "height": 640}
    async with open_page(url, script=script, viewport=phone) as page:
        await live(page)
        before = await line(page)
        await eventually(lambda: line(page), lambda path: path != before)
        assert await page.evaluate("shifts") == []
        wide = "document.documentElement.scrollWidth"
        assert await page.evaluate(wide) == phone["width"]


async def test_values_can_be_read_with_the_keyboard_alone(url: str) -> None:
    async with open_page(url) as page:
        await live(page)
        await eventually(lambda: line(page), lambda path: len(points(path)) > 2)
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowRight")
        assert page.url.endswith("?range=10m")
        await live(page)
        await page.keyboard.press("Tab")
        figure = page.locator("#cpu")
        await expect(figure).to_be_focused()
        await page.keyboard.press("ArrowLeft")
        spoken = page.locator("#cpu [aria-live]")
        await expect(spoken).to_have_text(re.compile(r"^At .*: all processors .* %$"))
        await expect(page.locator("#cpu .time")).not_to_be_empty()
        await page.keyboard.press("Escape")
        await expect(page.locator("#cpu .time")).to_be_empty()


async def test_drawing_waits_for_the_next_picture(url: str) -> None:
    script = """window.drawings = 0;
    window.pictures = 0;
    const request = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (draw) => request((time) => { drawings += 1; draw(time); });
    request(function count() { pictures += 1; request(count); });"""
    async with open_page(f"{url}?range=10m", script=script) as page:
        await live(page)
        drawings, pictures = await page.evaluate("[drawings, pictures]")
    assert 1 <= drawings <= pictures
