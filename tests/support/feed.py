"""The applications that servers other than the hub's own are given to run.

Importing this configures logging: it is for a process of its own.
"""

from fastapi import FastAPI

from hub import Settings, create_app
from hub.cli.logs import configure_logging
from tests.support.tokens import TOKEN

configure_logging("info", access_log=False)

app = create_app(Settings(interval=0.1, tokens=("another", TOKEN)))

host = FastAPI()
host.mount("/monitor", create_app(Settings(interval=0.1)))
