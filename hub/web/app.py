"""The ASGI application: routes, and the hub that they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute

from hub.access.admission import Admission
from hub.feed.hub import Hub
from hub.feed.query import FEED_PATH, RESTRICTED_FEED_PATH
from hub.settings import Settings
from hub.web.api import FeedAPI, HealthAPI
from hub.web.entry import Entry
from hub.web.figures import Figures, own_figures
from hub.web.middleware import Guard
from hub.web.page import Page
from hub.web.prometheus import Telemetry
from hub.web.sse import EventStream
from hub.web.websocket import MetricsFeed

if TYPE_CHECKING:
    from hub.access.shared_limits import WorkerLimits

__all__ = ["create_app"]


def create_app(
    settings: Settings | None = None,
    *,
    hub: Hub | None = None,
    figures: Callable[[], Figures | None] = lambda: None,
    shared: WorkerLimits | None = None,
) -> Starlette:
    """Make the application that serves a hub, to be run or to be mounted in another one.

    Mounted, it needs no wiring: the hub starts with its first use and stops with its event loop.
    A host that wants it explicit makes the hub itself and enters ``hub.lifespan`` in its own
    lifespan. The hub is the application's ``state.hub``, and who may come in its
    ``state.admission``.

    Args:
        settings: for a hub of the application's own.
        hub: a hub that exists already, instead.
        figures: returns those of all hubs that serve together; None are this hub's own.
        shared: knows the other workers of the service, if there are any: limits then hold for all
            of them together, of views where the hub's own limit knows them too.

    Raises:
        TypeError: both were given.
    """
    if hub is not None and settings is not None:
        raise TypeError("create_app takes settings or a hub, not both")
    hub = hub or Hub(settings)
    settings = hub.settings
    admission = Admission(
        clock=hub.clock,
        draining=lambda: hub.draining,
        tokens=settings.tokens,
        allow_host=settings.allow_host,
        allow_origin=settings.allow_origin,
        max_clients=settings.max_clients,
        max_clients_per_ip=settings.max_clients_per_ip,
        max_views_per_ip=max(1, settings.views // 2),
        connect_rate=settings.connect_rate,
        shared=shared,
    )
    telemetry = Telemetry(hub, lambda: figures() or own_figures(hub, admission))
    routes = _routes(hub, admission, Entry(hub, admission), telemetry)
    app = Starlette(
        routes=[_whole(route) for route in routes],
        lifespan=hub.lifespan,
    )
    app.router.redirect_slashes = False  # it would answer in front of the guard
    app.state.hub = hub
    app.state.admission = admission
    return app


def _routes(
    hub: Hub, admission: Admission, entry: Entry, telemetry: Telemetry
) -> list[Route | WebSocketRoute | Mount]:
    """List the routes; who asks after the hub's health may call it by any name.

    Routes of the feed enter by themselves, for they know on which way; of all others the middleware
    lets only those requests pass that may.
    """
    feed = FeedAPI(hub, entry)
    health = HealthAPI(hub, telemetry)
    page = Page(hub.settings.allow_origin)
    checked = [Middleware(Guard, admission, entry.check)]
    entered = [Middleware(Guard, admission)]
    websocket = MetricsFeed(hub, entry, admission.public_total)
    restricted = MetricsFeed(hub, entry, admission.restricted_total, restricted=True)
    stream = EventStream(hub, entry)
    return [
        WebSocketRoute(FEED_PATH, websocket, middleware=entered),
        WebSocketRoute(RESTRICTED_FEED_PATH, restricted, middleware=entered),
        Route(FEED_PATH, feed.latest, middleware=entered),
        Route(RESTRICTED_FEED_PATH, feed.restricted, middleware=entered),
        Route(f"{FEED_PATH}/history", feed.history, middleware=entered),
        Route(f"{FEED_PATH}/stream", stream, methods=["GET"], middleware=entered),
        Route("/api/system/info", feed.info, middleware=checked),
        Route("/metrics", health.metrics, middleware=checked),
        Route("/openapi.json", feed.openapi, middleware=checked),
        Route("/asyncapi.json", feed.asyncapi, middleware=checked),
        Route("/", page.index, middleware=checked),
        Mount("/static", page.static, middleware=checked),
        Route("/livez", health.live),
        Route("/readyz", health.ready),
    ]


def _whole(route: Route | WebSocketRoute | Mount) -> Route | WebSocketRoute | Mount:
    """Have a route match whole paths.

    The framework's patterns end in ``$``, which matches before a last line feed too: a proxy that
    keeps ``/metrics`` private would let ``/metrics%0a`` pass.
    """
    route.path_regex = re.compile(rf"(?:{route.path_regex.pattern})\Z", route.path_regex.flags)
    return route
