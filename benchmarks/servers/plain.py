"""The feed in the usual Starlette style: a queue and two tasks for each client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.servers.feed import PATH, messages
from benchmarks.servers.stock import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def _send(websocket: WebSocket, queue: asyncio.Queue[str]) -> None:
    while True:
        await websocket.send_text(await queue.get())


async def _receive(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()


class _Clients:
    """The connected clients, and the task that gives each of them every message."""

    def __init__(self) -> None:
        self._queues: Final[set[asyncio.Queue[str]]] = set()

    async def handle(self, websocket: WebSocket) -> None:
        """Serve one client until it disconnects."""
        await websocket.accept()
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues.add(queue)
        tasks = (
            asyncio.create_task(_send(websocket, queue)),
            asyncio.create_task(_receive(websocket)),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._queues.discard(queue)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def publish(self) -> None:
        """Put a message a second into every queue, until cancelled."""
        async for text in messages():
            for queue in self._queues:
                queue.put_nowait(text)

    @contextlib.asynccontextmanager
    async def publishing(self, _app: Starlette) -> AsyncIterator[None]:
        """Publish as long as the application runs."""
        task = asyncio.create_task(self.publish())
        yield
        task.cancel()


def create() -> Starlette:
    """Return the application."""
    clients = _Clients()
    return Starlette(routes=[WebSocketRoute(PATH, clients.handle)], lifespan=clients.publishing)


if __name__ == "__main__":
    serve(create())
