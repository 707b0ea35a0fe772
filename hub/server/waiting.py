"""Connections that wait: for a request, for their turn to be served again, or for nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from hub.clock import Clock

__all__ = ["Idle", "Pending", "Turns", "Waiting"]


class Waiting(Protocol):
    """A connection that waits."""

    loop: asyncio.AbstractEventLoop

    def expire(self) -> None:
        """End the connection, as its client has had its time."""
        ...

    def make_room(self) -> bool:
        """End an idle connection, as others need its place; say whether it could be ended."""
        ...

    def take_turn(self) -> None:
        """Go on with what has come behind a request that has been answered."""
        ...


class Pending:
    """The connections whose client owes a complete request, and since when.

    They have so many seconds for it; none has a timer of its own.
    """

    SECONDS: Final = 5.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Waiting, float] = {}  # in order of time

    def __len__(self) -> int:
        return len(self._since)

    def add(self, connection: Waiting) -> None:
        """Expect a request, with all the time for it from now on."""
        self._since.pop(connection, None)
        self._since[connection] = self._clock.monotonic()

    def keep(self, connection: Waiting) -> None:
        """Expect a request, from now on if none has been expected so far."""
        if connection not in self._since:
            self._since[connection] = self._clock.monotonic()

    def discard(self, connection: Waiting) -> None:
        """Expect none any more."""
        self._since.pop(connection, None)

    def sweep(self) -> None:
        """Cut off all that have had their time."""
        horizon = self._clock.monotonic() - self.SECONDS
        overdue = []
        for connection, since in self._since.items():
            if since > horizon:
                break
            overdue.append(connection)
        for connection in overdue:
            del self._since[connection]
            connection.expire()


class Idle:
    """The connections whose client has been answered and has not begun to ask again.

    They are kept as long as there is room. When it is short, those of the address that has the
    most go first: however many one client has, the others find a place.
    """

    def __init__(self) -> None:
        self._networks: dict[Waiting, str] = {}  # of every connection, the address it counts for
        self._connections: dict[str, dict[Waiting, None]] = {}  # by address, in order of time

    def __len__(self) -> int:
        return len(self._networks)

    def add(self, connection: Waiting, network: str) -> None:
        """Count a connection as idle from now on."""
        self.discard(connection)
        self._networks[connection] = network
        self._connections.setdefault(network, {})[connection] = None

    def discard(self, connection: Waiting) -> None:
        """Count a connection as idle no more."""
        network = self._networks.pop(connection, None)
        if network is None:
            return
        connections = self._connections[network]
        del connections[connection]
        if not connections:
            del self._connections[network]

    def make_room(self) -> bool:
        """End the oldest connection of the address that has the most; say whether one was ended."""
        by_number = sorted(self._connections.values(), key=len, reverse=True)
        found = (one for connections in by_number for one in connections if one.make_room())
        ended = next(found, None)
        if ended is None:
            return False
        self.discard(ended)
        return True


class Turns:
    """The connections on which a request has come behind another, in the order of their turns.

    One begins in each turn of the event loop: a client with a single request waits for one such
    request at a time, however many connections have them, and not for one of each.
    """

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()

    def ask(self, connection: Waiting) -> None:
        """Call the connection's ``take_turn`` once those that asked before have had theirs."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            connection.loop.call_soon(self._give)

    def _give(self) -> None:
        connection = self._waiting.popleft()
        if self._waiting:
            connection.loop.call_soon(self._give)
        connection.take_turn()
