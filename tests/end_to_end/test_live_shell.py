"""What stands around the charts of the live page: how it lasts, and where it is shown."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Locator, Page, expect
from playwright.async_api import Route as Routed
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hub import CloseReason, Hub, Settings, create_app
from hub.sampling.system import standard_metrics
from tests.end_to_end.test_live_page import assert_accessible, needs_axe
from tests.support.browser import LOST, eventually, needs_chromium, open_page
from tests.support.servers import DEADLINE, serve_here, surviving

pytestmark = [pytest.mark.long, needs_chromium, pytest.mark.usefixtures("browser")]

TOKEN: Final = "canary-shell-7b2c"  # noqa: S105 # of a hub that ends with its test
AWAY: Final = LOST + "|status of (40[0-4]|50[0-3])"
"""What a browser says while a hub is away and something else answers in its place."""

QUICK: Final = Settings(interval=0.1)
BLOCKED: Final = """for (const name of ["sessionStorage", "localStorage", "cookie"]) {
    const owner = name === "cookie" ? Document.prototype : window;
    const get = () => { throw new DOMException("blocked", "SecurityError"); };
    Object.defineProperty(owner, name, { get });
}"""
"""A script that has the browser keep nothing, as some do for frames of other sites."""

NO_DELAY: Final = "Math.random = () => 0.05;"
"""A script that makes random delays short."""

expect.set_options(timeout=3000 * DEADLINE)


class Proxy:
    """Stands before a hub; while there is a status, it answers with a page of its own.

    That page has this status, but for WebSockets, which it refuses.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.status: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.status is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            page = HTMLResponse("<h1>We will be right back</h1>", self.status)
            await page(scope, receive, send)


def application(hub: Hub) -> Starlette:
    return Starlette(routes=[Mount("/", create_app(hub=hub))])  # mounted, it follows no lifespan


@asynccontextmanager
async def behind_proxy(hub: Hub) -> AsyncIterator[tuple[Proxy, str]]:
    """Serve a hub behind a proxy; tell the proxy, and the address of the page."""
    proxy = Proxy(application(hub))
    async with hub.lifespan(), serve_here(proxy) as server:
        yield proxy, f"http://127.0.0.1:{server.port}/"
        hub.close_all(CloseReason.RESTART)


@asynccontextmanager
async def shown(hub: Hub, query: str = "", **options: Any) -> AsyncIterator[Page]:  # noqa: ANN401 # Playwright's
    """Show the page of a hub that lives as long."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub.lifespan())
        port = await stack.enter_async_context(surviving(hub))
        url = f"http://127.0.0.1:{port}/{query}"
        yield await stack.enter_async_context(open_page(url, **options))


def made_up(settings: Settings = QUICK, **families: Callable[[], object]) -> Hub:
    """Return a hub of a machine of which some families are made up: what collects each of them."""
    metrics = {metric.name: metric for metric in standard_metrics(settings)}
    for name, collect in families.items():
        metrics[name] = replace(metrics[name], collect=collect, prime=None, unasked=None)
    return Hub(settings, metrics=metrics.values())


def state(page: Page, name: str) -> Locator:
    return page.locator(f"#state[data-state={name}]")


async def live(page: Page) -> None:
    await expect(state(page, "live")).to_be_visible()


async def moves(page: Page, chart: str = "cpu") -> None:
    """Wait until a chart has got a further value."""
    line = page.locator(f"#{chart} .line-1")
    before = await line.get_attribute("d")
    await eventually(lambda: line.get_attribute("d"), lambda path: path != before)


# It survives what happens in weeks


@pytest.mark.parametrize("status", [200, 403, 404, 502])
async def test_a_proxy_that_answers_in_the_hub_s_place_is_no_refusal(status: int) -> None:
    hub = Hub(QUICK)
    async with (
        behind_proxy(hub) as (proxy, url),
        open_page(url, expected=AWAY, script=NO_DELAY) as page,
    ):
        await live(page)
        proxy.status = status
        hub.close_all(CloseReason.RESTART)
        answer = "something else answers" if status == 200 else f"the hub answers {status}"
        await expect(state(page, "reconnecting")).to_contain_text(answer)
        proxy.status = None
        await live(page)
        await moves(page)


async def test_a_hub_that_is_away_while_the_page_is_loaded_is_waited_for() -> None:
    expected = f"{AWAY}|127.0.0.1"  # no address is the page's own before it is loaded
    async with (
        behind_proxy(Hub(QUICK)) as (_, url),
        open_page("about:blank", expected=expected, script=NO_DELAY) as page,
    ):
        answers = iter([502, 404, 200])

        async def answer(route: Routed) -> None:
            status = next(answers, None)
            if status is None:
                await route.continue_()
            else:
                await route.fulfill(status=status, body="<h1>Soon</h1>")

        await page.route("**/openapi.json", answer)
        await page.goto(url)
        await live(page)
        assert next(answers, None) is None


@pytest.mark.parametrize("name", ["look.js", "page.css", "page.js", "scale.js"])
async def test_a_page_of_which_a_file_did_not_come_loads_itself_anew(name: str) -> None:
    expected = f"{AWAY}|127.0.0.1|MIME type|net::ERR_FAILED"
    async with (
        behind_proxy(Hub(QUICK)) as (_, url),
        open_page("about:blank", expected=expected, script=NO_DELAY) as page,
    ):
        answers = ["lost", "page", "busy", "lost"]

        async def answer(route: Routed) -> None:
            answer = answers.pop(0) if answers else "file"
            if answer == "file":
                await route.continue_()
            elif answer == "lost":
                await route.abort()
            else:
                status = 502 if answer == "busy" else 200
                await route.fulfill(status=status, body="<h1>Soon</h1>", content_type="text/html")

        async def left() -> int:
            return len(answers)

        await page.route(f"**/static/{name}", answer)
        await page.goto(url)
        if name.endswith(("page.js", "scale.js")):  # without the others it is live all the same
            await expect(state(page, "reconnecting")).to_contain_text("could not be loaded")
        await eventually(left, lambda count: count == 0)
        await expect(page.locator("html[data-theme=auto]")).to_be_visible()
        await live(page)


async def test_a_hub_that_comes_back_with_another_interval_is_followed_at_that() -> None:
    first, second = Hub(QUICK), Hub(Settings(interval=0.7))
    async with (
        second.lifespan(),
        behind_proxy(first) as (proxy, url),
        open_page(url, expected=AWAY, script=NO_DELAY) as page,
    ):
        await live(page)
        proxy.app = application(second)
        asked: list[str] = []
        page.on("websocket", lambda socket: asked.append(socket.url))
        first.close_all(CloseReason.RESTART)

        async def last() -> str:
            return asked[-1] if asked else ""

        await eventually(last, lambda url: "interval=0.7" in url)
        await live(page)
        await moves(page)
        second.close_all(CloseReason.RESTART)


async def test_a_hub_that_comes_back_with_other_families_has_their_charts() -> None:
    known = {metric.name: metric for metric in standard_metrics(QUICK)}
    few = [known[name] for name in ("cpu", "network", "load")]
    first, second = Hub(QUICK), Hub(QUICK, metrics=few)
    async with (
        second.lifespan(),
        behind_proxy(first) as (proxy, url),
        open_page(url, expected=AWAY, script=NO_DELAY) as page,
    ):
        await live(page)
        await expect(page.locator("#memory")).to_be_visible()
        proxy.app = application(second)
        first.close_all(CloseReason.RESTART)
        await expect(page.locator("figure:visible h2")).to_have_text(["CPU", "Load", "Network"])
        await live(page)
        proxy.app = application(first)
        second.close_all(CloseReason.RESTART)
        await expect(page.locator("#memory")).to_be_visible()
        await live(page)
        await moves(page, "memory")


async def test_what_was_shown_before_other_families_is_gone_with_all_that_listened() -> None:
    """The old charts follow no pointer, and nothing holds them; what was open is closed."""
    known = {metric.name: metric for metric in standard_metrics(QUICK)}
    few = [known[name] for name in ("cpu", "network", "load")]
    first, second = Hub(QUICK), Hub(QUICK, metrics=few)
    async with (
        second.lifespan(),
        behind_proxy(first) as (proxy, url),
        open_page(url, expected=AWAY, script=NO_DELAY) as page,
    ):
        await live(page)
        await moves(page)
        await page.locator("#cpu svg").hover()
        await expect(page.locator("#cpu .time")).not_to_be_empty()
        await page.mouse.move(0, 0)
        await page.locator("#network h2 button").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await page.evaluate("window.old = document.querySelector('#cpu .time')")
        await page.evaluate("window.held = new WeakRef(document.querySelector('#load'))")
        proxy.app = application(second)
        first.close_all(CloseReason.RESTART)
        await expect(page.locator("figure:visible h2")).to_have_text(["CPU", "Load", "Network"])
        await expect(dialog).to_have_count(0)
        await moves(page)
        await page.locator("#cpu svg").hover()
        await expect(page.locator("#cpu .time")).not_to_be_empty()
        assert await page.evaluate("[old.isConnected, old.textContent]") == [False, ""]
        await page.keyboard.press("Escape")
        await expect(page.locator("#cpu .time")).to_be_empty()
        await page.evaluate("delete window.old")
        browser = await page.context.new_cdp_session(page)

        async def is_held() -> bool:
            await browser.send("HeapProfiler.collectGarbage")
            return bool(await page.evaluate("Boolean(held.deref())"))

        await eventually(is_held, lambda held: not held)
        second.close_all(CloseReason.RESTART)


async def test_where_the_browser_keeps_nothing_a_token_lasts_as_long_as_the_page() -> None:
    hub = Hub(Settings(interval=0.1, tokens=(TOKEN,)))
    async with shown(hub, script=BLOCKED) as page:
        await live(page)
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_label("Token").press("Enter")
        await expect(page.locator("#processes tr").first).to_be_visible()
        await page.get_by_text("10 min", exact=True).click()
        await expect(page.locator("#processes tr").first).to_be_visible()
        await page.get_by_role("button", name="Forget the token").click()
        await live(page)


async def test_where_a_browser_forbids_websockets_it_takes_events() -> None:
    script = (
        "WebSocket = class { constructor() { throw new DOMException('no', 'SecurityError'); } }"
    )
    async with shown(Hub(QUICK), script=script) as page:
        await live(page)
        await moves(page)


async def test_a_machine_that_has_slept_has_a_new_connection() -> None:
    async with shown(Hub(QUICK)) as page:
        await live(page)
        async with page.expect_websocket():
            await page.evaluate("{ const now = Date.now; Date.now = () => now() + 60_000; }")
        await live(page)
        await moves(page)


async def test_another_version_of_the_hub_brings_its_own_page() -> None:
    hub = Hub(QUICK)
    script = NO_DELAY + "performance.now = () => 100_000;"
    async with behind_proxy(hub) as (_, url), open_page(url, expected=AWAY, script=script) as page:
        await live(page)

        async def answer(route: Routed) -> None:
            response = await route.fetch()
            description = await response.json()
            description["info"]["version"] = "99.0"
            await route.fulfill(response=response, json=description)

        await page.route("**/openapi.json", answer)
        async with page.expect_navigation():
            hub.close_all(CloseReason.RESTART)
        await live(page)


# It is honest about what it does not know


def seconds(text: str) -> int:
    return int(re.findall(r"(\d+) s", text)[-1])


async def test_an_outage_greys_the_charts_counts_and_lets_the_user_try_at_once() -> None:
    hub = Hub(QUICK)
    script = "Math.random = () => 0.95;"
    async with (
        behind_proxy(hub) as (proxy, url),
        open_page(url, expected=AWAY, script=script) as page,
    ):
        await live(page)
        await moves(page)
        await expect(page.locator("body")).not_to_have_class("stale")
        await expect(page.get_by_role("button", name="Try now")).to_be_hidden()
        proxy.status = 502
        hub.close_all(CloseReason.RESTART)
        await expect(page.locator("body")).to_have_class("stale")
        age = page.locator("#age")
        await expect(age).to_have_text(re.compile(r"^Newest value \d+ s ago$"))
        path = await page.locator("#cpu .line-1").get_attribute("d") or ""
        before = seconds(await age.inner_text())
        await eventually(age.inner_text, lambda text: seconds(text) >= before + 2)
        after = await page.locator("#cpu .line-1").get_attribute("d") or ""
        moved = [int(re.findall(r"[ML](\d+),", text)[-1]) for text in (path, after)]
        assert moved[1] < moved[0] - 50, "the newest value has moved away from now"
        proxy.status = None
        await page.get_by_role("button", name="Try now").press("Enter")
        await live(page)
        await expect(state(page, "live")).to_be_focused()
        await expect(page.locator("body")).not_to_have_class("stale")
        await expect(age).to_be_empty()


async def test_the_time_to_the_next_try_counts_down() -> None:
    hub = Hub(QUICK)
    async with (
        behind_proxy(hub) as (proxy, url),
        open_page(url, expected=AWAY, script="Math.random = () => 8;") as page,
    ):
        await live(page)
        proxy.status = 502
        hub.close_all(CloseReason.RESTART)
        line = state(page, "reconnecting")
        await expect(line).to_contain_text("next try in")
        first = seconds(await line.inner_text())
        await expect(line).to_contain_text(f"next try in {first - 1} s")
        await expect(line).to_contain_text(f"next try in {first - 2} s")
        assert await line.locator("span").get_attribute("aria-hidden") == "true"


# Its tab


async def test_the_tab_tells_the_machine_its_load_and_whether_it_is_live() -> None:
    hub = Hub(Settings(interval=0.1, name="lathe"))
    async with behind_proxy(hub) as (proxy, url), open_page(url, expected=AWAY) as page:
        await live(page)
        await expect(page).to_have_title(re.compile(r"^lathe · CPU \d+ %$"))
        icon = page.locator("link[rel=icon]")
        assert await icon.get_attribute("href") in {"static/icon.svg", "static/icon-critical.svg"}
        proxy.status = 502
        hub.close_all(CloseReason.RESTART)
        await expect(page).to_have_title("lathe · no data")
        await expect(icon).to_have_attribute("href", "static/icon-stale.svg")
        proxy.status = None
        await expect(page).to_have_title(re.compile(r"^lathe · CPU \d+ %$"))


async def test_the_tab_s_icon_is_an_alarm_where_trouble_lasts() -> None:
    script = """async (shares) => {
        const { Tab } = await import("./static/tab.js");
        const tab = new Tab();
        const icon = document.querySelector("link[rel=icon]");
        return shares.map((memory, index) => {
            const timestamp = new Date(index * 5000).toISOString();
            tab.show("lathe", { timestamp, memory }, true);
            return icon.getAttribute("href").slice("static/".length);
        });
    }"""
    async with shown(Hub(QUICK)) as page:
        found = await page.evaluate(script, [99, 20, 97, 99, 96, 94, 99])
    calm, alarm = "icon.svg", "icon-critical.svg"
    assert found == [calm, calm, calm, calm, alarm, calm, calm]


# It uses the screen that it has


SHIFTS: Final = """window.shifts = [];
const note = ({ value, sources }) => [value, ...sources.map(({ node }) => node?.id)];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map(note)))
    .observe({ type: "layout-shift", buffered: true });"""
"""A script that notes whatever moves by itself."""

USED: Final = """() => {
    const boxes = [...document.querySelectorAll("figure, #panels section")]
        .map((one) => one.getBoundingClientRect()).filter(({ width }) => width);
    return {
        width: Math.max(...boxes.map(({ right }) => right)) - Math.min(...boxes.map(({ x }) => x)),
        height: Math.max(...boxes.map(({ bottom }) => bottom)),
        page: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
    };
}"""
"""How much of the screen charts and panels take."""


def sixty_four() -> list[float]:
    return [100 * core / 64 for core in range(64)]


@pytest.mark.parametrize(("query", "size"), [("", (1920, 1080)), ("?view=wall", (3840, 2160))])
async def test_a_large_screen_is_used_and_nothing_on_it_shifts(
    query: str, size: tuple[int, int]
) -> None:
    width, height = size
    view = {"width": width, "height": height}
    async with shown(made_up(cores=sixty_four), query, script=SHIFTS, viewport=view) as page:
        await live(page)
        await moves(page)
        used = await page.evaluate(USED)
        assert used["width"] >= 0.75 * width
        assert used["height"] >= 0.75 * height
        assert used["page"][0] == width
        assert await page.evaluate("shifts") == []


async def test_a_wall_has_twice_the_text_all_on_one_screen_and_no_controls() -> None:
    view = {"width": 3840, "height": 2160}
    async with shown(made_up(cores=sixty_four), "?view=wall", viewport=view) as page:
        await live(page)
        await expect(page.locator("#panels")).to_be_visible()
        assert (await page.evaluate(USED))["page"] == [3840, 2160]
        heading = await page.locator("#cpu h2").bounding_box()
        assert heading is not None
        assert heading["height"] > 36, "twice what it is elsewhere"
        assert await page.locator(":is(input, button, select, summary, a):visible").count() == 0


async def test_many_processors_are_blocks_that_take_little_room_and_say_what_they_are() -> None:
    async with shown(made_up(cores=sixty_four)) as page:
        await live(page)
        block = page.get_by_role("meter", name="32", exact=True)
        await expect(block).to_have_attribute("aria-valuetext", "50 %")
        await expect(block).to_have_attribute("title", "32: 50 %")
        box = await page.locator("section", has=page.locator("#cores")).last.bounding_box()
        assert box is not None
        assert box["height"] <= 250


@pytest.mark.parametrize("width", [320, 1280, 1920])
async def test_a_hub_without_tokens_does_not_ask_for_one_and_leaves_no_hole(width: int) -> None:
    view = {"width": width, "height": 900}
    async with shown(made_up(), script=SHIFTS, viewport=view) as page:
        await live(page)
        await moves(page)
        await expect(page.locator("#temperatures-panel")).to_be_visible()
        await expect(page.locator("#processes-panel")).to_be_hidden()
        assert await page.locator("#token:visible").count() == 0
        stack = await page.locator(".stack").bounding_box()
        assert stack == await page.locator("#temperatures-panel").bounding_box()
        assert await page.evaluate("shifts") == []


async def test_a_token_is_not_sent_to_a_hub_that_has_no_use_for_it() -> None:
    first = Hub(Settings(interval=0.1, tokens=(TOKEN,)))
    second = Hub(QUICK)
    async with (
        second.lifespan(),
        behind_proxy(first) as (proxy, url),
        open_page(url, expected=LOST, script=NO_DELAY) as page,
    ):
        rows = page.locator("#processes tr")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_label("Token").press("Enter")
        await expect(rows.first).to_be_visible()
        proxy.app = application(second)
        async with page.expect_websocket() as socket:
            await page.reload()
        assert urlsplit((await socket.value).url).path == "/api/system/metrics"
        await moves(page)
        await expect(page.locator("#processes-panel")).to_be_hidden()
        proxy.app = application(first)
        second.close_all(CloseReason.RESTART)
        await expect(rows.first).to_be_visible()


# One of its charts, in a frame


async def test_one_chart_can_be_shown_alone() -> None:
    view = {"width": 500, "height": 240}
    query = "?chart=pressure&range=10m"
    async with shown(made_up(pressure=dict), query, script=SHIFTS, viewport=view) as page:
        figure = page.locator("figure")
        await expect(figure).to_have_count(1)
        await expect(figure).to_be_visible()
        await expect(page.locator("#pressure .scale")).to_contain_text("10 min")
        for other in ("#range", "#panels", "footer"):
            await expect(page.locator(other)).to_be_hidden()
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert await page.evaluate(size) == [500, 240]
        assert await page.evaluate("shifts") == []


async def test_a_chart_alone_says_that_it_is_stale() -> None:
    hub = Hub(QUICK)
    async with (
        behind_proxy(hub) as (proxy, url),
        open_page(f"{url}?chart=cpu", expected=AWAY) as page,
    ):
        await moves(page)
        proxy.status = 502
        hub.close_all(CloseReason.RESTART)
        await expect(page.locator("#age")).to_be_visible()
        await expect(page.get_by_role("button", name="Try now")).to_be_visible()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?chart=cup", "There is no chart “cup” but cpu, memory, "),
        ("?chart=", "There is no chart “” but cpu, memory, "),
        ("?chart=__proto__", "There is no chart “__proto__” but cpu, "),
        ("?chart=cpu&range=5m", "There is no range “5m” but 1m, 10m, 1h."),
    ],
)
async def test_a_chart_or_a_range_that_there_is_not_is_named(query: str, told: str) -> None:
    async with shown(Hub(QUICK), query) as page:
        await expect(page.get_by_role("alert")).to_contain_text(told)
        await expect(page.locator("figure")).to_have_count(0)


async def test_only_pages_that_may_call_the_hub_have_its_charts_in_a_frame() -> None:
    frame = '<!doctype html><iframe src="http://127.0.0.1:{}/?chart=cpu"></iframe>'
    texts: list[str] = []
    other = Starlette(routes=[Route("/", lambda _: HTMLResponse(texts[-1]))])
    async with serve_here(other) as dashboard:
        url = f"http://127.0.0.1:{dashboard.port}/"
        for allowed in ((), (url.rstrip("/"),)):
            hub = Hub(Settings(interval=0.1, allow_origin=allowed))
            async with hub.lifespan(), surviving(hub) as port:
                texts.append(frame.format(port))
                expected = f"{AWAY}|127.0.0.1:{port}|frame-ancestors"
                async with open_page(url, expected=expected) as page:
                    chart = page.frame_locator("iframe").locator("#cpu")
                    await expect(chart).to_have_count(1 if allowed else 0)


# Its colours, on screens and on paper


PAPER: Final = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(245, 246, 248)", "rgb(20, 23, 27)"


@pytest.mark.parametrize("script", ["", BLOCKED])
async def test_the_user_chooses_the_colours_and_the_browser_keeps_them_where_it_may(
    script: str,
) -> None:
    async with shown(Hub(QUICK), script=script, color_scheme="light") as page:
        await live(page)
        switch = page.get_by_label("Colours")
        assert (await switch.input_value(), await page.evaluate(PAPER)) == ("auto", LIGHT)
        await page.emulate_media(color_scheme="dark")
        assert await page.evaluate(PAPER) == DARK
        await switch.select_option("light")
        assert await page.evaluate(PAPER) == LIGHT
        await page.reload()
        await live(page)
        kept = ("auto", DARK) if script else ("light", LIGHT)
        assert (await switch.input_value(), await page.evaluate(PAPER)) == kept
        await switch.select_option("auto")
        assert await page.evaluate(PAPER) == DARK


async def test_what_surfaces_tell_stays_where_the_system_forces_its_colours() -> None:
    async with shown(made_up(cores=sixty_four), forced_colors="active") as page:
        await live(page)
        await expect(page.locator("#disks .fill").first).to_be_attached()
        look = """([one, other]) => [one, other].map((selector) =>
            getComputedStyle(document.querySelector(selector)).backgroundColor)"""
        pairs = (
            ("#cores .fill", "#cores .meter"),
            ("#disks .fill", "#disks .meter"),
            ("#range input:checked + label", "#range input:not(:checked) + label"),
        )
        for pair in pairs:
            one, other = await page.evaluate(look, pair)
            assert one != other
        border = "getComputedStyle(document.querySelector('.meter')).borderTopStyle"
        assert await page.evaluate(border) == "solid"
        swatches = """[...document.querySelectorAll("#load .entry")].map((entry) =>
            getComputedStyle(entry, "::before").borderTopColor)"""
        assert len(set(await page.evaluate(swatches))) == 3


async def test_on_paper_nothing_is_cut_off_and_there_are_no_controls() -> None:
    async with shown(made_up(cores=sixty_four), viewport={"width": 1400, "height": 900}) as page:
        await live(page)
        await expect(page.locator("#panels")).to_be_visible()
        await page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        width = await page.evaluate("document.querySelector('#cpu svg').clientWidth")
        drawn = await page.locator("#cpu svg").get_attribute("viewBox") or ""
        assert drawn.startswith(f"0 0 {width} ")
        await page.emulate_media(media="print")
        await page.set_viewport_size({"width": 700, "height": 1000})
        assert await page.evaluate("document.documentElement.scrollWidth") == 700
        controls = ":is(input, button:not(.open-members), select, a):visible"  # headings are text
        assert await page.locator(controls).count() == 0
        await page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert await page.locator("#cpu svg").get_attribute("viewBox") is None
        await page.emulate_media(media="screen")
        assert (await page.pdf())[:4] == b"%PDF"


async def test_magnified_four_times_the_head_tells_all_that_it_tells() -> None:
    hub = Hub(Settings(interval=0.1, name="lathe-in-the-second-hall.example"))
    async with shown(hub, script=SHIFTS, viewport={"width": 320, "height": 640}) as page:
        await live(page)
        await moves(page)
        host = page.locator("#host")
        await expect(host).to_contain_text("GB")
        assert await host.evaluate("(one) => one.scrollWidth <= one.clientWidth")
        assert await page.evaluate("document.documentElement.scrollWidth") == 320


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("query", "size"), [("?view=wall", (3840, 2160)), ("?chart=cpu", (500, 240))]
)
async def test_its_other_views_keep_to_wcag_aa(
    query: str, size: tuple[int, int], scheme: str
) -> None:
    view = {"width": size[0], "height": size[1]}
    name = f"{query.partition('=')[2]}-{scheme}"
    async with shown(Hub(QUICK), query, viewport=view, color_scheme=scheme) as page:
        await moves(page)
        await assert_accessible(page, name)


@needs_axe
@pytest.mark.parametrize("width", [320, 1280])
async def test_an_outage_keeps_to_wcag_aa(width: int) -> None:
    hub = Hub(QUICK)
    view = {"width": width, "height": 900}
    async with (
        behind_proxy(hub) as (proxy, url),
        open_page(url, expected=AWAY, script="Math.random = () => 8;", viewport=view) as page,
    ):
        await live(page)
        proxy.status = 502
        hub.close_all(CloseReason.RESTART)
        await expect(page.get_by_role("button", name="Try now")).to_be_visible()
        await assert_accessible(page, f"outage-{width}")


# What it gives away, and what it leaves out


async def test_what_is_shown_can_be_had_as_csv() -> None:
    hub = Hub(Settings(interval=0.1, history=900, name="lathe"))
    async with shown(hub) as page:
        await live(page)
        link = page.get_by_role("link", name="These values as CSV")
        await expect(link).to_have_attribute("download", "lathe-1m.csv")
        assert "seconds=60&" in str(await link.get_attribute("href"))
        await page.get_by_text("10 min", exact=True).click()
        await expect(link).to_have_attribute("download", "lathe-10m.csv")
        async with page.expect_download() as download:
            await link.click()
        text = await anyio.Path(await (await download.value).path()).read_text()
        assert text.startswith("timestamp,")
        assert ",cpu" in text.splitlines()[0]
        assert "processes" not in text.splitlines()[0]


async def test_processes_that_do_nothing_are_not_in_the_table_which_keeps_its_height() -> None:
    busy = [{"pid": pid, "name": "cc1", "cpu": 30.0 - pid, "memory": 1.0} for pid in (1, 2)]
    idle = [{"pid": pid, "name": "sh", "cpu": 0.0, "memory": 1.0} for pid in (3, 4)]
    settings = Settings(interval=0.1, tokens=(TOKEN,))
    async with shown(made_up(settings, processes=lambda: [*busy, *idle])) as page:
        await live(page)
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_label("Token").press("Enter")
        await expect(page.locator("#processes tr")).to_have_count(4)
        await expect(page.locator("#processes tr:visible")).to_have_count(2)
