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

from hub.app import create_app
from hub.core import Hub
from hub.errors import AtCapacity, Closure, InvalidValue
from hub.frame import Frame
from hub.metrics import Metric
from hub.settings import Settings
from hub.statistics import HubStatistics
from hub.subscriber import SubscriberStatistics

__all__ = [
    "AtCapacity",
    "Closure",
    "Frame",
    "Hub",
    "HubStatistics",
    "InvalidValue",
    "Metric",
    "Settings",
    "SubscriberStatistics",
    "create_app",
]

__version__ = "0.1.0"
