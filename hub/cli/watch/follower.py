"""Following a hub's feed from another process, as a client should."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.http11 import Response

from hub.access.host_policy import is_loopback
from hub.clock import Clock, Timer
from hub.errors import CloseReason, InvalidValue
from hub.feed.query import FEED_PATH, RESTRICTED_FEED_PATH

__all__ = [
    "FeedOptions",
    "FeedRefused",
    "Follower",
    "Message",
    "Phase",
    "State",
    "Viewer",
    "feed_url",
]

_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

_FINAL_STATUSES: Final = frozenset({400, 401, 403, 404})
"""Statuses of requests that are as wrong the next time."""

_FINAL_CODES: Final = frozenset(
    reason.code
    for reason in (
        CloseReason.NOT_TEXT,
        CloseReason.TOO_MANY_MESSAGES,
        CloseReason.MESSAGE_TOO_BIG,
    )
)

_FIRST_BACKOFF: Final = 1.0
_MAX_BACKOFF: Final = 30.0
_MAX_RETRY_AFTER: Final = 3600.0
"""Seconds; whatever a server asks for beyond that is a mistake of its own."""

_MAX_SPACING: Final = 3600.0
"""Seconds between the messages of a view at the most; timestamps further apart say nothing."""

_PATIENCE: Final = 3.0
_LONGEST_INTERVAL: Final = 60.0
"""Seconds between a hub's own messages at the most."""


def feed_url(field: str, text: str) -> str:
    """Return the address of a hub as that of a WebSocket, without the feed's own path.

    Args:
        field: under which name the user knows it.
        text: the address of the hub's page or of one of its feeds, or just a host and port.

    Raises:
        InvalidValue: it is none of these.
    """
    rule = "an address such as ws://127.0.0.1:54112, without a query"
    try:
        parts = urlsplit(text if "//" in text else f"//{text}", scheme="ws")
        sound = parts.hostname and parts.hostname.encode("idna") and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.scheme not in _SCHEMES or parts.query or parts.fragment or "@" in text:
        raise InvalidValue(field, rule, text)
    path = parts.path.removesuffix(FEED_PATH).removesuffix(RESTRICTED_FEED_PATH).rstrip("/")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """What somebody wants to follow.

    Attributes:
        url: of the hub, as ``feed_url`` returns it.
        parameters: what to ask of it, but for the past.
        history: seconds of the past to begin with, as far as the hub keeps them.
        token: opens the restricted families; empty without.
    """

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    history: int = 0
    token: str = field(default="", repr=False)

    def address(self, past: Mapping[str, str]) -> str:
        """Return where to connect; ``past`` says with which part of it to begin."""
        path = RESTRICTED_FEED_PATH if self.token else FEED_PATH
        query = urlencode({**self.parameters, **past}, safe=",:")
        return f"{self.url}{path}" + (f"?{query}" if query else "")

    @property
    def headers(self) -> dict[str, str]:
        """What to say beside the address."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


class Phase(StrEnum):
    """How it stands with the connection."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    RECONNECTING = "reconnecting"


@dataclass(frozen=True, slots=True)
class State:
    """How it stands with the connection.

    Attributes:
        phase: in one word.
        reason: why there is none, in one line.
        seconds: until the next try.
    """

    phase: Phase
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the feed: as it came, and what it says."""

    text: str
    content: Mapping[str, Any]

    @classmethod
    def of(cls, text: str) -> Message:
        """Read a message.

        Raises:
            FeedRefused: it is none.
        """
        try:
            message = cls(text, dict(json.loads(text)))
            aware = message.time.utcoffset() is not None
        except (ValueError, TypeError, KeyError):
            aware = False
        if not aware:
            raise FeedRefused("what it sends are no messages of a metrics hub")
        return message

    @property
    def timestamp(self) -> str:
        """When it was taken, as the hub writes it."""
        return str(self.content["timestamp"])

    @property
    def time(self) -> datetime:
        """When it was taken, in UTC."""
        return datetime.fromisoformat(self.timestamp)


class Viewer(Protocol):
    """Is told of all that comes."""

    def show(self, message: Message) -> None:
        """Take the next message; they come in the order of time."""
        ...

    def on_state(self, state: State) -> None:
        """Take note of how it stands with the connection, whenever that has changed."""
        ...


class FeedRefused(Exception):
    """The hub says no, which waiting does not change; the text is its own, in one line."""


@dataclass(frozen=True, slots=True)
class Disconnection:
    """Why a connection has ended.

    Attributes:
        reason: in one line.
        seconds: that the hub wants to be left alone.
        parameter: the one that the hub does not take.
        final: whether it is the same the next time.
    """

    reason: str
    seconds: float = 0.0
    parameter: str = ""
    final: bool = False


class Follower:
    """Follows a feed for as long as it runs.

    It comes back after a random wait, each longer than the last, and asks for what came since the
    newest message it has seen: none twice, and none missed that the hub still has. Where nothing
    comes for three intervals the feed is stale, and after as long again twice it connects anew.

    Args:
        options: what to follow.
        viewer: is told of all that comes.
        clock: measures silence and waits.
        jitter: returns a number from 0 to 1, of which a wait is that share.
        connect: opens a connection, as ``websockets.connect`` does.
    """

    def __init__(
        self,
        options: FeedOptions,
        viewer: Viewer,
        *,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        connect: Callable[..., connect] = connect,
    ) -> None:
        self._options = options
        self._viewer = viewer
        self._clock = clock
        self._jitter = jitter
        self._connect = connect
        self._history = options.history
        self._state = State(Phase.CONNECTING)
        self._newest = ""
        interval = options.parameters.get("interval")
        self._spacing = float(interval) if interval else None
        self._backoff = _FIRST_BACKOFF
        self._silence: Timer | None = None

    async def run(self) -> NoReturn:
        """Follow the feed until cancelled.

        Raises:
            FeedRefused: the hub says no.
        """
        self._viewer.on_state(self._state)
        while True:
            setback = await self._once()
            if setback.parameter == "history" and self._history:
                self._history = 0  # the hub keeps less than that
                continue
            if setback.final:
                raise FeedRefused(setback.reason)
            await self._wait(setback)

    async def _wait(self, setback: Disconnection) -> None:
        wait = setback.seconds + self._jitter() * self._backoff  # not all come back at once
        self._backoff = min(_MAX_BACKOFF, 2 * self._backoff)
        self._set_state(State(Phase.RECONNECTING, setback.reason, wait))
        await self._clock.sleep_until(self._clock.monotonic() + wait)

    async def _once(self) -> Disconnection:
        """Connect, and take what comes; return why that has ended."""
        address = self._options.address(self._past())
        host = urlsplit(address).hostname or ""
        try:
            async with self._connect(
                address,
                additional_headers=self._options.headers,
                compression=None,
                proxy=None if is_loopback(host) else True,
                close_timeout=1,
            ) as feed:
                return await self._receive(feed)
        except InvalidStatus as refused:
            return _refusal(refused.response)
        except ConnectionClosed as closed:
            return _closure(closed)
        except OSError as error:  # TimeoutError is one
            return Disconnection(_cause(error))
        except (InvalidHandshake, InvalidMessage):
            return Disconnection("what answers speaks no WebSocket")

    def _past(self) -> dict[str, str]:
        if self._newest:
            return {"since": self._newest}
        return {"history": str(self._history)} if self._history else {}

    async def _receive(self, feed: ClientConnection) -> Disconnection:
        with anyio.CancelScope() as silent:
            try:
                while True:
                    self._expect(silent)
                    self._take(await feed.recv(decode=True))
            finally:
                self._cancel_timer()
        return Disconnection("the hub is silent")

    def _take(self, text: str) -> None:
        message = Message.of(text)
        if self._newest and self._spacing is None:
            newest = datetime.fromisoformat(self._newest)
            spacing = (message.time - newest).total_seconds()
            self._spacing = spacing if 0 < spacing <= _MAX_SPACING else None
        self._newest = message.timestamp
        self._backoff = _FIRST_BACKOFF
        self._set_state(State(Phase.LIVE))
        self._viewer.show(message)

    def _expect(self, silent: anyio.CancelScope) -> None:
        """Be stale after some silence, and give the connection up after some more."""
        # The first message comes at once; how far apart the others are may not be known yet.
        spacing = self._spacing or (_LONGEST_INTERVAL if self._newest else 0.0)
        patience = max(_PATIENCE, 3 * spacing)

        def stale() -> None:
            if self._state.phase is Phase.LIVE:
                self._set_state(State(Phase.STALE))
            self._silence = self._clock.call_later(2 * patience, silent.cancel)

        self._cancel_timer()
        self._silence = self._clock.call_later(patience, stale)

    def _cancel_timer(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._viewer.on_state(state)


def _cause(error: OSError) -> str:
    """Return what the system calls it; the event loop's own words hide that."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or "no answer"


def _refusal(response: Response) -> Disconnection:
    """Read why the hub, or a proxy before it, does not let anybody in."""
    try:
        said = dict(json.loads(response.body))
    except (ValueError, TypeError):
        said = {}
    status, retry = response.status_code, ", ".join(response.headers.get_all("Retry-After"))
    return Disconnection(
        str(said.get("error", f"the hub answers {status} {response.reason_phrase}")),
        seconds=min(float(retry), _MAX_RETRY_AFTER) if _is_number(retry) else 0.0,
        parameter=str(said.get("parameter", "")),
        final=status in _FINAL_STATUSES,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _closure(closed: ConnectionClosed) -> Disconnection:
    if closed.rcvd is None:
        return Disconnection("connection lost")
    reason = closed.rcvd.reason or f"closed with {closed.rcvd.code}"
    return Disconnection(reason, final=closed.rcvd.code in _FINAL_CODES)
