"""A program that follows what this process samples, as this process sees it: a stranger."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from typing import Final

from hub.clock import Clock
from hub.sampling.link import Link

__all__ = ["Guest"]

_LONGEST: Final = 8192
"""Bytes of a letter: the names of all families have some hundred."""

_STALL_SECONDS: Final = 30.0
"""How long it may take nothing at all."""

_MOST_LETTERS: Final = 1000
"""So many letters it may send within ``_PERIOD_SECONDS``."""

_PERIOD_SECONDS: Final = 10.0


class Guest(Link):
    """A link to a program that may be any of this machine's, and is cut off where it misbehaves.

    Args:
        reader: of a Unix socket.
        writer: of the same.
        clock: tells and passes the time.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: Clock
    ) -> None:
        super().__init__(reader, writer, longest=_LONGEST, is_strict=True)
        self._clock = clock
        self._period = clock.monotonic()  # when the present period began
        self._letters = 0  # that it has sent since then
        self.fault = ""
        """Why it was cut off; "" if it was not."""
        self.pid = _own_pid(writer.get_extra_info("socket"))
        """Its process, if that is of the same user and the system tells; else 0."""

    def fail(self, fault: str) -> None:
        """Cut it off."""
        self.fault = self.fault or fault
        self.abort()

    def count(self) -> None:
        """Note that it has sent a letter; with too many it is cut off."""
        now = self._clock.monotonic()
        if now - self._period >= _PERIOD_SECONDS:
            self._period, self._letters = now, 0
        self._letters += 1
        if self._letters > _MOST_LETTERS:
            self.fail(f"it has sent {self._letters} letters within {_PERIOD_SECONDS:g} s")

    async def flush(self) -> None:
        """See ``Link``; one that takes nothing for long is cut off."""
        text = f"it has taken nothing for {_STALL_SECONDS:g} s"
        timer = self._clock.call_later(_STALL_SECONDS, lambda: self.fail(text))
        try:
            await super().flush()
        finally:
            timer.cancel()


def _own_pid(sock: socket.socket) -> int:
    if sys.platform != "linux":
        return 0
    form = "3i"
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form))
    pid, user, _ = struct.unpack(form, found)
    return int(pid) if user == os.getuid() else 0
