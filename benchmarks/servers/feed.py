"""The messages that these servers send: of the hub's form, with made-up figures."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH: Final = "/api/system/metrics"
INTERVAL: Final = 1.0


def message(count: int) -> str:
    """Return the message of one tick with the time of now; its `cpu` depends on the count."""
    stamp = datetime.now(UTC).isoformat(timespec="microseconds")
    cpu = 10 + count % 800 / 10
    return f'{{"cpu":{cpu:.1f},"memory":60.2,"disk":45.3,"timestamp":"{stamp}"}}'


async def messages() -> AsyncIterator[str]:
    """Yield a message a second, on a schedule that does not drift with the receiver's work."""
    due = time.monotonic()
    for count in itertools.count():
        due = max(due + INTERVAL, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
        yield message(count)


def announce(port: int) -> None:
    """Write the line to stderr from which the runner learns that the server listens, and where."""
    print(f"running on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
