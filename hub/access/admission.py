"""Who may come in: called by which name, from which page, with what token, how many, how often."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hub.access.address import client_address, network, peer_name
from hub.access.host_policy import HostPolicy
from hub.access.places import Places
from hub.access.rate_limit import RateLimiter, parse_rate
from hub.access.shares import ClientShares, ViewShares
from hub.clock import Clock
from hub.errors import RefusalReason, Refused
from hub.histogram import Distribution, Histogram

if TYPE_CHECKING:
    from hub.access.shared_limits import WorkerLimits

__all__ = ["SUBPROTOCOL", "Admission", "AdmissionStatistics", "Ticket", "Transport"]

_logger = logging.getLogger("hub")

SUBPROTOCOL: Final = "metrics.v1"
"""What browsers ask for beside the one that carries their token, and get."""

_BEARER: Final = "bearer."
_WRONG_TOKENS: Final = "10/minute"
_RETRY_SECONDS: Final = 5
_LOG_SECONDS: Final = 10.0
_BOUNDS: Final = (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)

Scope = Mapping[str, Any]
Total = Callable[[int], int]


class Transport(StrEnum):
    """How a client follows the feed."""

    WEBSOCKET = "websocket"
    EVENTS = "events"


class Ticket:
    """One client's admission; it has a place on the feed until the ticket is released.

    Its ``str`` is the client's address. There is one for each client: it is kept small.

    Args:
        host: its address, or empty where it has none, as behind a Unix socket.
        port: of that address.
        since: the monotonic time at which it came in, in seconds.
        on_release: takes the place back; None for a request that is answered at once, without one.
    """

    __slots__ = ("_on_release", "host", "port", "since")

    def __init__(
        self,
        host: str,
        port: int,
        since: float,
        on_release: Callable[[Ticket], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.since = since
        self._on_release = on_release

    def release(self) -> None:
        """Give the place back; again is a no-op."""
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release(self)

    def __str__(self) -> str:
        return peer_name((self.host, self.port) if self.host else None)


@dataclass(frozen=True, slots=True)
class AdmissionStatistics:
    """Who came in and who did not, since the application was made.

    Attributes:
        clients: how many there are now, by transport.
        limit: how many there may be, of all workers of the service, or None.
        refused: how many were not let in, by reason.
        durations: how many seconds those stayed who have left, by transport.
    """

    clients: Mapping[Transport, int]
    limit: int | None
    refused: Mapping[RefusalReason, int]
    durations: Mapping[Transport, Distribution]

    def __add__(self, other: AdmissionStatistics) -> AdmissionStatistics:
        """Return who came in at either of two workers; each knows the limit of all."""
        limits = (self.limit, other.limit)
        return AdmissionStatistics(
            clients={name: self.clients[name] + other.clients[name] for name in Transport},
            limit=None if None in limits else max(one or 0 for one in limits),
            refused=Counter(self.refused) + Counter(other.refused),
            durations={name: self.durations[name] + other.durations[name] for name in Transport},
        )

    def ended(self) -> AdmissionStatistics:
        """Return the same once all clients have gone: only what was counted."""
        return replace(self, clients=dict.fromkeys(Transport, 0), limit=0)


class Admission:
    """Decides who may come in, and knows who is there.

    What it keeps is bounded by the clients that are there, and for the rate by the limiter.

    Args:
        clock: tells how long clients stay, and how often they come.
        draining: says whether clients are being sent away, so that no others may come.
        tokens: what opens the authenticated feed; none opens it to no caller.
        allow_host: names by which the hub may be called, beside its address.
        allow_origin: pages that may call it, beside those of the host that they call.
        max_clients: how many clients there may be; None is what descriptors allow.
        max_clients_per_ip: how many of them may have the same address, or None.
        max_views_per_ip: how many different views of their own choice clients of the same address
            may follow, or None.
        connect_rate: how often one address may come, such as ``20/second``, or None.
        shared: knows the other workers of the service, if there are any, so that limits hold for
            all of them together.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        draining: Callable[[], bool] = lambda: False,
        tokens: Iterable[str] = (),
        allow_host: Iterable[str] = (),
        allow_origin: Iterable[str] = (),
        max_clients: int | None = None,
        max_clients_per_ip: int | None = None,
        max_views_per_ip: int | None = None,
        connect_rate: str | None = None,
        shared: WorkerLimits | None = None,
    ) -> None:
        self._clock = clock
        self._draining = draining
        self._host_policy = HostPolicy(allow_host, allow_origin)
        self._tokens = [_digest(token.encode()) for token in tokens]
        # Given how many clients a feed has at this worker, each returns how many it has at all.
        self.public_total: Total = shared.public_total.total if shared else _own
        self.restricted_total: Total = shared.restricted_total.total if shared else _own
        self._places = Places(max_clients, shared and shared.places)
        self._client_shares = ClientShares(max_clients_per_ip, shared and shared.addresses)
        self._view_shares = ViewShares(max_views_per_ip, shared and shared.address_views)
        self._connect_rate = connect_rate
        self._rate: RateLimiter | None = None
        now = clock.monotonic
        if connect_rate is not None:
            limit = parse_rate("connect_rate", connect_rate)
            self._rate = RateLimiter(limit, now, shared and shared.connects)
        limit = parse_rate("wrong tokens", _WRONG_TOKENS)
        self._wrong_tokens = RateLimiter(limit, now, shared and shared.wrong_tokens)
        self._clients = dict.fromkeys(Transport, 0)  # how many there are now
        self._durations = {transport: Histogram(_BOUNDS) for transport in Transport}
        self._refused: Counter[RefusalReason] = Counter()
        # One function for all tickets of a transport.
        self._releases = {transport: partial(self._release, transport) for transport in Transport}
        self._unsaid = 0  # refusals since the last that was logged
        self._said_at = -_LOG_SECONDS

    def statistics(self) -> AdmissionStatistics:
        """Return the counters as they are now."""
        return AdmissionStatistics(
            clients=dict(self._clients),
            limit=self._places.limit,
            refused=dict(self._refused),
            durations={name: found.distribution() for name, found in self._durations.items()},
        )

    def check(self, scope: Scope) -> None:
        """Let any request pass that calls the hub by a name it serves, from a page that may.

        Raises:
            Refused: it does not.
        """
        server = scope.get("server")
        self._host_policy.check(scope["headers"], str(server[0]) if server else "")

    def admit_attempt(self, scope: Scope) -> None:
        """Count a client that wants to follow the feed.

        Raises:
            Refused: its address comes too often, or the hub is about to stop.
        """
        if self._draining():
            raise Refused(RefusalReason.STOPPING, "the hub is stopping", retry_after=_RETRY_SECONDS)
        if self._rate is not None:
            _hit(self._rate, scope, f"more than {self._connect_rate} from one address")

    def authenticate(self, scope: Scope) -> None:
        """Let only clients pass that have a token, in a header or as a browser's subprotocol.

        A right one always passes, however many wrong ones have come from the same address.

        Raises:
            Refused: there is none, or a wrong one, or there were too many of those.
        """
        token = _token(scope["headers"], scope.get("subprotocols", ()))
        given = _digest(token)
        # All are compared, so that the time it takes says nothing about any.
        if sum([hmac.compare_digest(given, known) for known in self._tokens]):
            return
        if token:
            text = f"more than {_WRONG_TOKENS} wrong tokens from one address"
            _hit(self._wrong_tokens, scope, text)
        raise Refused(RefusalReason.TOKEN, "a valid token is needed: Authorization: Bearer TOKEN")

    def acquire(
        self, scope: Scope, transport: Transport | None, view: Hashable | None = None
    ) -> Ticket:
        """Give a client a place, which it has until it releases its ticket.

        Args:
            scope: of the client's request.
            transport: how it follows; None for a request that is answered at once, without a place.
            view: what it follows, if that counts for its address.

        Raises:
            Refused: there is no place left, in all or for its address.
        """
        (host, port), now = client_address(scope), self._clock.monotonic()
        if transport is None:
            return Ticket(host, port, now)
        self._places.check()
        self._client_shares.acquire(host)
        on_release = self._releases[transport]
        if view is not None:
            self._acquire_view(host, view)
            on_release = partial(self._release_view, transport, view)
        self._places.change(1)
        self._clients[transport] += 1
        return Ticket(host, port, now, on_release)

    def _acquire_view(self, host: str, view: Hashable) -> None:
        try:
            self._view_shares.acquire(host, view)
        except Refused:
            self._client_shares.release(host)
            raise

    def _release_view(self, transport: Transport, view: Hashable, ticket: Ticket) -> None:
        self._view_shares.release(ticket.host, view)
        self._release(transport, ticket)

    def _release(self, transport: Transport, ticket: Ticket) -> None:
        self._client_shares.release(ticket.host)
        self._places.change(-1)
        self._clients[transport] -= 1
        self._durations[transport].observe(self._clock.monotonic() - ticket.since)

    def refused(self, reason: RefusalReason, peer: str) -> None:
        """Count a caller that was not let in; of many in a short time only the first is logged."""
        self._refused[reason] += 1
        now = self._clock.monotonic()
        if now - self._said_at < _LOG_SECONDS:
            self._unsaid += 1
            return
        before = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        _logger.warning("Refused client %s: %s%s", peer, reason.value, before)
        self._said_at, self._unsaid = now, 0


def _hit(limiter: RateLimiter, scope: Scope, text: str) -> None:
    """Count one more of a client's address, if it has one; refuse it where there are too many."""
    host, _ = client_address(scope)
    if host and (wait := limiter.hit(network(host))):
        raise Refused(RefusalReason.RATE, text, retry_after=wait)


def _own(clients: int) -> int:
    return clients


def _digest(token: bytes) -> bytes:
    """Return what is compared in a token's place, so that all have the same length."""
    return hashlib.sha256(token).digest()


def _token(headers: Iterable[tuple[bytes, bytes]], subprotocols: Iterable[str]) -> bytes:
    """Return the token that a client shows: one that no token is, if there is none or several."""
    given = [value for name, value in headers if name == b"authorization"]
    if given:
        scheme, _, token = given[0].partition(b" ")
        return token.strip(b" ") if scheme.lower() == b"bearer" and len(given) == 1 else b""
    shown = [name.removeprefix(_BEARER) for name in subprotocols if name.startswith(_BEARER)]
    return shown[0].encode("latin-1", "replace") if len(shown) == 1 else b""
