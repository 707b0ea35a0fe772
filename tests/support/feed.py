"""The applications that servers other than the hub's own are given to run."""

from fastapi import FastAPI

from hub import Settings, create_app
from hub.server.logs import configure_logging

configure_logging("info", access_log=False)

app = create_app(Settings(interval=0.1))

host = FastAPI()
host.mount("/monitor", create_app(Settings(interval=0.1)))
