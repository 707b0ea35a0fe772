"""The applications that servers other than the hub's own are given to run."""

from typing import Final

from fastapi import FastAPI

from hub import Settings, create_app
from hub.cli.logs import configure_logging

configure_logging("info", access_log=False)

TOKEN: Final = "canary-9f2c41d7"  # noqa: S105 # it opens nothing

app = create_app(Settings(interval=0.1, tokens=("another", TOKEN)))

host = FastAPI()
host.mount("/monitor", create_app(Settings(interval=0.1)))
