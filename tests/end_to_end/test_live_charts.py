"""What the live page's charts draw, read from their geometry in a real browser."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from hub import Settings
from tests.end_to_end.test_live_page import (
    PADDING,
    UNKNOWN,
    Interfaces,
    Look,
    assert_accessible,
    line,
    live,
    made_up_hub,
    needs_axe,
    points,
    shown,
)
from tests.support.browser import eventually, needs_chromium, open_page
from tests.support.past import kept_snapshots
from tests.support.servers import start_hub, surviving

pytestmark = [pytest.mark.long, needs_chromium, pytest.mark.usefixtures("browser")]

QUICK: Final = Settings(interval=0.1)
HISTORY: Final = "/api/system/metrics/history"

UNANSWERED: Final = """const [ask, limit] = [fetch, AbortSignal.timeout];
AbortSignal.timeout = () => limit.call(AbortSignal, 2000);
window.fetch = (url, options) => !String(url).includes("/metrics/history") ? ask(url, options)
    : new Promise((_, fail) => options.signal.addEventListener("abort", () => fail(Error())));"""
"""A script that has no request for the past answered, and waits less long for any answer."""


class Spiky:
    """A load that is steady, but for those ticks that it is told of."""

    def __init__(self, steady: float = 10.0, height: float = 90.0) -> None:
        self._steady = steady
        self._height = height
        self._spikes = 0

    def spike(self) -> None:
        """Be high for one tick."""
        self._spikes += 1

    def collect(self) -> float:
        if not self._spikes:
            return self._steady
        self._spikes -= 1
        return self._height


class TwoWay(Interfaces):
    """Made-up interfaces that send a quarter of what they receive."""

    def _read(self) -> Mapping[str, Any]:
        found = super()._read()
        for one in found.values():
            one.bytes_sent = one.bytes_recv // 4
        return found


def corners(path: str) -> list[tuple[float, float]]:
    """Return the corners of a path of straight lines, in pixels."""
    return [(int(x) / 10, int(y) / 10) for x, y in re.findall(r"[ML](-?\d+),(-?\d+)", path)]


def heights(path: str) -> list[float]:
    """Return all heights that a path goes through, in pixels from the top."""
    return [int(y) / 10 for y in re.findall(r"[,V](-?\d+)", path)]


async def path_of(page: Page, selector: str) -> str:
    return await page.locator(selector).first.get_attribute("d") or ""


async def share(page: Page, y: float, chart: str = "cpu") -> float:
    """Return what share of a chart's scale a height is."""
    box = await page.locator(f"#{chart} svg").bounding_box()
    assert box is not None
    above, below = PADDING
    return (box["height"] - below - y) / (box["height"] - above - below)


# Peaks


async def test_a_spike_has_its_height_in_a_long_range_and_the_mean_has_not() -> None:
    """Both one of the past and one that the page sees live."""
    cpu = Spiky()
    hub = made_up_hub(QUICK, cpu=cpu.collect)

    async def bands() -> list[tuple[float, float]]:
        return corners(await path_of(page, "#cpu .band-1"))

    async def kept() -> int:
        return len(kept_snapshots(hub, 60))

    async with hub.lifespan(), surviving(hub) as port:
        await eventually(kept, lambda count: count > 12)
        cpu.spike()
        await eventually(kept, lambda count: count > 40)
        async with open_page(f"http://127.0.0.1:{port}/?range=10m") as page:
            await live(page)
            await eventually(bands, bool)
            past = await path_of(page, "#cpu .band-1")
            assert await share(page, min(heights(past))) == pytest.approx(0.9, abs=0.01)
            mean = await share(page, min(heights(await line(page))))
            assert mean < 0.5
            places = [x for x, y in corners(past) if y == min(heights(past))]
            assert len(places) == 1
            await page.reload()
            await live(page)
            cpu.spike()

            async def high() -> list[float]:
                found = await bands()
                return sorted({x for x, y in found if y == min(heights(past))})

            await eventually(high, lambda found: len(found) == 2)


async def test_the_short_range_has_no_bands_and_draws_each_value() -> None:
    cpu = Spiky()
    async with shown(made_up_hub(QUICK, cpu=cpu.collect)) as page:
        cpu.spike()

        async def highest() -> float:
            return await share(page, min(heights(await line(page)), default=999))

        await eventually(highest, lambda found: found == pytest.approx(0.9, abs=0.01))
        assert not await path_of(page, "#cpu .band-1")


async def test_the_past_in_buckets_and_the_feed_join_without_gap_and_without_duplicate() -> None:
    hub = made_up_hub(QUICK, interfaces=Interfaces(eth0=5))

    async def kept() -> int:
        return len(kept_snapshots(hub, 60))

    async with hub.lifespan(), surviving(hub) as port:
        await eventually(kept, lambda count: count > 60)
        async with open_page(f"http://127.0.0.1:{port}/") as page:
            await live(page)
            asked: list[str] = []
            sockets: list[str] = []
            page.on("request", lambda one: asked.append(one.url) if HISTORY in one.url else None)
            page.on("websocket", lambda one: sockets.append(one.url))
            await page.get_by_text("10 min", exact=True).click()
            await live(page)

            async def drawn() -> list[float]:
                return points(await line(page))

            before = await eventually(drawn, lambda found: len(found) > 4)
            await eventually(drawn, lambda found: len(found) > len(before) + 3)
            path = await line(page)
        queries = [parse_qs(urlsplit(url).query) for url in asked]
        assert sorted(one["aggregate"][0] for one in queries) == ["max", "mean"]
        (query,) = [parse_qs(urlsplit(url).query) for url in sockets]
        assert "since" in query
        assert query["interval"] == ["0.1"]
    assert path.count("M") == 1
    steps = [later - earlier for earlier, later in itertools.pairwise(points(path))]
    assert all(0 < step < 3 for step in steps), steps


async def test_where_the_past_is_not_answered_the_page_goes_on_with_the_feed() -> None:
    async with shown(made_up_hub(QUICK, cpu=Spiky().collect), script=UNANSWERED) as page:
        await page.get_by_text("10 min", exact=True).click()
        await expect(page.locator("#state[data-state=connecting]")).to_be_visible()
        await live(page)

        async def drawn() -> list[float]:
            return points(await line(page))

        await eventually(drawn, lambda found: len(found) > 1)


async def fold(page: Page, script: str) -> Any:  # noqa: ANN401 # whatever the script returns
    return await page.evaluate(
        f"""async () => {{
            const {{ Series }} = await import("./static/series.js");
            const at = (second) => new Date(Date.UTC(2026, 0, 1) + 1000 * second).toISOString();
            const series = new Series([({{ value }}) => value], 60, 5);
            const add = (second, value) => series.add({{ timestamp: at(second), value }});
            {script}
            const seconds = series.times.map((time) => (time - Date.UTC(2026, 0, 1)) / 1000);
            return {{ seconds, means: series.columns[0], peaks: series.peaks[0] }};
        }}"""
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with start_hub() as server:
        yield f"http://127.0.0.1:{server.port}/"


async def test_values_are_folded_into_the_mean_and_the_highest_of_each_bucket(url: str) -> None:
    async with open_page(url) as page:
        found = await fold(page, "[1, 2, 9, null, 4, 7].forEach((value, at) => add(at, value));")
    assert found == {"seconds": [4, 5], "means": [4, 7], "peaks": [9, 7]}


async def test_the_first_live_value_is_not_folded_into_a_bucket_of_the_past(url: str) -> None:
    past = "[{ timestamp: at(4), value: %d }, { timestamp: at(9), value: %d }]"
    script = f"""series.load({{ means: {past % (1, 2)}, peaks: {past % (3, 4)} }});
    add(9.5, 6);
    add(10, 8);"""
    async with open_page(url) as page:
        found = await fold(page, script)
    assert found["seconds"] == [4, 9, 9.5, 10]
    assert (found["means"], found["peaks"]) == ([1, 2, 6, 8], [3, 4, 6, 8])


async def test_where_the_clock_is_set_back_a_new_bucket_begins(url: str) -> None:
    async with open_page(url) as page:
        found = await fold(page, "add(20, 1); add(21, 2); add(26, 3); add(20.5, 8); add(22, 4);")
    assert found["seconds"] == [22]
    assert (found["means"], found["peaks"]) == ([6], [8])


# Reading all charts at one time


CURSORS: Final = """() => [...document.querySelectorAll("figure.chart")]
    .filter((figure) => figure.checkVisibility())
    .map((figure) => {
        const cursor = figure.querySelector(".cursor");
        const seen = cursor.getAttribute("visibility") === "visible";
        const { width } = figure.querySelector("svg").getBoundingClientRect();
        const place = (cursor.getAttribute("x1") - 60) / (width - 66);
        return [seen, place, figure.querySelector(".time").textContent];
    })"""


async def test_the_pointer_over_one_chart_reads_all_of_them(url: str) -> None:
    async with open_page(url) as page:
        await live(page)
        await eventually(lambda: line(page), lambda path: len(points(path)) > 3)
        await page.locator("#load svg").hover()
        found = await page.evaluate(CURSORS)
        assert len(found) > 6
        assert all(seen for seen, _, _ in found)
        assert [place for _, place, _ in found] == pytest.approx([found[0][1]] * len(found))
        assert len({time for _, _, time in found}) == 1
        await page.keyboard.press("Escape")
        assert not any(seen or time for seen, _, time in await page.evaluate(CURSORS))


async def test_arrow_keys_in_one_chart_read_all_of_them_at_that_time() -> None:
    clock = iter(range(10_000))
    hub = made_up_hub(QUICK, cpu=lambda: float(next(clock) % 100), memory=lambda: 25.0)
    async with shown(hub) as page:
        await eventually(lambda: line(page), lambda path: len(points(path)) > 12)
        await hub.stop()
        await page.locator("#memory").focus()
        newest = await page.locator("#cpu dd").first.inner_text()
        for _ in range(5):
            await page.keyboard.press("ArrowLeft")
        at_that_time = await page.locator("#cpu dd").first.inner_text()
        assert float(newest.split()[0]) - float(at_that_time.split()[0]) == pytest.approx(5, abs=1)
        found = await page.evaluate(CURSORS)
        assert all(seen for seen, _, _ in found)
        await page.keyboard.press("Escape")
        await expect(page.locator("#cpu dd").first).to_have_text(newest)
        assert not any(seen for seen, _, _ in await page.evaluate(CURSORS))


# The scale


async def labels(page: Page, chart: str) -> list[str]:
    """Return the labels of a chart's scale of values, from the top."""
    found = page.locator(f"#{chart} .scale text[text-anchor=end]")
    return [text for text in await found.all_text_contents() if text != "now"][::-1]


async def test_a_peak_that_has_left_the_window_does_not_hold_the_scale(url: str) -> None:
    script = """async () => {
        const [{ Chart }, { Series }] = await Promise.all(
            ["./static/chart.js", "./static/series.js"].map((name) => import(name)));
        const figure = document.querySelector("#cpu");
        figure.id = "own";
        figure.replaceChildren(Object.assign(document.createElement("h2"), { textContent: "x" }));
        const chart = new Chart(figure, { labels: ["x"], format: (value) => value.toFixed(0) });
        const series = new Series([({ value }) => value], 60);
        const tops = [];
        await new Promise((resolve) => setTimeout(resolve, 200));
        for (let second = 0; second < 63; second += 1) {
            const timestamp = new Date(Date.UTC(2026, 0, 1) + 1000 * second).toISOString();
            series.add({ timestamp, value: second === 1 ? 1000 : 3 });
            chart.draw(series, series.columns, 1);
            const texts = [...figure.querySelectorAll(".scale text")].map((one) => one.textContent);
            tops.push(Math.max(...texts.map(Number).filter((value) => value >= 0)));
        }
        return tops;
    }"""
    async with open_page(url) as page:
        await live(page)
        tops = await page.evaluate(script)
    assert tops[1:62] == [1000] * 61
    assert tops[62] == 3


@pytest.mark.parametrize(
    ("value", "unit"), [(0, "B/s"), (7, "kB/s"), (900, "kB/s"), (1300, "kB/s"), (45_000, "kB/s")]
)
async def test_the_labels_of_a_scale_have_one_unit_and_even_decimals(value: int, unit: str) -> None:
    hub = made_up_hub(QUICK, interfaces=Interfaces(eth0=value))
    async with shown(hub) as page:
        await expect(page.locator("#network dd").first).not_to_have_text(UNKNOWN)
        found = await labels(page, "network")
    assert 2 <= len(found) <= 6
    figures, units = zip(*(label.split() for label in found), strict=True)
    assert len(set(units)) == 1, found
    assert len({len(figure.partition(".")[2]) for figure in figures}) == 1, found
    assert unit[-3:] == units[0][-3:]
    if units[0] == "B/s":
        assert all(figure.isdigit() for figure in figures)


async def test_scales_end_at_whole_steps(url: str) -> None:
    ends = [(0, 1), (0, 0.3), (0, 4.2), (0, 7), (0, 11), (0, 100), (0, 101), (-40, 5), (-3e6, 8e6)]
    script = """async (ends) => {
        const { scaleOf } = await import("./static/scale.js");
        return ends.map(([low, high]) => scaleOf(low, high));
    }"""
    async with open_page(url) as page:
        scales = await page.evaluate(script, ends)
    for (low, high), scale in zip(ends, scales, strict=True):
        assert scale["low"] <= low < high <= scale["high"] + 1e-9
        assert 3 <= len(scale["ticks"]) <= 6
        assert 0 in scale["ticks"]
    assert [scale["high"] for scale in scales[:7]] == pytest.approx([1, 0.3, 5, 8, 15, 100, 150])


async def test_percentages_of_ten_and_more_have_no_decimals_whatever_is_rounded(url: str) -> None:
    script = """async (values) => {
        const { percent } = await import("./static/format.js");
        return values.map((value) => percent(value));
    }"""
    async with open_page(url) as page:
        found = await page.evaluate(script, [0, 0.04, 9.94, 9.96, 10, 99.6])
    assert found == ["0 %", "0.0 %", "9.9 %", "10 %", "10 %", "100 %"]


# Downward from zero


async def test_what_is_sent_is_drawn_downward_from_what_is_received() -> None:
    async with shown(made_up_hub(QUICK, TwoWay(eth0=40))) as page:
        await eventually(lambda: line(page, "network", 2), lambda path: len(points(path)) > 2)
        zero = float(await page.locator("#network .zero").get_attribute("y1") or "nan")
        received = set(heights(await line(page, "network", 1)))
        sent = set(heights(await line(page, "network", 2)))
        area = heights(await path_of(page, "#network .area-2"))
        found = await labels(page, "network")
    assert len(received) == len(sent) == 1
    assert zero - received.pop() == pytest.approx(4 * (sent.copy().pop() - zero), abs=0.5)
    assert sorted(set(area)) == pytest.approx([zero, sent.pop()], abs=0.1)
    assert found == ["40 kB/s", "30 kB/s", "20 kB/s", "10 kB/s", "0 kB/s", "10 kB/s"]


# The members of families over time


async def test_the_interfaces_have_lines_both_ways_until_escape() -> None:
    """Whose past is there at once, and which go on live."""
    hub = made_up_hub(QUICK, TwoWay(eth0=40, eth1=20))
    async with shown(hub) as page:
        await eventually(lambda: line(page, "network"), lambda path: len(points(path)) > 8)
        button = page.locator("#network h2 button")
        await button.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Interfaces")
        lines = dialog.locator(".line")
        await expect(lines).to_have_count(4)

        async def paths() -> list[str]:
            return [str(await one.get_attribute("d")) for one in await lines.all()]

        found = await eventually(paths, lambda paths: all(len(points(one)) > 8 for one in paths))
        zero = float(await dialog.locator(".zero").get_attribute("y1") or "nan")
        away = [zero - heights(path)[-1] for path in found]
        assert away == pytest.approx([away[0], away[0] / 2, -away[0] / 4, -away[0] / 8], abs=0.3)
        names = await dialog.locator("dt").all_inner_texts()
        assert names == ["eth0", "eth1", "eth0 sent", "eth1 sent"]
        await eventually(paths, lambda paths: len(points(paths[0])) > len(points(found[0])) + 3)
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(button).to_be_focused()


async def test_eight_file_systems_have_lines_and_the_rest_are_named() -> None:
    shares = {f"/mnt/{number}": 10.0 * number for number in range(10)}
    async with shown(made_up_hub(QUICK, disks=lambda: shares), "?range=10m") as page:
        await page.locator("#disk h2 button").click()
        dialog = page.get_by_role("dialog", name="File systems")
        await expect(dialog.locator(".line")).to_have_count(8)
        await expect(dialog.locator("dt")).to_have_text([f"/mnt/{n}" for n in range(9, 1, -1)])
        await expect(dialog.locator(".rest")).to_have_text("Not drawn: /mnt/1, /mnt/0")
        await page.get_by_role("button", name="Close").click()
        await expect(dialog).to_have_count(0)


async def test_processors_are_rows_of_a_heat_map() -> None:
    async with shown(made_up_hub(QUICK, cores=lambda: [5.0, 97.0, 50.0, 97.0])) as page:
        await page.locator("#cpu h2 button").click()
        dialog = page.get_by_role("dialog", name="Processors")

        async def rows(shade: int) -> list[float]:
            path = await dialog.locator(f".heat-{shade}").get_attribute("d") or ""
            return sorted({float(top) for top in re.findall(r"M[\d.]+,([\d.]+)", path)})

        hot = await eventually(lambda: rows(5), lambda found: len(found) == 2)
        (cold,) = await rows(1)
        (warm,) = await rows(3)
        assert [cold, hot[0], warm, hot[1]] == sorted([cold, warm, *hot])
        image = dialog.get_by_role("img")
        await expect(image).to_have_attribute("aria-label", re.compile("the busiest is 1 with 97"))


async def test_sensors_have_lines_over_time_and_devices_both_ways() -> None:
    hub = made_up_hub(QUICK, temperatures=lambda: {"cpu": 55.4, "acpitz": 31.0})
    async with shown(hub) as page:
        await page.get_by_text("Temperatures").click()
        await page.get_by_role("button", name="Over time").click()
        dialog = page.get_by_role("dialog", name="Sensors")
        await expect(dialog.locator("dl")).to_have_text("cpu55 °Cacpitz31 °C")
        await page.keyboard.press("Escape")
        await page.locator("#disk_io h2 button").click()
        await expect(page.get_by_role("dialog", name="Devices")).to_be_visible()


@needs_axe
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_members_keep_to_wcag_aa(scheme: str, width: int) -> None:
    hub = made_up_hub(QUICK, TwoWay(eth0=40, eth1=20), cores=lambda: [5.0, 97.0])
    look = Look(scheme, width)
    async with shown(hub, **look.options) as page:
        for chart, name in (("network", "Interfaces"), ("cpu", "Processors")):
            await page.locator(f"#{chart} h2 button").click()
            await expect(page.get_by_role("dialog", name=name).get_by_role("img")).to_be_visible()
            await assert_accessible(page, f"members-{chart}-{scheme}-{width}")
            await page.keyboard.press("Escape")


# Values of note


async def marks(page: Page, chart: str) -> dict[str, float]:
    """Return where the marks of a chart are, as shares of its scale."""
    found = await page.locator(f"#{chart} .marks line").all()
    values = [str(await one.get_attribute("data-value")) for one in found]
    places = [float(await one.get_attribute("y1") or "nan") for one in found]
    return {value: await share(page, y, chart) for value, y in zip(values, places, strict=True)}


async def sign(page: Page, chart: str) -> str:
    """Return what stands before a chart's first reading."""
    script = """(reading) => getComputedStyle(reading, "::before").content"""
    content: str = await page.locator(f"#{chart} dd").first.evaluate(script)
    return content.strip('" ')


async def test_percentages_have_marks_and_readings_beyond_them_have_signs() -> None:
    hub = made_up_hub(QUICK, cpu=lambda: 79.9, memory=lambda: 80.0, disk=lambda: 95.0)
    async with shown(hub) as page:
        for chart in ("cpu", "memory", "disk"):
            assert await marks(page, chart) == pytest.approx({"80": 0.8, "95": 0.95}, abs=0.01)
        assert [await sign(page, chart) for chart in ("cpu", "memory", "disk")] == [
            "none",
            "\N{BLACK UP-POINTING TRIANGLE}",
            "\N{BLACK UP-POINTING TRIANGLE}" * 2,
        ]
        spoken = await page.locator("#disk svg").get_attribute("aria-label")
        assert str(spoken).endswith("used 95 % critical")
        assert await marks(page, "cpu_times") == {}


async def test_the_load_has_a_mark_at_the_number_of_processors() -> None:
    hub = made_up_hub(QUICK, cores=lambda: [5.0] * 8, load=lambda: [2.0, 9.0, 1.0])
    async with shown(hub) as page:
        found = await eventually(lambda: marks(page, "load"), bool)
        assert found == pytest.approx({"8": 0.8}, abs=0.01)
        states = [
            await one.get_attribute("data-state") for one in await page.locator("#load dd").all()
        ]
        assert states == ["", "high", ""]
