"""The live page of a large machine, at the sizes and in the states that people see it in.

Each test leaves a picture in ``build/screenshots``, and holds what it shows to WCAG AA.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.end_to_end.test_live_page import SCREENSHOTS, assert_accessible, live, needs_axe
from tests.support.browser import LOST, eventually, needs_chromium, open_page
from tests.support.servers import ServerProcess, start_hub
from tests.support.waves import Waves

pytestmark = [pytest.mark.long, needs_chromium, needs_axe, pytest.mark.usefixtures("browser")]

SIZES: Final = {"390": (390, 844), "1280": (1280, 900), "1920": (1920, 1080), "wall": (3840, 2160)}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub("--interval", "1", "--name", "lathe", interval=None) as server:
        yield server


@asynccontextmanager
async def shown(
    server: ServerProcess,
    size: str,
    scheme: str,
    **options: Any,  # noqa: ANN401 # of `open_page`
) -> AsyncIterator[tuple[Page, Waves]]:
    """Show the page of a machine of 64 processors, once its charts are full."""
    width, height = SIZES[size]
    view = {"width": width, "height": height}
    url = f"http://127.0.0.1:{server.port}/"
    options |= {"viewport": view, "color_scheme": scheme, "expected": f"{LOST}|127.0.0.1"}
    async with open_page("about:blank", **options) as page:
        waves = Waves(page)
        await waves.begin()
        await page.goto(url + "?view=wall" * (size == "wall"))
        await live(page)
        await expect(page.get_by_role("meter", name="63", exact=True)).to_be_attached()
        yield page, waves
        await waves.lose()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_it_keeps_to_wcag_aa(server: ServerProcess, size: str, scheme: str) -> None:
    async with shown(server, size, scheme) as (page, _):
        assert await page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
        await assert_accessible(page, f"large-{size}-{scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_outage_keeps_to_wcag_aa(server: ServerProcess, scheme: str) -> None:
    async with shown(server, "1280", scheme, script="Math.random = () => 8;") as (page, waves):
        await waves.lose()
        await expect(page.get_by_role("button", name="Try now")).to_be_visible()
        await expect(page.locator("#age")).to_contain_text("s ago")
        await assert_accessible(page, f"large-outage-{scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_its_processors_keep_to_wcag_aa(server: ServerProcess, scheme: str) -> None:
    async with shown(server, "1280", scheme) as (page, _):
        await page.locator("#cpu h2 button").click()
        heat = page.get_by_role("dialog").locator(".heat-5")
        await eventually(lambda: heat.get_attribute("d"), lambda path: str(path).count("M") > 64)
        await assert_accessible(page, f"large-members-{scheme}")


async def test_a_heat_map_has_a_cell_for_each_second_and_nothing_between_them(
    server: ServerProcess,
) -> None:
    async with shown(server, "1280", "light") as (page, _):
        await page.locator("#cpu h2 button").click()
        heat = page.get_by_role("dialog").locator(".heat")
        script = "(paths) => paths.map((one) => one.getAttribute('d')).join('')"
        drawn = await eventually(
            lambda: heat.evaluate_all(script), lambda path: str(path).count("M") > 59 * 64
        )
    corners = re.findall(r"M(\d+),(\d+)H(\d+)V(\d+)", drawn)
    cells = {tuple(map(int, one)) for one in corners}
    rows = {(top, bottom) for _, top, _, bottom in cells}
    columns = {(left, right) for left, _, right, _ in cells}
    assert (len(rows), len(columns)) == (64, 60)
    for stretches in (rows, columns):
        ordered = sorted(stretches)
        assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(ordered))


# A wall


@pytest.mark.parametrize("size", [(3840, 2160), (1920, 1080), (3440, 1440)])
async def test_a_wall_has_no_part_that_is_empty(
    server: ServerProcess, size: tuple[int, int]
) -> None:
    script = """() => [...document.querySelectorAll(
            "#charts > .chart, .pair, #panels > section")]
        .map((one) => one.getBoundingClientRect()).filter(({ width }) => width)
        .map(({ x, y, right, bottom }) => [x, y, right, bottom])"""
    async with shown(server, "wall", "light") as (page, _):
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        boxes = await page.evaluate(script)
    rows = sorted({round(y) for _, y, _, _ in boxes})
    assert len(rows) < len(boxes) / 2
    for row in rows:
        cells = [box for box in boxes if round(box[1]) == row]
        assert min(x for x, _, _, _ in cells) < 0.02 * size[0]
        assert max(right for _, _, right, _ in cells) > 0.98 * size[0]
    heights = [bottom - y for _, y, _, bottom in boxes]
    assert max(heights) == pytest.approx(min(heights), abs=2)
    assert max(bottom for _, _, _, bottom in boxes) == pytest.approx(size[1], rel=0.02)


# On paper


OVERLAPS: Final = """() => {
    const texts = [...document.querySelectorAll(
        "header > p, .chart h2, .chart .entry > *, .name, .figure, th, td")]
        .filter((one) => one.checkVisibility() && one.textContent);
    const boxes = texts.map((one) => {
        const range = document.createRange();
        range.selectNodeContents(one);
        return [one.textContent, range.getBoundingClientRect()];
    });
    return boxes.flatMap(([text, box], index) => boxes.slice(index + 1)
        .filter(([, other]) => box.left < other.right - 1 && other.left < box.right - 1
            && box.top < other.bottom - 1 && other.top < box.bottom - 1)
        .map(([other]) => [text, other]));
}"""
"""Which texts are printed over each other."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_paper_is_light_and_says_when_it_was_and_no_text_is_over_another(
    server: ServerProcess, scheme: str
) -> None:
    async with shown(server, "1280", scheme) as (page, _):
        await page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        await page.emulate_media(media="print")
        await page.set_viewport_size({"width": 718, "height": 1047})  # A4 with usual margins
        year = str(datetime.now(UTC).year)
        await expect(page.locator("#printed")).to_contain_text(year)
        await expect(page.locator("#state")).to_be_hidden()
        assert await page.evaluate(OVERLAPS) == []
        newest = await page.evaluate("""[...document.querySelectorAll(".chart .line-1")]
            .map((one) => one.getBoundingClientRect().right
                <= one.closest("figure").getBoundingClientRect().right)""")
        assert all(newest)
        ink = "getComputedStyle(document.querySelector('#cpu h2')).color"
        assert await page.evaluate(ink) == "rgb(27, 31, 36)"
        await page.screenshot(path=SCREENSHOTS / f"large-paper-{scheme}.png", full_page=True)
        await page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        await expect(page.locator("#printed")).to_have_count(0)
        await page.emulate_media(media="screen")
        pdf = await page.pdf(format="A4")
    assert pdf.count(b"/Type /Page\n") in {1, 2}
