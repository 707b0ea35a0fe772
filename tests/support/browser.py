"""A real browser: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from benchmarks.browser import FLAGS
from tests.support.servers import DEADLINE

__all__ = [
    "LOST",
    "eventually",
    "needs_chromium",
    "open_page",
    "open_tabs",
    "running",
    "shared_browser",
]

_CHROMIUM: Final = shutil.which("chromium")
_DEADLINE: Final = 6 * DEADLINE
"""Seconds for all that is done with a page."""

LOST: Final = r"net::ERR_(CONNECTION|INCOMPLETE)|WebSocket connection to '\S+' failed"
"""What a browser says of servers that are away or say no."""

_shared: Final[ContextVar[Browser | None]] = ContextVar("shared", default=None)

needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="there is no chromium on this system")


@asynccontextmanager
async def open_page(
    url: str,
    *,
    expected: str = "(?!)",
    script: str = "",
    **options: Any,  # noqa: ANN401 # Playwright's
) -> AsyncIterator[Page]:
    """Show a page that shares nothing with others but, inside `shared_browser`, the browser.

    A request to another origin fails, and so does whatever the page or the browser complains of,
    unless it is ``expected``. ``script`` runs before the page's own; ``options`` are those of the
    browser's context.
    """
    with anyio.fail_after(_DEADLINE):
        async with _browser() as browser, await browser.new_context(**options) as context:
            page = await context.new_page()
            faults = _watch(page, url)
            if script:
                await page.add_init_script(script)
            await page.goto(url)
            try:
                yield page
            except BaseException as error:
                error.add_note(f"The browser said: {faults}")
                raise
            unexpected = [fault for fault in faults if not re.search(expected, fault)]
            assert not unexpected, unexpected


@asynccontextmanager
async def shared_browser() -> AsyncIterator[None]:
    """Let pages that are opened meanwhile share a browser, since to start one takes a while."""
    async with _launched() as browser:
        token = _shared.set(browser)
        try:
            yield
        finally:
            _shared.reset(token)


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    if (shared := _shared.get()) is not None:
        yield shared
    else:
        async with _launched() as own:
            yield own


@asynccontextmanager
async def _launched() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_CHROMIUM, args=list(FLAGS), headless=True
        )
        async with browser:
            yield browser


@asynccontextmanager
async def open_tabs(width: int) -> AsyncIterator[BrowserContext]:
    """Open a window of that width whose tabs hide each other, as a person's do.

    Playwright's own never hide.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ("--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}")
        size = f"--window-size={width},900"
        command = [str(_CHROMIUM), *FLAGS, *flags, size, "about:blank"]
        with anyio.fail_after(_DEADLINE):
            async with running(command), async_playwright() as playwright:
                address = await _debugging_address(anyio.Path(profile, "DevToolsActivePort"))
                browser = await playwright.chromium.connect_over_cdp(address, no_defaults=True)
                yield browser.contexts[0]
                await browser.close()


@asynccontextmanager
async def running(
    command: Sequence[str], env: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Run a browser of one's own as long; what it writes is not wanted."""
    process = await anyio.open_process(command, stdout=DEVNULL, stderr=DEVNULL, env=env)
    async with process:
        try:
            yield
        finally:
            process.terminate()


async def _debugging_address(told: anyio.Path) -> str:
    """Wait until the browser has told where it listens: a port, and below it a path."""

    async def lines() -> list[str]:
        return (await told.read_text()).split() if await told.exists() else []

    port, path = await eventually(lines, lambda found: len(found) == 2)
    return f"ws://127.0.0.1:{port}{path}"


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:  # noqa: ANN401 # what ``look`` finds
    """Look again and again, until what is found is what is wanted."""
    found = None
    with anyio.move_on_after(3 * DEADLINE):
        while not wanted(found := await look()):  # noqa: ASYNC110 # nothing tells of it
            await anyio.sleep(0.05)
        return found
    raise AssertionError(f"it stayed at {found!r}")


def _watch(page: Page, url: str) -> list[str]:
    faults: list[str] = []
    origin = urlsplit(url).netloc

    def note(wrong: object, text: str) -> None:
        if wrong:
            faults.append(text)

    page.on("pageerror", lambda error: note(error, str(error)))
    page.on("console", lambda said: note(said.type in {"error", "warning"}, said.text))
    page.on("request", lambda sent: note(urlsplit(sent.url).netloc != origin, sent.url))
    return faults
