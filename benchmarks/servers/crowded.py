"""A hub with an hour of the past, on a machine all of whose interfaces are busy.

It runs as `python -m hub` does, but an hour behind. Told to by SIGUSR1, it catches up: it samples
and publishes an hour of ticks as fast as it can, of which each is due at once, and from then on one
a second. It writes lines of JSON to standard output: its port, and when it has caught up what its
history holds.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

import anyio

from hub import Hub, Settings
from hub.clock import SystemClock
from hub.server.listener import listen
from hub.server.runner import ServerOptions, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HOUR: Final = 3600.0
_PAUSE: Final = 0.01  # in which processors count some time, which they do in steps as long
_EXPERIMENT: Final = b"\x88\xb5"  # the type of frames that nobody takes (IEEE 802, local use)
_ADDRESSES: Final = bytes(12)
_PADDING: Final = bytes(1400)


class BelatedClock(SystemClock):
    """The machine's clock an hour ago, until it is told to catch up.

    Args:
        at_tick: called before each tick that is due at once.
        at_present: called when it has caught up.
    """

    def __init__(self, at_tick: Callable[[], object], at_present: Callable[[], object]) -> None:
        self._behind = _HOUR  # seconds
        self._hurries = False
        self._at_tick = at_tick
        self._at_present = at_present

    def hurry(self) -> None:
        """Have whatever is slept for come at once, until it is the present."""
        self._hurries = True

    def monotonic(self) -> float:
        """See `Clock`."""
        return super().monotonic() - self._behind

    def time(self) -> float:
        """See `Clock`."""
        return super().time() - self._behind

    async def sleep_until(self, deadline: float) -> None:
        """See `Clock`."""
        if self._hurries:
            self._at_tick()
            rest = max(0.0, deadline - self.monotonic())
            self._behind = max(0.0, self._behind - rest)
            await anyio.sleep(_PAUSE)
            if not self._behind:
                self._hurries = False
                self._at_present()
        await super().sleep_until(deadline + self._behind)


class Traffic:
    """Sends over every interface, so that all of their counters grow, each by another number."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._names = [name for _, name in socket.if_nameindex() if name != "lo"]
        self._count = 0

    def send(self) -> None:
        """Send a frame over each."""
        for name in self._names:
            self._count += 1
            frame = _ADDRESSES + _EXPERIMENT + _PADDING[: 300 + self._count * 37 % 1100]
            self._socket.sendto(frame, (name, 0))


def _say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; the argument is how many bytes the history may take."""
    traffic = Traffic()

    def say_that_it_has_caught_up() -> None:
        past = hub.history
        _say(snapshots=len(past), seconds=past.seconds, estimate=past.bytes)

    clock = BelatedClock(traffic.send, say_that_it_has_caught_up)
    hub = Hub(Settings(history_bytes=int(arguments[0])), clock=clock)
    listeners = listen("127.0.0.1", 0, stall_timeout=hub.settings.stall_timeout)
    signal.signal(signal.SIGUSR1, lambda *_: clock.hurry())
    _say(port=listeners[0].getsockname()[1])
    serve(hub, listeners, ServerOptions())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
