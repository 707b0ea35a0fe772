"""The feed with the websockets library alone: `broadcast()` to all connections, on uvloop."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.servers.feed import announce, messages


class _Clients:
    def __init__(self) -> None:
        self._connections: Final[set[ServerConnection]] = set()

    async def handle(self, connection: ServerConnection) -> None:
        """Keep one client until it disconnects."""
        self._connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)

    async def publish(self) -> None:
        """Send a message a second to all clients, until cancelled."""
        async for text in messages():
            broadcast(self._connections, text)


async def _main() -> None:
    clients = _Clients()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    # With its default backlog of 100 the burst of handshakes would measure lost SYNs.
    async with serve(clients.handle, "127.0.0.1", 0, compression=None, backlog=2048) as server:
        publishing = asyncio.create_task(clients.publish())
        announce(next(iter(server.sockets)).getsockname()[1])
        await stopped.wait()
        publishing.cancel()


if __name__ == "__main__":
    uvloop.run(_main())
