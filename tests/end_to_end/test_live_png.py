"""The pictures of its charts that the live page gives away."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

import anyio
import pytest
from playwright.async_api import FloatRect, Page, expect

from hub import Metric, Settings
from tests.end_to_end.test_live_page import (
    GRAPHICS,
    Interfaces,
    forbidden,
    line,
    made_up_hub,
    points,
    shown,
)
from tests.end_to_end.test_live_shell import shown as shell_of
from tests.support.browser import eventually, needs_chromium
from tests.support.png import Colour, Picture

pytestmark = [pytest.mark.long, needs_chromium, pytest.mark.usefixtures("browser")]

NAMED: Final = Settings(interval=0.1, name="lathe")
FROZEN: Final = """new Promise((done) => {
    const ask = window.requestAnimationFrame;
    for (let timer = setTimeout(() => 0); timer; timer -= 1) clearTimeout(timer);
    window.requestAnimationFrame = window.setTimeout = window.setInterval = () => 0;
    ask(() => ask(done));
})"""
"""A script after which the page draws nothing more, neither what comes nor that nothing comes."""

PLAIN: Final = """{
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`.png { visibility: hidden } .chart { border-radius: 0 }
        h2 button { text-decoration: none !important }
        .chart select { appearance: none; border-color: transparent !important }`);
    document.adoptedStyleSheets = [sheet];
}"""
"""A script that hides what the page has for its user alone."""

CAPTION: Final = 20
"""Pixels of the page under a chart that its picture has besides."""

COLOUR: Final = """([selector, property]) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = getComputedStyle(document.querySelector(selector))[property];
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


async def picture(page: Page, name: str) -> tuple[str, Picture]:
    """Save a chart by its name; return the name of the file, and what it shows."""
    async with page.expect_download() as download:
        await page.get_by_role("button", name=f"{name} as PNG", exact=True).click()
    file = await download.value
    data = await anyio.Path(await file.path()).read_bytes()
    return file.suggested_filename, Picture.read(data)


async def colour(page: Page, selector: str, of: str) -> Colour:
    red, green, blue = await page.evaluate(COLOUR, [selector, of])
    return red, green, blue


async def box(page: Page, selector: str) -> FloatRect:
    found = await page.locator(selector).first.bounding_box()
    assert found is not None
    return found


async def drawn(page: Page, chart: str = "cpu") -> None:
    await eventually(lambda: line(page, chart), lambda path: len(points(path)) > 5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_chart_can_be_saved_as_it_is_drawn(scheme: str) -> None:
    hub = made_up_hub(NAMED, cpu=lambda: 50.0)
    async with shown(hub, "?range=1m", color_scheme=scheme) as page:
        await drawn(page)
        await page.evaluate(FROZEN)
        path = await line(page)
        name, found = await picture(page, "CPU")
        assert name == "lathe-cpu-1m.png"
        figure, svg = await box(page, "#cpu"), await box(page, "#cpu svg")
        assert found.width == pytest.approx(2 * figure["width"], abs=2)
        assert found.height == pytest.approx(2 * (figure["height"] + CAPTION), abs=2)
        paper, ink = (
            await colour(page, "#cpu", "backgroundColor"),
            await colour(page, "h2", "color"),
        )
        stroke = await colour(page, "#cpu .line-1", "stroke")
        assert found.at(0, 0) == found.at(found.width - 1, found.height - 1) == paper
        for corner in re.findall(r"L(\d+),(\d+)", path):
            x, y = (int(one) / 10 for one in corner)
            at = (round(2 * (svg["x"] - figure["x"] + x)), round(2 * (svg["y"] - figure["y"] + y)))
            near = found.colours(at[0] - 2, at[1] - 2, 5, 5)
            assert any(alike(one, stroke, 30) for one in near), corner
        heading = await box(page, "#cpu h2")
        left = int(2 * (heading["x"] - figure["x"]))
        top = int(2 * (heading["y"] - figure["y"]))
        assert Counter(found.colours(left, top, 100, 48))[ink] > 50, "its name"
        caption = found.colours(0, found.height - 2 * CAPTION, 400, 2 * CAPTION)
        assert len(set(caption)) > 5, "the machine's name"


async def differing(page: Page, chart: str, name: str) -> int:
    """Return where the picture of a chart is most unlike the screen: how much of 32 x 32 pixels."""
    await page.evaluate(FROZEN)
    await page.evaluate(PLAIN)
    screen = Picture.read(await page.locator(f"#{chart}").screenshot())
    await page.evaluate("document.adoptedStyleSheets = []")
    _, found = await picture(page, name)
    assert found.width == pytest.approx(screen.width, abs=2)
    assert await page.evaluate("devicePixelRatio") == 2
    wide, high = min(screen.width, found.width), screen.height - 24
    places = [(x, y) for y in range(2, high - 2) for x in range(2, wide - 2)]
    unlike: Counter[tuple[int, int]] = Counter()
    for one, other in ((screen, found), (found, screen)):
        lost = ((x, y) for x, y in places if is_lost(one.at(x, y), other, x, y))
        unlike.update((x // 32, y // 32) for x, y in lost)
    return max(unlike.values(), default=0)


def is_lost(one: Colour, other: Picture, x: int, y: int) -> bool:
    """Whether a pixel of a picture has none like it near that place of another picture."""
    if alike(one, other.at(x, y)):
        return False
    return not any(alike(one, near) for near in other.colours(x - 2, y - 2, 5, 5))


def alike(one: Colour, other: Colour, tolerance: int = 100) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= tolerance


@pytest.mark.parametrize(
    ("chart", "name"),
    [
        ("memory", "Memory"),
        ("cpu_times", "Processor time"),
        ("load", "Load"),
        ("network", "Network"),
        ("disk", "Disk"),
        ("gpu", "GPU"),
        ("process_memory", "Hub\N{RIGHT SINGLE QUOTATION MARK}s memory"),
        ("pressure", "Pressure"),
    ],
)
async def test_a_saved_chart_looks_as_on_the_screen(chart: str, name: str) -> None:
    hub = made_up_hub(
        NAMED,
        Interfaces(eth0=5, eth1=30),
        memory=lambda: 85.0,
        swap=lambda: 99.0,
        gpu=lambda: GRAPHICS,
        disk=forbidden,
        load=lambda: [2.0, 9.0, 1.0],
        cpu_times=lambda: {"user": 30.0, "system": 20.0, "iowait": 10.0, "idle": 40.0},
        pressure=lambda: {"cpu": {"some": 3.0}, "memory": {"some": 1.0}, "io": {"some": 2.0}},
    )
    options: dict[str, Any] = {"device_scale_factor": 2, "color_scheme": "light"}
    async with shown(hub, **options) as page:
        if chart != "disk":
            await drawn(page, chart)
        assert await differing(page, chart, name) < 48  # of dashes, which the browser makes crisper


async def test_the_button_is_reached_with_the_keyboard_and_says_of_what_it_is() -> None:
    async with shown(made_up_hub(NAMED, cpu=lambda: 50.0), "?range=10m") as page:
        await page.locator("#cpu").focus()
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        button = page.get_by_role("button", name="CPU as PNG", exact=True)
        await expect(button).to_be_focused()
        async with page.expect_download() as download:
            await page.keyboard.press("Enter")
        assert (await download.value).suggested_filename == "lathe-cpu-10m.png"


async def test_every_chart_has_one_also_those_of_an_application() -> None:
    hub = made_up_hub(NAMED)
    hub.register(Metric("queue_depth", lambda: 7))
    async with shown(hub) as page:
        own = page.locator("figure", has_text="queue_depth")
        await expect(own).to_be_visible()
        charts = await page.locator("figure:visible").count()
        assert await page.locator(".png:visible").count() == charts
        name, _ = await picture(page, "queue_depth")
        assert name == "lathe-queue_depth-1m.png"


@pytest.mark.parametrize("query", ["?view=wall", "?chart=cpu"])
async def test_what_is_only_looked_at_has_none(query: str) -> None:
    async with shell_of(made_up_hub(), query) as page:
        await drawn(page)
        await expect(page.locator(".png:visible")).to_have_count(0)
