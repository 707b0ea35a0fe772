"""A real-time system-metrics broadcast hub: one sampler, any number of subscribers.

Embedded in a FastAPI or Starlette application::

    from hub import Hub, Metric, create_app

    hub = Hub()
    hub.register(Metric("queue_depth", jobs.qsize))
    app.mount("/monitor", create_app(hub=hub))

    async with hub.subscribe(metrics=("cpu", "queue_depth"), interval=5) as frames:
        async for frame in frames:
            print(frame.text)
"""

from hub.errors import AtCapacity, CloseReason, InvalidValue
from hub.feed.accounts import SubscriberStatistics
from hub.feed.hub import Hub
from hub.feed.statistics import HubStatistics
from hub.feed.view import Frame
from hub.sampling.attached import attach
from hub.sampling.metric import Metric, OneByOne
from hub.settings import Settings
from hub.web.app import create_app

__all__ = [
    "AtCapacity",
    "CloseReason",
    "Frame",
    "Hub",
    "HubStatistics",
    "InvalidValue",
    "Metric",
    "OneByOne",
    "Settings",
    "SubscriberStatistics",
    "attach",
    "create_app",
]

__version__ = "0.1.0"
