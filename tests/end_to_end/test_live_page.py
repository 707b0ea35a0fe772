"""The live page in a real browser."""

from __future__ import annotations

import errno
import itertools
import math
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from playwright.async_api import Locator, Page, expect

from hub import CloseReason, Hub, Metric, OneByOne, Settings, create_app
from hub.sampling.counters import CounterMeter
from hub.sampling.system import standard_metrics
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

AXE: Final = Path(".venv/npm/node_modules/axe-core/axe.min.js")
needs_axe: Final = pytest.mark.skipif(not AXE.exists(), reason="npm's axe-core is not in .venv/npm")
SCREENSHOTS: Final = Path("build/screenshots")
CLIENTS: Final = 'hub_clients{transport="websocket"}'
QUICK: Final = Settings(interval=0.1)
BY_DEVICE: Final = {"type": "object", "additionalProperties": {"type": "object"}}
CONTAINER: Final = {
    "cpu_limit_cores": 1.5,
    "throttled": 12.5,
    "memory_limit_bytes": 4 * 10**9,
    "memory_used_bytes": 10**9,
    "oom_kills": 3,
}
GRAPHICS: Final = {
    f"NVIDIA H200 00000000:{bus}:00.0": {"utilization": use, "memory": 1.0}
    for bus, use in (("1A", 80.0), ("9B", 5.0))
}
SIZE: Final = {"total": 100 * 10**9, "used": 12 * 10**9, "free": 83 * 10**9}
UNKNOWN: Final = "\N{EN DASH}"
MARGINS: Final = (60, 6)
"""Pixels to the left and right of what a chart plots."""
PADDING: Final = (6, 20)
"""Pixels above and below it."""

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
    await expect(page.locator("#panels:not([hidden])")).to_have_count(1)  # it may be empty


async def show_all(page: Page) -> None:
    """Have the page show whatever it may, but for what takes a token."""
    await page.locator("#network select").select_option("More interfaces")
    await live(page)
    await page.get_by_text("Temperatures").click()
    await expect(page.locator("#temperatures li").first).not_to_have_text("Asking the sensors…")
    await live(page)


async def line(page: Page, chart: str = "cpu", number: int = 1) -> str:
    """Return the path that one of a chart's lines is drawn with, by default the first."""
    return await page.locator(f"#{chart} .line-{number}").get_attribute("d") or ""


async def level(page: Page, chart: str, number: int) -> float:
    """Return where one of a chart's lines ends, as a share of its scale."""
    box = await page.locator(f"#{chart} svg").bounding_box()
    assert box is not None
    above, below = PADDING
    y = int(re.findall(r"[,V](\d+)", await line(page, chart, number))[-1]) / 10
    return (box["height"] - below - y) / (box["height"] - above - below)


async def figures(server: ServerProcess) -> dict[str, float]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{server.port}/metrics")).text
    lines = [row.rsplit(" ", 1) for row in text.splitlines() if not row.startswith("#")]
    return {name: float(value) for name, value in lines}


class Interfaces:
    """Made-up interfaces, each of which receives some kilobytes from one look to the next.

    Those whose names do not begin with ``eth`` are virtual.
    """

    RATES: Final = {
        f"{unit}_{way}": f"{told}_{unit}_per_second"
        for unit in ("bytes", "packets")
        for way, told in (("recv", "received"), ("sent", "sent"))
    }

    def __init__(self, **speeds: int) -> None:
        self.speeds = speeds
        self._looks = 0
        meter = CounterMeter(
            self._read,
            self.RATES,
            "interfaces",
            counted=self._physical,
            usual=self._physical,
            clock=lambda: self._looks,  # in seconds
        )
        self.collect = meter.collect
        self.prime = meter.prime

    def _read(self) -> Mapping[str, Any]:
        self._looks += 1
        silent = dict.fromkeys(self.RATES, 0)
        return {
            name: SimpleNamespace(**{**silent, "bytes_recv": 1000 * speed * self._looks})
            for name, speed in self.speeds.items()
        }

    @staticmethod
    def _physical(names: Iterable[str]) -> frozenset[str]:
        return frozenset(name for name in names if name.startswith("eth"))


def made_up_hub(
    settings: Settings = QUICK,
    interfaces: Interfaces | None = None,
    **families: Callable[[], object],
) -> Hub:
    """Return a hub of a machine of which some families are made up: what collects each of them."""
    metrics = {metric.name: metric for metric in standard_metrics(settings)}
    metrics.setdefault("gpu", Metric("gpu", dict, schema=BY_DEVICE))
    for name, collect in families.items():
        metrics[name] = replace(metrics[name], collect=collect, prime=None, unasked=None)
    if interfaces is not None:
        metrics["network"] = replace(
            metrics["network"], collect=interfaces.collect, prime=interfaces.prime
        )
    return Hub(settings, metrics=metrics.values())


def forbidden() -> object:
    raise PermissionError(errno.EACCES, "Permission denied")


@asynccontextmanager
async def shown(hub: Hub, query: str = "", **options: Any) -> AsyncIterator[Page]:  # noqa: ANN401 # Playwright's
    """Show the page of a hub that lives as long."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub.lifespan())
        port = await stack.enter_async_context(surviving(hub))
        url = f"http://127.0.0.1:{port}/{query}"
        page = await stack.enter_async_context(open_page(url, **options))
        await live(page)
        yield page


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
        await page.get_by_text("10 min", exact=True).click()
        assert page.url == f"{url}?range=10m"
        await expect(page.locator("#cpu .scale")).to_contain_text("10 min")
        await page.reload()
        await live(page)
        assert await page.get_by_role("radio", name="10 min").is_checked()
        await expect(page.locator("#cpu .scale")).to_contain_text("10 min")


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


async def test_the_head_says_what_machine_it_is_and_for_how_long_it_is_up(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        name = (await http.get(f"{url}api/system/info")).json()["name"]
    async with open_page(url) as page:
        await live(page)
        head = page.locator("#host")
        await expect(head).to_have_text(
            re.compile(rf"^{re.escape(name)} · up .* min · \w+ · \d+ p")
        )
        await expect(page).to_have_title(re.compile(rf"^{re.escape(name)} · CPU \d+ %$"))


async def test_a_machine_that_keeps_its_name_private_is_known_by_its_address() -> None:
    with start_hub("--no-identity") as server:
        async with open_page(f"http://127.0.0.1:{server.port}/", expected="404") as page:
            await live(page)
            told = re.compile(rf"^127\.0\.0\.1:{server.port} · up .* min$")
            await expect(page.locator("#host")).to_have_text(told)


async def test_what_processors_spend_their_time_with_is_stacked() -> None:
    spent = {"user": 30.0, "system": 20.0, "iowait": 0.0, "steal": 10.0, "idle": 40.0}
    async with shown(made_up_hub(cpu_times=lambda: spent)) as page:
        legend = page.locator("#cpu_times dl")
        await expect(legend).to_have_text("user30 %system20 %iowait0 %steal10 %")
        await eventually(lambda: line(page, "cpu_times"), lambda path: len(points(path)) > 2)
        levels = [await level(page, "cpu_times", number) for number in (1, 2, 4, 6)]
        assert levels == pytest.approx([0.3, 0.5, 0.5, 0.6], abs=0.01)


async def test_what_a_machine_has_nothing_to_say_of_takes_no_room() -> None:
    unlimited = {"memory_used_bytes": 10**9, "oom_kills": 0}
    hub = made_up_hub(
        container=lambda: unlimited, pressure=dict, gpu=dict, disks=dict, disks_bytes=dict
    )
    async with shown(hub) as page:
        await expect(page.locator("#process_memory")).to_be_visible()
        for name in ("pressure", "container", "gpu", "disks"):
            await expect(page.locator(f"#{name}")).to_be_hidden()


async def test_the_limits_of_a_container_have_a_chart() -> None:
    async with shown(made_up_hub(container=lambda: CONTAINER)) as page:
        chart = page.locator("#container")
        await expect(chart.locator("dl")).to_have_text("throttled13 %memory25 %")
        told = re.compile("^Container 1.5 cores, 4 GB, 3 . out of memory$")
        await expect(chart.locator("h2")).to_have_text(told)


async def test_what_is_relative_to_a_container_says_so() -> None:
    hub = made_up_hub(
        Settings(interval=0.1, relative_to="container"), cpu=lambda: 1.0, memory=lambda: 2.0
    )
    async with shown(hub) as page:
        await expect(page.locator("#cpu h2")).to_have_text("CPU of the container")
        await expect(page.locator("#memory h2")).to_have_text("Memory of the container")
        await expect(page.locator("#disk h2")).to_have_text("Disk")


async def test_each_graphics_processor_has_a_line_and_as_much_of_a_name_as_it_takes() -> None:
    async with shown(made_up_hub(gpu=lambda: GRAPHICS)) as page:
        await expect(page.locator("#gpu dl")).to_have_text("1A:00.080 %9B:00.05.0 %")
        await expect(page.locator("#gpu dt").first).to_have_attribute("title", next(iter(GRAPHICS)))


async def test_file_systems_have_sizes_and_one_that_cannot_be_read_says_why() -> None:
    hub = made_up_hub(
        disks=lambda: OneByOne({"/": lambda: 12.6, "/mnt/x": forbidden}),
        disks_bytes=lambda: OneByOne({"/": lambda: SIZE, "/mnt/x": forbidden}),
    )
    async with shown(hub) as page:
        rows = page.locator("#disks li")
        await expect(rows).to_have_text(
            ["/12 of 100 GB · 13 %", f"/mnt/x{UNKNOWN}Permission denied"]
        )
        bar = page.get_by_role("meter", name="/", exact=True)
        await expect(bar).to_have_attribute("aria-valuetext", "12 of 100 GB · 13 %")
        await expect(page.get_by_role("meter", name="/mnt/x")).to_have_count(0)


async def test_what_fails_as_a_whole_says_so_in_its_panel() -> None:
    async with shown(made_up_hub(cores=forbidden, disks=forbidden)) as page:
        for name in ("cores", "disks"):
            panel = page.locator("section", has=page.locator(f"#{name}"))
            await expect(panel.locator("> .note")).to_have_text("Permission denied")


async def test_temperatures_are_asked_for_only_while_their_panel_is_open() -> None:
    readings = OneByOne({"cpu": lambda: 55.4, "acpitz": forbidden})
    hub = made_up_hub(temperatures=lambda: readings)

    def asked() -> bool:
        return any(metric.name == "temperatures" for metric in hub.demand())

    async with shown(hub) as page:
        urls: list[str] = []
        page.on("websocket", lambda socket: urls.append(socket.url))

        async def subscriptions() -> list[bool]:
            return ["temperatures" in url for url in urls]

        assert not asked()
        await page.get_by_text("Temperatures").click()
        rows = page.locator("#temperatures li")
        await expect(rows).to_have_text(["cpu55 °C", f"acpitz{UNKNOWN}Permission denied"])
        assert asked()
        await page.get_by_text("Temperatures").click()
        await eventually(subscriptions, lambda found: found == [True, False])
        await live(page)


async def test_a_machine_without_sensors_says_so() -> None:
    async with shown(made_up_hub(temperatures=dict)) as page:
        await page.get_by_text("Temperatures").click()
        await expect(page.locator("#temperatures")).to_have_text("No sensor tells")


# Its devices


async def devices(page: Page, chart: str = "network") -> list[str]:
    """Return what a chart's list offers, but for the last of it: more devices, or fewer."""
    return (await page.locator(f"#{chart} option").all_inner_texts())[:-1]


async def test_one_of_the_interfaces_can_be_chosen_and_is_kept_in_the_address() -> None:
    hub = made_up_hub(interfaces=Interfaces(eth0=5, eth1=30, lo=100))
    async with shown(hub) as page:
        received = page.locator("#network dd").first
        await expect(received).to_have_text("35 kB/s")
        assert await devices(page) == ["total", "eth0", "eth1"]
        await page.locator("#network select").select_option("eth1")
        await expect(received).to_have_text("30 kB/s")
        assert page.url.endswith("?network=eth1")
        await page.reload()
        await expect(received).to_have_text("30 kB/s")
        assert await page.locator("#network select").input_value() == "eth1"
        await page.locator("#network select").select_option("total")
        await expect(received).to_have_text("35 kB/s")
        assert page.url.endswith("/")


async def test_an_interface_that_is_chosen_and_vanishes_leaves_a_gap_and_stays_in_the_list() -> (
    None
):
    interfaces = Interfaces(eth0=5, eth1=30)
    async with shown(made_up_hub(interfaces=interfaces), "?network=eth1") as page:
        received = page.locator("#network dd").first
        await expect(received).to_have_text("30 kB/s")
        del interfaces.speeds["eth1"]
        await expect(received).to_have_text(UNKNOWN)
        await page.reload()
        await expect(received).to_have_text(UNKNOWN)
        assert await devices(page) == ["total", "eth0", "eth1"]
        interfaces.speeds["eth1"] = 40
        await expect(received).to_have_text("40 kB/s")
        # The line begins anew at the new height; where a tick came late it may elsewhere, too.
        await eventually(
            lambda: line(page, "network"),
            lambda path: len(set(re.findall(r"M\d+,(\d+)", path))) == 2,
        )


async def test_virtual_interfaces_can_be_chosen_from_a_longer_list() -> None:
    hub = made_up_hub(interfaces=Interfaces(eth0=5, lo=100))
    async with shown(hub) as page:
        choice = page.locator("#network select")
        await choice.select_option("More interfaces")
        await eventually(lambda: devices(page), lambda found: found == ["total", "eth0", "lo"])
        assert page.url.endswith("?devices=all")
        await choice.select_option("lo")
        await expect(page.locator("#network dd").first).to_have_text("100 kB/s")
        await page.reload()
        await expect(page.locator("#network dd").first).to_have_text("100 kB/s")
        await choice.select_option("total")
        await expect(page.locator("#network dd").first).to_have_text("5 kB/s")
        await choice.select_option("Fewer interfaces")
        await eventually(lambda: devices(page), lambda found: found == ["total", "eth0"])
        assert page.url.endswith("/")


async def test_arrow_keys_in_a_list_choose_from_it() -> None:
    async with shown(made_up_hub(interfaces=Interfaces(eth0=5, eth1=30))) as page:
        await eventually(lambda: devices(page), lambda found: len(found) == 3)
        await page.locator("#network select").focus()
        await page.keyboard.press("ArrowDown")
        await expect(page.locator("#network dd").first).to_have_text("5 kB/s")
        await expect(page.locator("#network .time")).to_be_empty()


# The families of others


async def test_a_hub_of_fewer_families_has_fewer_charts() -> None:
    metrics = [one for one in standard_metrics(QUICK) if one.name in {"cpu", "network"}]
    hub = Hub(Settings(interval=0.1, tokens=(TOKEN,)), metrics=metrics)  # one for nothing
    async with shown(hub, "?devices=all") as page:
        await expect(page.locator("figure:visible h2")).to_have_text(["CPU", "Network"])
        await expect(page.locator("#panels section")).to_have_count(4)
        await expect(page.locator("#panels section:visible")).to_have_count(0)


async def test_an_application_s_numbers_by_member_have_a_line_each() -> None:
    hub = Hub(QUICK)
    asked = OneByOne({"db1": lambda: 3, "db2": lambda: 45.25, "db3": forbidden})
    schema = {"type": "object", "additionalProperties": {"type": "number"}}
    hub.register(Metric("latency", lambda: asked, schema=schema, unit="ms"))
    hub.register(Metric("cache", lambda: 2 * 10**9, unit="bytes"))
    hub.register(Metric("state", lambda: "fine"))
    async with shown(hub) as page:
        own = page.locator("figure", has_text="latency")
        await expect(own.locator("h2")).to_have_text("latency ms")
        await expect(own.locator("dl")).to_have_text("db13db245.3")
        await expect(page.locator("figure", has_text="cache").locator("dd")).to_have_text("2 GB")
        await expect(own.locator(".note")).to_have_text("db3: Permission denied")
        await expect(page.locator("figure", has_text="state")).to_be_hidden()


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


async def assert_all_is_shown(page: Page, hub: Hub, chart: str = "cpu") -> None:
    """Stop the hub; then the chart must show its whole history, in order, without further gaps."""
    await hub.stop()
    box = await page.locator(f"#{chart} svg").bounding_box()
    assert box is not None
    times = await kept(hub)
    wanted = places(times, box["width"])
    drawn = await eventually(
        lambda: line(page, chart), lambda path: len(points(path)) >= len(wanted)
    )
    # All may have moved to the left: the axis goes on with the clock once the hub is missed.
    found = points(drawn)
    to_last = [place - found[-1] for place in found]
    assert to_last == pytest.approx([place - wanted[-1] for place in wanted], abs=0.2)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert drawn.count("M") == 1 + sum(gap > 500 for gap in gaps), "a gap"


SPARSE: Final = Settings(interval=0.2)
NARROW: Final = {"width": 700, "height": 900}  # so that charts are wide: two pixels for each value


async def test_the_charts_begin_with_the_hub_s_history_that_nobody_has_asked_for() -> None:
    hub = Hub(SPARSE)
    async with hub.lifespan(), surviving(hub) as port:
        await eventually(lambda: kept(hub), lambda times: len(times) > 10)
        async with open_page(f"http://127.0.0.1:{port}/", expected=LOST, viewport=NARROW) as page:
            await live(page)
            for chart in ("cpu", "network", "disk_io"):
                await assert_all_is_shown(page, hub, chart)


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
                    await show_all(page)
                    await page.get_by_label("Token").fill(TOKEN)
                    await page.get_by_label("Token").press("Enter")
                    await expect(page.locator("#processes tr").first).to_be_visible()
                    await page.locator("#network select").select_option("Fewer interfaces")
                    await live(page)


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


@dataclass(frozen=True, slots=True)
class Look:
    """How a browser shows the page: its colours, and how wide it is."""

    scheme: str
    width: int

    @property
    def options(self) -> dict[str, Any]:
        return {
            "color_scheme": self.scheme,
            "viewport": {"width": self.width, "height": 900},
        }


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[320, 1280])
def look(request: pytest.FixtureRequest, scheme: str) -> Look:
    return Look(scheme, request.param)


async def assert_accessible(page: Page, name: str) -> None:
    """Hold the page to WCAG 2.2 AA; leave a screenshot of that name."""
    await page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await page.evaluate("(tags) => axe.run({ runOnly: tags })", tags)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    assert len(found["passes"]) > 10
    wrong = [
        (rule["id"], node["html"])
        for rule in (*found["violations"], *found["incomplete"])
        for node in rule["nodes"]
    ]
    # axe cannot tell the background of SVG text. It is the panel's, as for all other text.
    unknown = [("color-contrast", html) for _, html in wrong if html.startswith("<text")]
    assert [one for one in wrong if one not in unknown] == []


@needs_axe
async def test_it_keeps_to_wcag_aa(url: str, look: Look) -> None:
    async with open_page(url, **look.options) as page:
        await live(page)
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_function(PROCESSES_ARE_LIVE, polling=50)
        await assert_accessible(page, f"page-{look.scheme}-{look.width}")


@needs_axe
async def test_all_that_it_may_show_keeps_to_wcag_aa(look: Look) -> None:
    hub = made_up_hub(
        Settings(interval=0.1, relative_to="container"),
        Interfaces(eth0=5, eth1=30, docker0=100),
        cpu=lambda: 17.0,
        memory=lambda: 25.0,
        cores=forbidden,
        container=lambda: CONTAINER,
        gpu=lambda: GRAPHICS,
        disks=lambda: OneByOne({"/": lambda: 12.6, "/mnt/x": forbidden}),
        disks_bytes=lambda: OneByOne({"/": lambda: SIZE, "/mnt/x": forbidden}),
        temperatures=lambda: OneByOne({"cpu": lambda: 55.4, "acpitz": forbidden}),
    )
    hub.register(Metric("queue_depth", lambda: {"in": 3, "out": 4}))
    async with shown(hub, **look.options) as page:
        await show_all(page)
        await page.locator("#network select").select_option("docker0")
        await expect(page.locator("#network dd").first).to_have_text("100 kB/s")
        await assert_accessible(page, f"all-{look.scheme}-{look.width}")


@pytest.mark.parametrize("width", [320, 1280])
async def test_the_layout_neither_shifts_nor_overflows(url: str, width: int) -> None:
    script = """window.shifts = [];
    const note = ({ value, sources }) => [value, ...sources.map(({ node }) => node?.id)];
    new PerformanceObserver((list) => shifts.push(...list.getEntries().map(note)))
        .observe({ type: "layout-shift", buffered: true });"""
    size = {"width": width, "height": 640}
    async with open_page(url, script=script, viewport=size) as page:
        await live(page)
        before = await line(page)
        await eventually(lambda: line(page), lambda path: path != before)
        assert await page.evaluate("shifts") == []
        wide = "document.documentElement.scrollWidth"
        assert await page.evaluate(wide) == width


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
        await expect(spoken).to_have_text(
            re.compile(r"^At .*: all processors .* %( high| critical)?$")
        )
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
