"""The pictures that the README shows, of a hub on this machine: `python -m benchmarks.pictures`."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import random
import re
import sys
import time
from typing import TYPE_CHECKING, Final

import anyio
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from benchmarks import output
from benchmarks.bench import BenchError, running_hub
from benchmarks.browser import browser
from hub.cli.watch.follower import Follower
from hub.cli.watch.options import FeedOptions
from hub.cli.watch.screen import Screen
from hub.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS: Final = 65
_SHOWN: Final = "cpu,memory,swap,disk,cores,load,disks,network,disk_io"
# Pages that show the picture are to load nothing from elsewhere.
_FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def _work() -> None:
    """Keep a core busy at random times, so that the charts show a changing load."""
    while True:
        busy = time.monotonic() + random.uniform(0.1, 2)
        while time.monotonic() < busy:
            pass
        time.sleep(random.uniform(0.5, 4))


@contextlib.contextmanager
def _working() -> Iterator[None]:
    worker = multiprocessing.Process(target=_work, daemon=True)
    worker.start()
    try:
        yield
    finally:
        worker.terminate()


def _take_page(port: int) -> None:
    with browser() as running:
        page = running.new_page(viewport={"width": 1280, "height": 935})
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#panels").wait_for()
        time.sleep(_SECONDS)  # until the charts are full
        page.screenshot(path=output.RECORDED / "page.png")


async def _take_screen(port: int) -> None:
    console = Console(
        record=True,
        width=100,
        height=20,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    clock = SystemClock()
    options = FeedOptions(
        f"ws://127.0.0.1:{port}", {"metrics": _SHOWN, "partial": "true"}, history=120
    )
    with Screen("ws://127.0.0.1:54112", clock=clock, console=console) as screen:
        with anyio.move_on_after(3):
            await Follower(options, screen, clock=clock).run()
    console.export_text()  # clears the frames recorded so far
    console.print(screen.render())
    svg = console.export_svg(title="python -m hub watch", code_format=_FORMAT, unique_id="watch")
    (output.RECORDED / "watch.svg").write_text(svg)


def main() -> int:
    """Take both pictures; return the process's exit status."""
    output.RECORDED.mkdir(parents=True, exist_ok=True)
    try:
        with _working(), running_hub() as port:
            _take_page(port)
            anyio.run(_take_screen, port)
    except BenchError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
