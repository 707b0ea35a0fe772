"""Following a hub's feed from another process, as a client should."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, NoReturn
from urllib.parse import urlsplit

import anyio
from anyio.lowlevel import checkpoint
from websockets.asyncio import client
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from hub.access.host_policy import is_loopback
from hub.cli.watch.disconnection import Disconnection, FeedRefused
from hub.cli.watch.families import Families
from hub.cli.watch.message import Message
from hub.cli.watch.options import FeedOptions
from hub.cli.watch.viewer import Phase, State, Viewer
from hub.clock import Clock, Timer

__all__ = ["Follower"]

_MIN_BACKOFF: Final = 1.0
_MAX_BACKOFF: Final = 30.0
_MIN_SILENCE: Final = 3.0
"""Seconds without a message that are no sign of anything, however short the interval."""

_DEFAULT_SPACING: Final = 60.0
"""Seconds between messages until two have come: the longest base interval of a hub."""

_MAX_SPACING: Final = 3600.0
"""Seconds between the messages of a view at the most; timestamps further apart say nothing."""

# The library would log what a server does wrong, in the server's own words, into the view.
_SILENCE: Final = logging.Logger("hub.watch", logging.CRITICAL + 1)  # noqa: LOG001 # unregistered


class Follower:
    """Follows a feed for as long as it runs.

    After a lost connection it waits for a random time, longer from one attempt to the next, and
    then asks for what came since the newest message it has seen: none comes twice, and none is
    missed that the hub still has. Without a message for three intervals the feed is stale; after
    twice that time again the connection is given up for a new one. What comes and is no message
    does not count as one, and does not end the view.

    Args:
        options: what to follow.
        viewer: is given every message and every state of the connection.
        clock: measures silence and waits.
        families: chooses what to ask for, if ``options`` does not say it; by default the hub does.
        jitter: returns a number from 0 to 1: the share of the longest wait that is waited.
        connect: opens a connection, as ``websockets.asyncio.client.connect`` does.
    """

    def __init__(
        self,
        options: FeedOptions,
        viewer: Viewer,
        *,
        clock: Clock,
        families: Families | None = None,
        jitter: Callable[[], float] = random.random,
        connect: Callable[..., client.connect] = client.connect,
    ) -> None:
        self._options = options
        self._viewer = viewer
        self._clock = clock
        self._families = families
        self._jitter = jitter
        self._connect = connect
        # The parameters of the connection that were chosen here.
        self._chosen: dict[str, str] = {}
        # What the viewer was told last.
        self._state = State(Phase.CONNECTING)
        # Seconds of the past to ask for until there is a message; 0 once the hub has refused it.
        self._history = options.history
        # The newest message, after which to resume; None until there is one.
        self._newest: Message | None = None
        # Seconds between messages, or None until that is known.
        interval = options.parameters.get("interval")
        self._spacing = float(interval) if interval else None
        # The longest wait before the next attempt, in seconds; doubled by each that fails.
        self._backoff = _MIN_BACKOFF
        # Runs while a connection is silent: first until the feed is stale, then until the end.
        self._silence: Timer | None = None

    async def run(self) -> NoReturn:
        """Follow the feed until cancelled.

        Raises:
            FeedRefused: the hub refuses for good.
        """
        self._viewer.on_state(self._state)
        while True:
            disconnection = await self._run_connection()
            if disconnection.parameter in self._past():
                self._history, self._newest = 0, None  # the hub keeps less than that
                continue
            if self._families is not None and disconnection.parameter in self._chosen:
                self._families.refuse()
                continue
            if disconnection.final:
                raise FeedRefused(disconnection.reason)
            await self._wait_after(disconnection)

    async def _wait_after(self, disconnection: Disconnection) -> None:
        # At random, lest all clients of a hub that has gone come back in the same moment.
        wait = disconnection.seconds + self._jitter() * self._backoff
        self._backoff = min(_MAX_BACKOFF, 2 * self._backoff)
        self._set_state(State(Phase.RECONNECTING, disconnection.reason, wait))
        await self._clock.sleep_until(self._clock.monotonic() + wait)

    async def _run_connection(self) -> Disconnection:
        """Connect, and take messages until the connection ends; return why it has."""
        stack = AsyncExitStack()
        try:
            self._chosen = await self._choose()
            return await self._receive(await self._open(stack))
        except InvalidStatus as refused:
            return Disconnection.from_refusal(refused.response)
        except ConnectionClosed as closed:
            return Disconnection.from_close(closed)
        except OSError as error:  # TimeoutError is one
            return Disconnection.from_os_error(error)
        except WebSocketException:
            return Disconnection("what answers speaks no WebSocket")
        finally:
            with anyio.CancelScope(shield=True):  # a user who quits says so; see ``close_timeout``
                await stack.aclose()

    async def _choose(self) -> dict[str, str]:
        """Return the parameters that the user leaves to this side."""
        metrics = "" if self._families is None else await self._families.choose()
        return {"metrics": metrics} if metrics and "metrics" not in self._options.parameters else {}

    async def _open(self, stack: AsyncExitStack) -> client.ClientConnection:
        address = self._options.address({**self._chosen, **self._past()})
        connecting = self._connect(
            address,
            additional_headers=self._options.headers,
            compression=None,
            proxy=None if is_loopback(urlsplit(address).hostname or "") else True,
            close_timeout=1,
            logger=_SILENCE,
        )
        try:
            return await stack.enter_async_context(connecting)
        except OSError:  # some are a ValueError as well
            raise
        except (ValueError, LookupError) as error:  # of two redirects at once, or to no address
            raise InvalidHandshake from error

    def _past(self) -> dict[str, str]:
        """Return the parameters that ask for the past."""
        if self._newest is not None:
            return {"since": self._newest.timestamp}
        return {"history": str(self._history)} if self._history else {}

    async def _receive(self, connection: client.ClientConnection) -> Disconnection:
        with anyio.CancelScope() as scope:
            try:
                self._restart_timer(scope)
                while True:
                    self._take(await connection.recv(), scope)
                    await checkpoint()  # what has come already is had without waiting
            finally:
                self._cancel_timer()
        unreadable = self._state.phase is Phase.UNREADABLE
        return Disconnection(self._state.reason if unreadable else "the hub is silent")

    def _take(self, data: str | bytes, connection: anyio.CancelScope) -> None:
        try:
            message = Message.read(data)
        except ValueError:
            self._set_state(State(Phase.UNREADABLE, "what it sends is no message of a metrics hub"))
            return
        if self._newest is not None and self._spacing is None:
            spacing = (message.time - self._newest.time).total_seconds()
            self._spacing = spacing if 0 < spacing <= _MAX_SPACING else None
        self._newest = message
        self._backoff = _MIN_BACKOFF
        if self._families is not None:
            self._families.accept()
        self._restart_timer(connection)
        self._set_state(State(Phase.LIVE))
        self._viewer.show(message)

    def _restart_timer(self, connection: anyio.CancelScope) -> None:
        """Let the feed be stale after some silence, and end the connection after some more."""
        # The first message comes at once.
        spacing = self._spacing or (_DEFAULT_SPACING if self._newest is not None else 0.0)
        silence = max(_MIN_SILENCE, 3 * spacing)

        def on_silence() -> None:
            if self._state.phase is Phase.LIVE:
                self._set_state(State(Phase.STALE))
            self._silence = self._clock.call_later(2 * silence, connection.cancel)

        self._cancel_timer()
        self._silence = self._clock.call_later(silence, on_silence)

    def _cancel_timer(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._viewer.on_state(state)
