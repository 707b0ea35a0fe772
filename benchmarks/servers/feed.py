"""The messages that every server here sends: of the hub's shape, without sampling anything."""

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
    """Return the message of one tick, stamped now; only its cpu changes, with the count."""
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
    """Say on stderr that the server takes connections, in the words the runner waits for."""
    print(f"running on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
