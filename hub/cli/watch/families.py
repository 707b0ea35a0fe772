"""Which families to follow where the user names none: all that a screen can show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from hub.cli.watch.machine import Machine

__all__ = ["Families"]

_RESTRICTED: Final = "processes"
_BEFORE: Final = ("cpu", "memory", "disk", "swap", "cores", "load", "disks", "disk_io", "network")
"""What every hub has had that could be watched."""

_STANDARD: Final = (
    "cpu", "memory", "disk", "swap", "cpu_times", "cores", "load", "memory_bytes", "pressure",
    "container", "process", "uptime", "disks", "disks_bytes", "disk_io", "network", "temperatures",
)  # fmt: skip
_EXTRA: Final = "gpu"
"""What a hub only offers with an extra."""


class Families:
    """Chooses what to ask a hub for: all that it says it offers, else what hubs are known to.

    A hub that refuses a choice is offered a smaller one, in the end none, which it cannot refuse.

    Args:
        ask: asks the hub what machine it is on and what it offers.
        restricted: whether what needs a token can be had.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[Machine | None]], *, restricted: bool = False
    ) -> None:
        self._ask = ask
        self._restricted = restricted
        # How many choices the hub has refused since it last sent a message.
        self._refused = 0

    async def choose(self) -> str:
        """Return what to ask for, as the feed's parameter; empty for the hub's own default."""
        machine = await self._ask()
        choices = self._choices(machine.families if machine else ())
        return ",".join(choices[min(self._refused, len(choices) - 1)])

    def refuse(self) -> None:
        """Take note that the hub does not accept the last choice."""
        self._refused += 1

    def accept(self) -> None:
        """Take note that the hub sends what was chosen."""
        self._refused = 0

    def _choices(self, offered: Sequence[str]) -> list[Sequence[str]]:
        """Return what to ask for, the most first."""
        known = [offered] if offered else [(*_STANDARD, _EXTRA), _STANDARD, _BEFORE]
        more = [(*one, _RESTRICTED) for one in known if self._restricted and _RESTRICTED not in one]
        return [*more, *known, ()]
