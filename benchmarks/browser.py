"""The system's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from benchmarks.bench import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Flags that keep a browser from connecting to other machines."""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run a headless browser; raises `BenchError` if no Chromium is installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise BenchError("there is no chromium on this system")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            yield running
        finally:
            running.close()
