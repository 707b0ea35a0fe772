"""A large machine whose figures are waves: a feed that looks alike whenever it is looked at."""

from __future__ import annotations

import asyncio
import json
import math
import time
from datetime import UTC, datetime
from typing import Any, Final

from playwright.async_api import Page, Route, WebSocketRoute

__all__ = ["Waves"]

_CORES: Final = 64
_FEED: Final = "**/api/system/metrics?*"
_HISTORY: Final = "**/api/system/metrics/history?*"
_SIZE: Final = {"total": 10**12, "used": 4 * 10**11, "free": 6 * 10**11}


class Waves:
    """A page's feed: the last minute at once, then a message a second, until it is lost.

    Args:
        page: whose requests for the feed and for the past are answered.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._sockets: list[WebSocketRoute] = []
        self._sending: list[asyncio.Task[None]] = []
        self._is_lost = False

    async def begin(self) -> None:
        await self._page.route_web_socket(lambda url: "/api/system/metrics?" in url, self._serve)
        await self._page.route(_HISTORY, self._answer)

    async def lose(self) -> None:
        """Close the connection, and whatever is tried next."""
        self._is_lost = True
        for task in self._sending:
            task.cancel()
        for socket in self._sockets:
            await socket.close(code=1012, reason="service restart")

    async def _serve(self, socket: WebSocketRoute) -> None:
        if self._is_lost:
            await socket.close(code=1013, reason="try again later")
            return
        self._sockets.append(socket)
        self._sending.append(asyncio.create_task(self._send(socket)))

    async def _send(self, socket: WebSocketRoute) -> None:
        at = math.floor(time.time())
        for second in _last_minute(at):
            socket.send(json.dumps(message(second)))
        while True:
            at += 1
            await asyncio.sleep(at - time.time())
            socket.send(json.dumps(message(at)))

    async def _answer(self, route: Route) -> None:
        past = [message(second) for second in _last_minute(math.floor(time.time()))]
        columns = {name: [one[name] for one in past] for name in ("timestamp", "cores", "network")}
        await route.fulfill(json=columns)


def _last_minute(at: int) -> range:
    return range(at - 60, at + 1)


def message(at: float) -> dict[str, Any]:
    """Return what the machine tells at some time, in seconds since 1970."""

    def wave(period: float, low: float, high: float) -> float:
        return round(low + (high - low) * (1 + math.sin(2 * math.pi * at / period)) / 2, 1)

    cores = [wave(20 + core, 0, 100) for core in range(_CORES)]
    busy = wave(30, 20, 60)
    waits = {"cpu": 28, "memory": 44, "io": 16}
    pressure = {
        name: {"some": wave(period, 0, period / 4), "full": 0.0} for name, period in waits.items()
    }
    received = {
        "received_bytes_per_second": wave(15, 1e6, 9e6),
        "sent_bytes_per_second": wave(9, 0, 4e6),
    }
    disk = {"read_bytes_per_second": wave(12, 0, 5e7), "write_bytes_per_second": wave(18, 0, 2e7)}
    return {
        "cpu": wave(40, 35, 97),
        "memory": wave(50, 60, 85),
        "disk": 40.0,
        "swap": 3.0,
        "cpu_times": {
            "user": busy,
            "system": 15.0,
            "nice": 2.0,
            "iowait": 4.0,
            "irq": 1.0,
            "steal": 3.0,
        },
        "cores": cores,
        "load": [wave(35, 20, 70), 44.0, 38.5],
        "pressure": pressure,
        "process": {"rss_bytes": 61_000_000, "loop_lag_seconds": wave(22, 0, 40) / 10_000},
        "uptime": 800_000,
        "disks": {"/": 40.0, "/srv/archive/of/the/second/hall": 96.0},
        "disks_bytes": {"/": _SIZE, "/srv/archive/of/the/second/hall": _SIZE},
        "disk_io": {**disk, "devices": {"nvme0n1": disk}},
        "network": {**received, "interfaces": {"eth0": received}},
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds"),
    }
