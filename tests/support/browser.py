"""A real browser: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from playwright.async_api import Page, async_playwright

__all__ = ["needs_chromium", "open_page"]

_CHROMIUM: Final = shutil.which("chromium")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="there is no chromium on this system")


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[Page]:
    """Show a page in a browser of its own; whatever it reports as an uncaught error fails."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_CHROMIUM, args=list(_FLAGS), headless=True
        )
        try:
            page = await browser.new_page()
            errors: list[object] = []
            page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 # no builtin
            await page.goto(url)
            yield page
            assert errors == []
        finally:
            await browser.close()
