"""The ranges of time that the live page offers, which are those of the hub's history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from playwright.async_api import Locator, Page, Request, expect

from hub import CloseReason, Hub, Settings
from hub.sampling.snapshot import Reading, Snapshot
from tests.end_to_end.test_live_page import (
    assert_accessible,
    line,
    live,
    made_up_hub,
    needs_axe,
    points,
    shown,
)
from tests.end_to_end.test_live_shell import (
    AWAY,
    NO_DELAY,
    SHIFTS,
    application,
    behind_proxy,
    moves,
)
from tests.support.browser import eventually, needs_chromium, open_page

pytestmark = [pytest.mark.long, needs_chromium, pytest.mark.usefixtures("browser")]

HOUR: Final = 3600
HISTORY: Final = "/api/system/metrics/history"
CPU: Final = 25.0
MANY: Final = 250
"""Points of a line that goes from end to end: there are more columns of pixels."""


def remembering(seconds: int, every: float = 1.0, **readings: Callable[[], Reading]) -> Hub:
    """Return a hub that may keep so many seconds, and has all of them: one in ``every`` seconds."""
    hub = made_up_hub(Settings(interval=0.1, history=seconds, name="lathe"), cpu=lambda: CPU)
    now = time.time()
    for age in range(int(seconds / every), 0, -1):
        tick = int(10 * (now - every * age))
        values: dict[str, Reading] = {"cpu": CPU}
        values |= {name: read() for name, read in readings.items()}
        hub.history.append(Snapshot(tick, tick, tick / 10, values))
    return hub


def names(page: Page) -> Locator:
    return page.locator("#range label")


async def count(page: Page) -> int:
    """Return how many points the first line of the first chart has."""
    return len(points(await line(page)))


def asked(page: Page) -> list[dict[str, str]]:
    """Return what is from now on asked of the past, as it grows."""
    found: list[dict[str, str]] = []

    def note(request: Request) -> None:
        url = urlsplit(request.url)
        if url.path == HISTORY:
            found.append({name: values[0] for name, values in parse_qs(url.query).items()})

    page.on("request", note)
    return found


@pytest.mark.parametrize(
    ("history", "offered"),
    [
        (0, ["1 min"]),
        (30, ["1 min"]),
        (600, ["1 min", "10 min"]),
        (1800, ["1 min", "10 min", "30 min"]),
        (HOUR, ["1 min", "10 min", "1 h"]),
        (2 * HOUR, ["1 min", "10 min", "1 h", "2 h"]),
        (24 * HOUR, ["1 min", "10 min", "1 h", "6 h", "24 h"]),
    ],
)
async def test_the_ranges_reach_as_far_back_as_the_hub_s_history(
    history: int, offered: list[str]
) -> None:
    async with shown(Hub(Settings(interval=0.1, history=history))) as page:
        await expect(names(page)).to_have_text(offered)
        assert await page.get_by_role("radio", name=offered[0], exact=True).is_checked()


async def test_any_history_has_ranges_with_names_for_the_address() -> None:
    script = """async (histories) => {
        const { rangesOf } = await import("./static/ranges.js");
        return histories.map((history) => [...rangesOf(history)].slice(-2));
    }"""
    async with shown(made_up_hub()) as page:
        found = await page.evaluate(script, [90, 7199, 129_600, 172_800, 604_800, 1_209_600])
    assert found == [
        [["1m", 60], ["90s", 90]],
        [["1h", 3600], ["7199s", 7199]],
        [["24h", 86_400], ["36h", 129_600]],
        [["24h", 86_400], ["2d", 172_800]],
        [["24h", 86_400], ["7d", 604_800]],
        [["7d", 604_800], ["14d", 1_209_600]],
    ]


async def test_two_hours_are_drawn_from_end_to_end() -> None:
    async with shown(remembering(2 * HOUR)) as page:
        past = asked(page)
        await page.get_by_text("2 h", exact=True).click()
        assert page.url.endswith("?range=2h")
        await eventually(lambda: count(page), lambda found: found > MANY)
        found = await line(page)
        assert {one["seconds"] for one in past} == {"7200"}
        assert {one["interval"] for one in past} == {"10"}
        box = await page.locator("#cpu svg").bounding_box()
        assert box is not None
        assert points(found)[0] == pytest.approx(60, abs=3)
        assert points(found)[-1] == pytest.approx(box["width"] - 6, abs=3)
        assert found.count("M") == 1
        labels = await page.locator("#cpu .scale text").all_text_contents()
        assert labels[-5:] == ["\N{MINUS SIGN}2 h", *labels[-4:-1], "now"]
        link = page.get_by_role("link", name="These values as CSV")
        await expect(link).to_have_attribute("download", "lathe-2h.csv")
        await page.reload()
        await live(page)
        assert await page.get_by_role("radio", name="2 h", exact=True).is_checked()


async def test_a_day_is_read_with_its_days() -> None:
    async with shown(remembering(24 * HOUR, every=60), "?range=24h") as page:
        await eventually(lambda: count(page), lambda found: found > MANY)
        await page.locator("#cpu").focus()
        await page.keyboard.press("Home")
        day = time.strftime("%a", time.localtime(time.time() - 24 * HOUR + 120))
        await expect(page.locator("#cpu .time")).to_contain_text(day)
        labels = await page.locator("#cpu .scale text").all_text_contents()
        assert labels[-5:] == [f"\N{MINUS SIGN}{hours} h" for hours in (24, 18, 12, 6)] + ["now"]


async def test_the_members_are_shown_over_the_same_range() -> None:
    hub = remembering(2 * HOUR, disks=lambda: {"/": 40.0, "/mnt": 60.0})
    async with shown(hub, "?range=2h") as page:
        past = asked(page)
        await page.locator("#disk h2 button").click()
        dialog = page.get_by_role("dialog", name="File systems")
        await expect(dialog.locator(".line")).to_have_count(2)

        async def drawn() -> int:
            return len(points(await dialog.locator(".line-1").get_attribute("d") or ""))

        await eventually(drawn, lambda found: found > MANY)
        assert past[0]["seconds"] == "7200"
        await expect(dialog.locator(".scale")).to_contain_text("2 h")


async def test_where_the_past_in_buckets_cannot_be_had_only_an_hour_of_values_is_asked_for() -> (
    None
):
    async with shown(remembering(6 * HOUR, every=600)) as page:
        await page.route(f"**{HISTORY}**", lambda route: route.fulfill(json={}))
        async with page.expect_websocket() as socket:
            await page.get_by_text("6 h", exact=True).click()
        assert "history=3600" in (await socket.value).url
        await live(page)


# A range that there is not


@pytest.mark.parametrize("name", ["5x", "2h", "__proto__", "1"])
async def test_an_unknown_range_is_named_and_all_else_works_with_the_shortest(name: str) -> None:
    async with shown(made_up_hub(), f"?range={name}") as page:
        alert = page.get_by_role("alert").filter(has_text="range")
        await expect(alert).to_have_text(f"There is no range “{name}” but 1m, 10m, 1h.")
        assert await page.get_by_role("radio", name="1 min", exact=True).is_checked()
        await expect(page.locator("#cpu .scale")).to_contain_text("60 s")
        await moves(page)
        await page.get_by_text("10 min", exact=True).click()
        await expect(alert).to_have_count(0)
        await live(page)


# Other offers


async def test_a_hub_that_comes_back_with_another_history_has_its_ranges() -> None:
    first = Hub(Settings(interval=0.1, history=2 * HOUR))
    second = Hub(Settings(interval=0.1, history=600))
    async with (
        second.lifespan(),
        behind_proxy(first) as (proxy, url),
        open_page(f"{url}?range=2h", expected=AWAY, script=NO_DELAY) as page,
    ):
        await live(page)
        await page.get_by_role("radio", name="2 h", exact=True).focus()
        proxy.app = application(second)
        first.close_all(CloseReason.RESTART)
        await expect(names(page)).to_have_text(["1 min", "10 min"])
        shortest = page.get_by_role("radio", name="1 min", exact=True)
        await expect(shortest).to_be_checked()
        await expect(shortest).to_be_focused()
        alert = page.get_by_role("alert").filter(has_text="range")
        await expect(alert).to_have_text("There is no range “2h” but 1m, 10m.")
        await live(page)
        await moves(page)
        proxy.app = application(first)
        second.close_all(CloseReason.RESTART)
        await expect(page.get_by_role("radio", name="2 h", exact=True)).to_be_checked()
        await expect(alert).to_have_count(0)


# Between two ranges


async def test_old_values_keep_their_own_steps_while_another_past_is_loaded() -> None:
    """Values of an hour are 5 s apart: by the steps of ten minutes, each would stand alone."""
    async with shown(remembering(HOUR), "?range=1h") as page:
        await eventually(lambda: count(page), lambda found: found > MANY)
        before = await line(page)
        assert before.count("M") == 1
        answer = anyio.Event()

        async def hold(route: Any) -> None:  # noqa: ANN401 # Playwright's
            await answer.wait()
            await route.continue_()

        await page.route(f"**{HISTORY}**", hold)
        await page.get_by_text("10 min", exact=True).click()
        await expect(page.locator("#state[data-state=connecting]")).to_be_visible()
        waiting = await eventually(lambda: line(page), lambda path: path != before)
        assert waiting.count("M") == 1
        await expect(page.locator("#cpu .scale")).to_contain_text("60 min")
        answer.set()
        await live(page)
        await expect(page.locator("#cpu .scale")).to_contain_text("10 min")


# Its looks


@needs_axe
@pytest.mark.parametrize("width", [320, 480, 768, 1280])
async def test_the_longest_choice_fits_and_shifts_nothing(width: int) -> None:
    hub = made_up_hub(
        Settings(interval=0.1, history=23 * HOUR),
        cpu=lambda: CPU,  # so that no sign of high values comes and goes
        load=lambda: [0.1, 0.1, 0.1],
    )
    size = {"width": width, "height": 900}
    async with shown(hub, "?range=6h", viewport=size, script=SHIFTS) as page:
        await expect(names(page)).to_have_text(["1 min", "10 min", "1 h", "6 h", "23 h"])
        await live(page)
        await page.wait_for_timeout(500)  # five messages; a point of six hours takes half a minute
        if width > 320:  # where legends wrap when a reading grows
            assert await page.evaluate("shifts") == []
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        tops = [box["y"] for one in await names(page).all() if (box := await one.bounding_box())]
        assert len(set(tops)) == 1, "one row"
        await assert_accessible(page, f"ranges-{width}")
