"""Stock uvicorn around an ASGI application, on a free port."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import uvicorn

from benchmarks.servers.feed import announce

if TYPE_CHECKING:
    import socket

    from starlette.applications import Starlette


@final
class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            announce(server.sockets[0].getsockname()[1])


def serve(app: Starlette) -> None:
    """Serve the application until SIGTERM: uvicorn's defaults without compression and logs."""
    config = uvicorn.Config(
        app, port=0, log_level="warning", access_log=False, ws_per_message_deflate=False
    )
    _Announcing(config).run()
