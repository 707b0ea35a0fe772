"""A subscriber that is read from, a frame at a time, by the host's own code."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from hub.errors import CloseReason, StreamClosed
from hub.feed.subscriber import Observer, State, Subscriber, Ticket
from hub.feed.view import Frame, View

__all__ = ["HostTicket", "QueuedSubscriber"]


@dataclass(frozen=True, slots=True)
class HostTicket:
    """Of a reader in the host's own process, which takes no client's place."""

    name: str

    def __str__(self) -> str:
        return self.name

    def release(self) -> None:
        """See ``Ticket``; there is nothing to give back."""


class QueuedSubscriber(Subscriber):
    """A subscriber with one reader, which takes a frame at a time: ``async for frame in it``."""

    __slots__ = ("_wakeup",)

    def __init__(self, view: View, capacity: int, observer: Observer, *, ticket: Ticket) -> None:
        super().__init__(view, capacity, observer, ticket=ticket)
        self._wakeup: asyncio.Future[None] | None = None  # while its reader waits

    async def receive(self) -> Frame:
        """Return the oldest pending frame, waiting for one if need be.

        For one reader at a time. Cancellation loses no frame.

        Raises:
            StreamClosed: the subscriber has ended.
        """
        self._flow()
        while self._state is not State.ENDED:
            frame = self._dequeue()
            if frame is not None:
                return frame
            self._wakeup = asyncio.get_running_loop().create_future()
            self._resume_replay()
            try:
                await self._wakeup
            finally:
                self._wakeup = None
        raise StreamClosed(self._close_reason)

    def _write(self, frame: Frame) -> bool:  # noqa: ARG002 # its reader takes them out of the queue
        if self._wakeup is None:
            self._block()
        return False

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _send_close(self, reason: CloseReason) -> None:  # noqa: ARG002 # its reader is told
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.receive()
        except StreamClosed:
            raise StopAsyncIteration from None
