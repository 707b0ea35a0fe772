"""The live page in Firefox: the main points of what the other tests show in Chromium."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio
import pytest

from hub import CloseReason, Hub, Settings, create_app
from tests.end_to_end.test_live_charts import Spiky, TwoWay, corners, heights
from tests.end_to_end.test_live_page import MARGINS, SCREENSHOTS, made_up_hub, points
from tests.end_to_end.test_live_shell import USED, sixty_four
from tests.support.browser import eventually
from tests.support.firefox import Firefox, Tab, needs_firefox, start_firefox
from tests.support.past import kept_snapshots
from tests.support.servers import serve_here, start_hub, surviving

pytestmark = [pytest.mark.long, needs_firefox]

ESCAPE, LEFT = "\ue00c", "\ue012"
"""Keys, as WebDriver writes them."""
LOST: Final = r"can.t establish a connection|was interrupted|NetworkError"
"""What this browser says of servers that are away."""
CURSORS: Final = """[...document.querySelectorAll("figure.chart")]
    .filter((figure) => figure.checkVisibility())
    .map((figure) => [
        figure.querySelector(".cursor").getAttribute("visibility") === "visible",
        figure.querySelector(".time").textContent,
    ])"""


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Firefox]:
    async with start_firefox() as browser:
        yield browser


@asynccontextmanager
async def shown(
    browser: Firefox,
    hub: Hub,
    query: str = "",
    seconds: float = 0,
    **options: Any,  # noqa: ANN401 # of `Firefox.open`
) -> AsyncIterator[Tab]:
    """Show the page of a hub that lives as long, once that has so many seconds of history."""
    ticks = seconds / hub.settings.interval

    async def kept() -> int:
        return len(kept_snapshots(hub, 60))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub.lifespan())
        port = await stack.enter_async_context(surviving(hub))
        await eventually(kept, lambda count: count >= ticks)
        url = f"http://127.0.0.1:{port}/{query}"
        tab = await stack.enter_async_context(browser.open(url, **options))
        await live(tab)
        yield tab


async def text(tab: Tab, selector: str) -> str:
    return str(await tab.evaluate(f"document.querySelector({selector!r})?.textContent ?? ''"))


async def path(tab: Tab, selector: str = "#cpu .line-1") -> str:
    return str(await tab.evaluate(f"document.querySelector({selector!r})?.getAttribute('d') ?? ''"))


async def state(tab: Tab, name: str) -> None:
    look = "document.querySelector('#state').dataset.state"
    await eventually(lambda: tab.evaluate(look), lambda found: found == name)


async def live(tab: Tab) -> None:
    await state(tab, "live")
    hidden = "document.querySelector('#panels').hidden"
    await eventually(lambda: tab.evaluate(hidden), lambda found: found is False)


async def moves(tab: Tab) -> None:
    before = await path(tab)
    await eventually(lambda: path(tab), lambda found: found != before)


async def share(tab: Tab, y: float) -> float:
    """Return what share of the first chart's scale, of percent, a height is."""
    script = """[...document.querySelectorAll("#cpu .grid line")]
        .map((one) => Number(one.getAttribute("y1")))"""
    found = await tab.evaluate(script)
    top, bottom = min(found), max(found)
    return float((bottom - y) / (bottom - top))


async def keep_picture(tab: Tab, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await anyio.Path(SCREENSHOTS, f"firefox-{name}.png").write_bytes(await tab.picture())


async def test_it_is_live_and_begins_with_the_past(browser: Firefox) -> None:
    async with shown(browser, made_up_hub(cpu=Spiky().collect), seconds=3) as tab:
        script = """[document.querySelector("#cpu .line-1").getAttribute("d"),
            performance.now() / 1000, document.querySelector("#cpu svg").clientWidth]"""

        async def past() -> float:
            """Return how many seconds the line reaches back beyond the page's own life."""
            drawn, age, width = await tab.evaluate(script)
            places = points(drawn) or [0.0]
            return float(60 * (places[-1] - places[0]) / (width - sum(MARGINS)) - age)

        await eventually(past, lambda seconds: seconds > 2)
        drawn = await path(tab)
        assert await share(tab, heights(drawn)[-1]) == pytest.approx(0.1, abs=0.01)
        await moves(tab)
        title = "document.title"
        await eventually(lambda: tab.evaluate(title), lambda said: said.endswith("CPU 10 %"))
        await keep_picture(tab, "1280")


async def test_a_long_range_has_a_band_up_to_the_highest_values(browser: Firefox) -> None:
    cpu = Spiky()
    async with shown(browser, made_up_hub(cpu=cpu.collect), seconds=2) as tab:
        cpu.spike()
        await moves(tab)
        await tab.point("label[for=range-10m]", click=True)

        async def highest() -> float:
            band = corners(await path(tab, "#cpu .band-1"))
            return await share(tab, min((y for _, y in band), default=999))

        await eventually(highest, lambda found: found == pytest.approx(0.9, abs=0.01))
        await live(tab)
        assert await tab.evaluate("location.search") == "?range=10m"
        assert await share(tab, min(heights(await path(tab)))) < 0.85


async def test_all_charts_are_read_by_pointer_and_by_keyboard(browser: Firefox) -> None:
    async with shown(browser, Hub(Settings(interval=0.1)), seconds=1) as tab:
        await tab.point("#memory svg")
        found = await eventually(lambda: tab.evaluate(CURSORS), lambda found: found[0][0])
        assert len(found) > 5
        assert all(seen for seen, _ in found)
        assert len({time for _, time in found}) == 1
        await tab.press(ESCAPE)
        assert not any(seen or time for seen, time in await tab.evaluate(CURSORS))
        await tab.evaluate("document.querySelector('#cpu').focus()")
        await tab.press(LEFT)
        assert all(seen for seen, _ in await tab.evaluate(CURSORS))
        assert re.match(r"At .*: all processors .* %", await text(tab, "#cpu [aria-live]"))


async def test_the_members_of_a_family_open_and_close(browser: Firefox) -> None:
    hub = made_up_hub(interfaces=TwoWay(eth0=40, eth1=20), cores=sixty_four)
    async with shown(browser, hub, seconds=1) as tab:
        await assert_opens(tab, "network", "dialog .line")
        await assert_opens(tab, "cpu", "dialog .heat-5")


async def assert_opens(tab: Tab, chart: str, drawn: str) -> None:
    """The heading opens a dialog in which something is drawn, until Escape is pressed."""
    await tab.point(f"#{chart} h2 button", click=True)
    await eventually(lambda: path(tab, drawn), lambda found: found.count(",") > 5)
    await keep_picture(tab, f"members-{chart}")
    await tab.press(ESCAPE)
    gone = "document.querySelector('dialog') === null"
    await eventually(lambda: tab.evaluate(gone), bool)
    assert await tab.evaluate(f"document.activeElement.closest('#{chart}') !== null")


async def test_an_outage_greys_the_charts_and_counts_down_until_it_ends(browser: Firefox) -> None:
    grey = "getComputedStyle(document.querySelector('#cpu svg')).filter"
    with start_hub() as first:
        async with browser.open(f"http://127.0.0.1:{first.port}/", expected=LOST) as tab:
            await live(tab)
            assert await tab.evaluate(grey) == "none"
            first.process.kill()
            await state(tab, "reconnecting")
            await eventually(lambda: text(tab, "#state"), lambda said: "next try in" in said)
            await eventually(lambda: text(tab, "#age"), lambda said: said.endswith("s ago"))
            assert await tab.evaluate(grey) != "none"
            await keep_picture(tab, "outage")
            with start_hub("--port", str(first.port)):
                await live(tab)
                await moves(tab)
                assert await tab.evaluate(grey) == "none"


async def test_a_wall_is_filled_and_has_no_controls(browser: Firefox) -> None:
    hub = made_up_hub(cores=sixty_four)
    async with shown(browser, hub, "?view=wall", width=3840, height=2160) as tab:
        await moves(tab)
        used = await tab.evaluate(f"({USED})()")
        assert used["width"] >= 0.75 * 3840
        assert used["height"] >= 0.75 * 2160
        assert used["page"] == [3840, 2160]
        controls = """[...document.querySelectorAll("input, button, select, summary, a")]
            .filter((one) => one.checkVisibility()).map((one) => one.outerHTML)"""
        assert await tab.evaluate(controls) == []
        assert (
            await tab.evaluate("document.querySelector('#cpu h2').getBoundingClientRect().height")
            > 36
        )
        await keep_picture(tab, "wall")


async def test_a_telephone_has_nothing_to_scroll_to_the_side(browser: Firefox) -> None:
    async with shown(browser, Hub(Settings(interval=0.1)), width=390, height=844) as tab:
        await moves(tab)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 390
        await keep_picture(tab, "390")


async def test_without_websockets_it_takes_events(browser: Firefox) -> None:
    hub = Hub(Settings(interval=0.1))
    async with serve_here(create_app(hub=hub), ws="none") as server, hub.lifespan():
        async with browser.open(f"http://127.0.0.1:{server.port}/", expected=LOST) as tab:
            await live(tab)
            await moves(tab)
        hub.close_all(CloseReason.RESTART)
