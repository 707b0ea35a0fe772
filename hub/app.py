"""The ASGI application: routes, and the hub that they share."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hub.core import Hub
from hub.http import EventStream, Queries
from hub.request import FEED_PATH
from hub.session import MetricsFeed
from hub.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None, *, hub: Hub | None = None) -> Starlette:
    """Make the application that serves a hub, to be run or to be mounted in another one.

    Mounted, it needs no wiring: the hub starts with its first use and stops with its event loop.
    A host that wants it explicit makes the hub itself and enters ``hub.lifespan`` in its own
    lifespan. The hub is the application's ``state.hub``.

    Args:
        settings: for a hub of the application's own.
        hub: a hub that exists already, instead.

    Raises:
        TypeError: both were given.
    """
    if hub is not None and settings is not None:
        raise TypeError("create_app takes settings or a hub, not both")
    hub = hub or Hub(settings)
    app = Starlette(
        routes=_routes(hub),
        lifespan=hub.lifespan,
    )
    app.state.hub = hub
    return app


def _routes(hub: Hub) -> list[BaseRoute]:
    queries = Queries(hub)
    return [
        WebSocketRoute(FEED_PATH, MetricsFeed(hub)),
        Route(FEED_PATH, queries.latest),
        Route(f"{FEED_PATH}/history", queries.history),
        Route(f"{FEED_PATH}/stream", EventStream(hub), methods=["GET"]),
        Route("/openapi.json", queries.openapi),
        Route("/asyncapi.json", queries.asyncapi),
    ]
