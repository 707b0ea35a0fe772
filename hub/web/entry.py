"""The one way in, for WebSocket, server-sent events and plain HTTP alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from hub.access.admission import Admission, Ticket, Transport
from hub.errors import InvalidValue
from hub.feed.catalog import Catalog
from hub.feed.hub import Hub
from hub.feed.query import FEED, LATEST, FeedQuery, Parameter, parse, read
from hub.feed.view import View
from hub.web.page.views import page_views

__all__ = ["Entry", "Way"]

_LAST_EVENT_ID: Final = b"last-event-id"


@dataclass(frozen=True, slots=True)
class Way:
    """How a route of the feed is entered.

    Attributes:
        parameters: what the query may say.
        restricted: whether it needs a token, and then opens all families.
        follows: whether it is an attempt to follow the feed, which may come too often, and needs
            room for its view.
        transport: how its client follows, and then takes a place; None for a request that is
            answered at once.
        resumes: whether a Last-Event-ID says where to go on.
    """

    parameters: Sequence[Parameter] = LATEST
    restricted: bool = False
    follows: bool = False
    transport: Transport | None = None
    resumes: bool = False

    @classmethod
    def to_follow(
        cls, transport: Transport, *, restricted: bool = False, resumes: bool = False
    ) -> Way:
        """Return the way to follow the feed over ``transport``."""
        return cls(FEED, restricted, follows=True, transport=transport, resumes=resumes)


class Entry:
    """Lets requests in, or says why not.

    Args:
        hub: is started by the first that comes in.
        admission: knows who may.
    """

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub = hub
        self._admission = admission
        # By whether a token opens all families: what may be asked for, and what an empty query is.
        self._catalogs: dict[bool, Catalog] = {}
        self._defaults: dict[bool, FeedQuery] = {}

    def check(self, scope: Scope) -> None:
        """Let a request pass that needs nothing of the feed: by Host and Origin alone.

        Raises:
            Refused: it calls the hub by a wrong name, or is of a page that may not call.
        """
        self._admission.check(scope)

    def enter(self, scope: Scope, way: Way) -> tuple[FeedQuery, Ticket]:
        """Let a request come in on its way; return what it asks for, and its ticket.

        Everything is checked in the same order on every way: host and origin, rate, token, query,
        room for the view; then the hub is started, and the client has its place. A request that
        is answered at once has none. The caller is to release the ticket once the client has gone.

        Raises:
            InvalidValue: the query asks for what the hub does not offer.
            Refused: the client may not come in; nothing has been sent yet.
        """
        self._admission.check(scope)
        if way.follows:
            self._admission.admit_attempt(scope)
        if way.restricted:
            self._admission.authenticate(scope)
        query = self._read(scope, way)
        if way.follows:
            self._hub.check_view_capacity(query.view)
        self._hub.start()
        view = None if query.view in self._hub.view_limit.reserved else query.view
        return query, self._admission.acquire(scope, way.transport, view)

    def _read(self, scope: Scope, way: Way) -> FeedQuery:
        catalog = self._hub.catalog(restricted=way.restricted)
        if catalog is not self._catalogs.get(way.restricted):
            self._catalogs[way.restricted] = catalog
            self._defaults.pop(way.restricted, None)
            names = catalog.default_metrics
            default = View(names, devices=catalog.select(names))
            self._hub.view_limit.reserved.update((default, *page_views(catalog)))
        query = self._parse(scope["query_string"], way, catalog)
        return _resumed(query, scope, catalog) if way.resumes else query

    def _parse(self, text: bytes, way: Way, catalog: Catalog) -> FeedQuery:
        if text or way.parameters is not FEED:
            return parse(text, way.parameters, catalog)
        known = self._defaults.get(way.restricted)  # most clients ask for nothing particular
        if known is None:
            known = self._defaults[way.restricted] = parse(text, FEED, catalog)
        return known


def _resumed(query: FeedQuery, scope: Scope, catalog: Catalog) -> FeedQuery:
    """Have a browser that comes back get what came since.

    It repeats its first request and adds the last id it has seen (HTML standard, section 9.2.3),
    which then takes the place of whatever the request says of the past.
    """
    last = next((value for name, value in scope["headers"] if name == _LAST_EVENT_ID), b"")
    if not last:
        return query
    try:
        since = read({"since": last.decode("latin-1")}, FEED, catalog).since
    except InvalidValue as error:
        raise InvalidValue("Last-Event-ID", error.rule, error.value) from None
    return FeedQuery(query.view, since=since)
