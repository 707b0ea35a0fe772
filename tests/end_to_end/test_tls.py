"""The feed through TLS, whose transports have rules of their own for when they are full."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import anyio
import pytest
import trustme
import uvicorn
from websockets.asyncio.client import connect

from hub import Settings, create_app
from hub.server import BroadcastProtocol
from hub.server.connection import Connection

DEADLINE = 10.0


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def test_messages_come_and_the_end_is_told(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = tmp_path / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    config = uvicorn.Config(
        create_app(Settings(interval=0.1)),
        log_config=None,
        ssl_certfile=certificate,
        ws=BroadcastProtocol,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with anyio.fail_after(DEADLINE), socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        url = f"wss://127.0.0.1:{listener.getsockname()[1]}/api/system/metrics"
        async with connect(url, ssl=trusting) as feed:
            assert [str(await feed.recv())[:7] for _ in range(2)] == ['{"cpu":'] * 2
            members: set[object] = {*server.server_state.connections}
            assert all(isinstance(one, Connection) for one in members)
            await server.shutdown([listener])
            await feed.wait_closed()
            assert feed.close_code == 1012
