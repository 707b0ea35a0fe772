"""A second kind of browser: the system's Firefox, told what to do by WebDriver BiDi.

Playwright drives no Firefox but its own; this one speaks the protocol by itself.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.browser import eventually, running
from tests.support.servers import DEADLINE

__all__ = ["Firefox", "Tab", "needs_firefox", "start_firefox"]

_PROGRAM: Final = shutil.which("firefox-esr") or shutil.which("firefox")

needs_firefox = pytest.mark.skipif(_PROGRAM is None, reason="there is no firefox on this system")

_PREFERENCES: Final[dict[str, str | int | bool]] = {
    # Whatever is not on this machine is asked for through a proxy that is not there.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.allow_bypass": False,
    "network.proxy.failover_direct": False,
    "network.trr.mode": 5,  # names are not asked for by HTTPS either
    "network.dns.disablePrefetch": True,
}


class Tab:
    """A page in a tab that shares nothing with others but the browser."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser = browser
        self._context = context

    async def goto(self, url: str) -> None:
        await self._call("browsingContext.navigate", url=url, wait="complete")

    async def size(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        await self._call("browsingContext.setViewport", viewport=viewport, devicePixelRatio=1)

    async def evaluate(self, script: str) -> Any:  # noqa: ANN401 # whatever it is worth
        """Return what a script's expression is worth, once that is known."""
        script = f"(async () => JSON.stringify((await ({script})) ?? null))()"
        target = {"context": self._context}
        found = await self._browser.call(
            "script.evaluate", expression=script, target=target, awaitPromise=True
        )
        assert found["type"] == "success", found["exceptionDetails"]["text"]
        return json.loads(found["result"]["value"])

    async def press(self, key: str) -> None:
        strokes = [{"type": way, "value": key} for way in ("keyDown", "keyUp")]
        await self._act({"type": "key", "id": "keyboard", "actions": strokes})

    async def point(self, selector: str, *, click: bool = False) -> None:
        """Move the pointer to the middle of an element that is in sight."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = await self.evaluate(
            f"((box) => [box.x + box.width / 2, box.y + box.height / 2])({box})"
        )
        strokes = [{"type": way, "button": 0} for way in ("pointerDown", "pointerUp")]
        move = {"type": "pointerMove", "x": round(x), "y": round(y)}
        await self._act(
            {"type": "pointer", "id": "mouse", "actions": [move, *strokes[: 2 * click]]}
        )

    async def _act(self, source: dict[str, Any]) -> None:
        await self._call("input.performActions", actions=[source])

    async def picture(self) -> bytes:
        """Return what is in sight, as PNG."""
        found = await self._call("browsingContext.captureScreenshot", origin="viewport")
        return base64.b64decode(found["data"])

    async def _call(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 # JSON
        return await self._browser.call(method, context=self._context, **parameters)


class Firefox:
    """A running browser: sends it commands, and keeps what it tells of pages and requests."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._told: list[tuple[str, dict[str, Any]]] = []

    async def listen(self) -> None:
        """Take in what the browser says, until it has ended."""
        async for said in self._socket:
            message = json.loads(said)
            if message["type"] == "event":
                self._told.append((message["method"], message["params"]))
            else:
                self._waiting.pop(message["id"]).set_result(message)

    async def call(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 # JSON
        """Send a command and return its result."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": parameters}
        await self._socket.send(json.dumps(command))
        found = await asyncio.wait_for(answer, 2 * DEADLINE)
        assert found["type"] == "success", found
        return found["result"]

    @asynccontextmanager
    async def open(
        self, url: str, *, expected: str = "(?!)", width: int = 1280, height: int = 900
    ) -> AsyncIterator[Tab]:
        """Show a page; fail if it asks another origin or complains, unless it is ``expected``."""
        profile = (await self.call("browser.createUserContext"))["userContext"]
        made = await self.call("browsingContext.create", type="tab", userContext=profile)
        tab = Tab(self, made["context"])
        await tab.size(width, height)
        await tab.goto(url)
        yield tab
        await self.call("browsingContext.close", context=made["context"])
        await self.call("browser.removeUserContext", userContext=profile)
        unexpected = [one for one in self._faults(made["context"]) if not re.search(expected, one)]
        assert not unexpected, unexpected
        asked = [urlsplit(one) for one in self._asked(made["context"])]
        assert {one.netloc for one in asked if one.scheme != "data"} == {urlsplit(url).netloc}

    def _faults(self, context: str) -> list[str]:
        told = [said for event, said in self._told if event == "log.entryAdded"]
        own = [said for said in told if said["source"].get("context") == context]
        return [said["text"] for said in own if said["level"] in {"error", "warn"}]

    def _asked(self, context: str) -> list[str]:
        told = [said for event, said in self._told if event == "network.beforeRequestSent"]
        return [said["request"]["url"] for said in told if said["context"] == context]


@asynccontextmanager
async def start_firefox() -> AsyncIterator[Firefox]:
    """Run a browser without a window, under a profile of its own."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = [f"user_pref({json.dumps(n)}, {json.dumps(v)});" for n, v in _PREFERENCES.items()]
        await anyio.Path(profile, "user.js").write_text("\n".join(lines))
        flags = ("--headless", "--remote-debugging-port", "0", "--profile", profile)
        async with running([str(_PROGRAM), *flags], env=os.environ | {"HOME": profile}):
            address = await _address(anyio.Path(profile, "WebDriverBiDiServer.json"))
            async with connect(address, max_size=None, proxy=None) as socket:
                browser = Firefox(socket)
                listening = asyncio.create_task(browser.listen())
                await browser.call("session.new", capabilities={})
                events = ["log.entryAdded", "network.beforeRequestSent"]
                await browser.call("session.subscribe", events=events)
                yield browser
                await browser.call("browser.close")
                await asyncio.wait_for(listening, DEADLINE)


async def _address(told: anyio.Path) -> str:
    """Wait until the browser has told where it listens."""

    async def text() -> str:
        return await told.read_text() if await told.exists() else ""

    server = json.loads(await eventually(text, lambda found: found.endswith("}")))
    return f"ws://{server['ws_host']}:{server['ws_port']}/session"
