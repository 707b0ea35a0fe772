"""What the live page costs the browser and the hub: `python -m benchmarks.page`."""

from __future__ import annotations

import argparse
import re
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import machine, output
from benchmarks.bench import report_to, running_hub
from benchmarks.browser import browser
from benchmarks.measurement import percentile
from benchmarks.report import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Browser, Page, Response

_TERMS: Final = """\
The page of a hub on this machine in headless Chromium without a graphics card, with a fresh profile
each time. **First chart** is from the beginning of the navigation to the moment at which the first
chart has its line, and **with history** to the one at which the line reaches back to the hub's
start. **Weight** is the sum of all answers of a first visit, the feed's messages left out: head and
body as the network carries them, and then the bodies as the page has them. **A frame** draws the
ten charts of a machine without containers and graphics processors, an hour of seconds in each of
their 22 lines, after one more message: the time of script and layout, and then the time from
picture to picture while the page does so for each of them, which is 16.7 ms where the browser keeps
up. The page does it once a second. The lines are waves with a tenth of noise, or nothing but noise.
**In buckets** of five seconds, as the page draws an hour, they have bands up to the highest
values."""

_WATCH: Final = """
const path = () => document.querySelector("#cpu .line-1")?.getAttribute("d") ?? "";
window.first = window.full = null;
new MutationObserver(() => {
    const line = path();
    if (line) window.first ??= performance.now();
    if (line.split(/[MLV]/).length > 10) window.full ??= performance.now();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["d"] });
"""

_DRAW: Final = """async ([noise, bucket]) => {
    const { Chart } = await import("./static/chart.js");
    const { Series } = await import("./static/series.js");
    const format = (value) => value.toFixed(1);
    const lines = {
        cpu: 1, memory: 2, disk: 1, cpu_times: 6, load: 3, network: 2, disk_io: 2, pressure: 3,
        process_memory: 1, process_lag: 1,
    };
    const all = Object.values(lines).reduce((sum, count) => sum + count);
    const names = (length) => Array.from({ length }, (_, line) => `line ${line}`);
    const series = new Series(names(all).map((_, line) => (m) => m.values[line]), 3600, bucket);
    const start = Date.UTC(2026, 0, 1);
    let second = 0;
    const add = () => {
        const wave = (line) => (100 - noise) / 2 * (1 + Math.sin(line + second / 300));
        const values = names(all).map((_, line) => wave(line) + noise * Math.random());
        series.add({ timestamp: new Date(start + 1000 * second++).toISOString(), values });
    };
    for (let count = 0; count < 3600; count += 1) add();
    const charts = Object.entries(lines).map(([id, count]) => {
        const figure = document.getElementById(id);
        figure.replaceChildren(Object.assign(document.createElement("h2"), { textContent: "x" }));
        figure.hidden = false;
        const options = { labels: names(count), format, max: 100, stacked: id === "cpu_times" };
        return { chart: new Chart(figure, options), count };
    });
    const draw = () => {
        let column = 0;
        for (const { chart, count } of charts) {
            const [first, end] = [column, (column += count)];
            const columns = series.columns.slice(first, end);
            chart.draw(series, columns, bucket || 1, series.peaks?.slice(first, end));
        }
    };
    const picture = () => new Promise(requestAnimationFrame);
    await picture(); await picture();
    const took = [], apart = [];
    let before = await picture();
    for (let count = 0; count < 240; count += 1) {
        const started = performance.now();
        add();
        draw();
        document.body.getBoundingClientRect();
        took.push(performance.now() - started);
        const now = await picture();
        apart.push(now - before);
        before = now;
    }
    return { took: took.slice(20), apart: apart.slice(20), points: series.times.length };
}"""


@dataclass(frozen=True, slots=True)
class Visit:
    """A first visit: milliseconds to the first line and to the whole history, and its bytes."""

    first: float
    full: float
    sent: int
    """Of heads and bodies, compressed where the hub compresses them."""
    unpacked: int
    """Of bodies alone."""


def _visit(running: Browser, url: str) -> Visit:
    context = running.new_context()
    page = context.new_page()
    answered: list[Response] = []
    page.on("response", lambda one: answered.append(one))  # noqa: PLW0108 # it marks its handlers
    page.add_init_script(_WATCH)
    page.goto(url)
    _until(page, "window.full")
    first, full = page.evaluate("[first, full]")
    unpacked = sum(len(response.body()) for response in answered)
    sizes = [response.request.sizes() for response in answered]
    context.close()
    sent = sum(one["responseHeadersSize"] + one["responseBodySize"] for one in sizes)
    return Visit(first, full, sent, unpacked)


def _until(page: Page, expression: str) -> None:
    """Wait until an expression is true; the page's policy forbids Playwright's own wait."""
    while not page.evaluate(expression):
        time.sleep(0.01)


def _drawing(running: Browser, url: str, noise: int, bucket: int = 0) -> dict[str, Any]:
    page = running.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.locator("#panels").wait_for()
    found: dict[str, Any] = page.evaluate(_DRAW, [noise, bucket])
    page.close()
    return found


def _tabs(running: Browser, port: int, count: int) -> tuple[int, int]:
    """Return how many clients and views the hub has once `count` tabs show the page."""
    context = running.new_context()
    for _ in range(count):
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#state[data-state=live]").wait_for()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        metrics = answer.read().decode()
    context.close()
    clients = re.search(r'^hub_clients\{transport="websocket"\} (\d+)', metrics, re.MULTILINE)
    views = re.search(r"^hub_views (\d+)", metrics, re.MULTILINE)
    return (int(clients[1]), int(views[1])) if clients and views else (-1, -1)


def _spread(values: Sequence[float], unit: str = "ms") -> str:
    ordered = sorted(values)
    middle, most = percentile(ordered, 0.5), percentile(ordered, 0.99)
    return f"median {middle:.1f} {unit}, p99 {most:.1f}, max {ordered[-1]:.1f}"


def _weight(visit: Visit) -> str:
    return f"{visit.sent / 1024:.1f} KiB sent, {visit.unpacked / 1024:.1f} KiB unpacked"


def _lines(visits: int, tabs: int) -> list[tuple[str, str]]:
    with running_hub() as port, browser() as running:
        url = f"http://127.0.0.1:{port}/"
        time.sleep(15)  # so that there is a history
        seen = [_visit(running, url) for _ in range(visits)]
        calm, noisy = (_drawing(running, url, noise) for noise in (10, 100))
        folded = _drawing(running, url, 10, bucket=5)
        clients, views = _tabs(running, port, tabs)
    return [
        (f"first chart, {visits} visits", _spread([one.first for one in seen])),
        ("with history", _spread([one.full for one in seen])),
        ("weight", _weight(max(seen, key=lambda one: one.sent))),
        ("a frame of hours, drawn", _spread(calm["took"])),
        ("from picture to picture", _spread(calm["apart"])),
        ("a frame of hours in buckets, drawn", _spread(folded["took"])),
        ("from picture to picture", _spread(folded["apart"])),
        ("a frame of pure noise, drawn", _spread(noisy["took"])),
        ("from picture to picture", _spread(noisy["apart"])),
        (f"{tabs} tabs", f"{clients} clients of {views} view"),
    ]


def render(visits: int, tabs: int) -> str:
    """Measure, and return the report as Markdown."""
    parts = (
        "# The live page",
        _TERMS,
        "\n".join(table(("what", "found"), _lines(visits, tabs))),
        "\n".join(f"- {line}" for line in machine.describe(machine.Cores.split())),
    )
    return "\n\n".join(parts) + "\n"


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--visits", type=int, default=20, help="first visits (default: 20)")
    parser.add_argument("--tabs", type=int, default=20, help="open at once (default: 20)")
    output.add_flags(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    return report_to(options.output, "page.md", lambda: render(options.visits, options.tabs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
