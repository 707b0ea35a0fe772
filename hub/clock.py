"""Time as an argument, so that code that waits can be tested without waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock", "Timer"]


class Timer(Protocol):
    """A callback that is due."""

    def cancel(self) -> None:
        """Forget the callback; harmless when it has already run."""
        ...


class Clock(Protocol):
    """The time that the hub needs, in seconds throughout."""

    def monotonic(self) -> float:
        """Return a time that never goes back, of no particular origin."""
        ...

    def time(self) -> float:
        """Return the time of day as seconds since the Unix epoch; it may jump."""
        ...

    async def sleep_until(self, deadline: float) -> None:
        """Return once ``monotonic()`` has reached ``deadline``, never before it."""
        ...

    async def wait(self, event: anyio.Event, seconds: float) -> bool:
        """Wait for ``event`` for at most ``seconds``; return whether it was set."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the running event loop once ``delay`` seconds have passed."""
        ...


class SystemClock:
    """The machine's clocks and the running event loop's timers."""

    def monotonic(self) -> float:
        """See ``Clock``."""
        return time.monotonic()

    def time(self) -> float:
        """See ``Clock``."""
        return time.time()

    async def sleep_until(self, deadline: float) -> None:
        """See ``Clock``."""
        while (rest := deadline - time.monotonic()) > 0:  # noqa: ASYNC110 # timers round down
            await anyio.sleep(rest)

    async def wait(self, event: anyio.Event, seconds: float) -> bool:
        """See ``Clock``."""
        with anyio.move_on_after(seconds):
            await event.wait()
        return event.is_set()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """See ``Clock``."""
        return asyncio.get_running_loop().call_later(delay, callback)
