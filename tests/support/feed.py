"""The application that servers other than the hub's own are given to run."""

from hub import Settings, create_app
from hub.server.runner import configure_logging

configure_logging("info", access_log=False)

app = create_app(Settings(interval=0.1))
