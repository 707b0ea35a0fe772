"""An application for servers that run it in several processes, each with a hub.

Importing this configures logging: it is for a process of its own. ``TEST_SOCKET`` says where the
hub attaches; without it, it samples by itself.
"""

import os

from fastapi import FastAPI

from hub import Hub, Metric, Settings, attach, create_app
from hub.cli.logs import configure_logging

configure_logging("info", access_log=False)

_path = os.environ.get("TEST_SOCKET")

hub = Hub(Settings(interval=0.1), source=attach(_path) if _path else None)
hub.register(Metric("own_number", lambda: 7))

app = FastAPI(lifespan=hub.lifespan)
app.mount("/", create_app(hub=hub))
