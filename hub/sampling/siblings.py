"""Whether the hub's process is one of several that serve the same address, each with a hub."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

import psutil

from hub.clock import Clock, Timer

__all__ = ["Family", "SiblingWatch", "SystemFamily", "is_first_of_several"]

_logger = logging.getLogger("hub")

_T = TypeVar("_T")

_AFTER_SECONDS: Final = (5.0, 25.0)
"""When all workers of a server have started, as a rule; and so much later, on a busy machine."""


class Family(Protocol):
    """A process and those that its parent has started."""

    pid: int
    """The process's own number."""

    def siblings(self) -> Iterable[int]:
        """Return the numbers of the others."""
        ...

    def command(self, pid: int) -> Sequence[str]:
        """Return the command line of one."""
        ...

    def addresses(self, pid: int) -> frozenset[object]:
        """Return the addresses at which one accepts connections."""
        ...


class SystemFamily:
    """The process in which this code runs, as the system has it; any method may raise psutil's."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self.pid = self._own.pid
        self._children: dict[int, psutil.Process] = {}

    def siblings(self) -> Iterable[int]:
        """See ``Family``."""
        parent = self._own.parent()
        children = [] if parent is None else parent.children()
        self._children = {child.pid: child for child in children}
        return self._children.keys() - {self.pid}

    def command(self, pid: int) -> Sequence[str]:
        """See ``Family``."""
        return self._process(pid).cmdline()

    def addresses(self, pid: int) -> frozenset[object]:
        """See ``Family``: TCP, and the paths of Unix sockets."""
        connections: Any = self._process(pid).net_connections(kind="all")
        listening = {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}
        paths = {one.laddr for one in connections if isinstance(one.laddr, str)}
        return frozenset(listening | paths) - {""}

    def _process(self, pid: int) -> psutil.Process:
        return self._own if pid == self.pid else self._children[pid]


def is_first_of_several(family: Family) -> bool:
    """Say whether a process is a server's worker, one of several, of all of them the first.

    Workers of one server have the same parent, the same command line but for numbers, and accept
    connections at the same address; nothing else has all three.
    """
    own = family.pid
    pattern = _pattern(family.command(own))
    alike = [
        pid
        for pid in family.siblings()
        if _ask(lambda one: _pattern(family.command(one)), pid) == pattern
    ]
    if not alike:
        return False
    addresses = family.addresses(own)
    workers = [pid for pid in alike if addresses & (_ask(family.addresses, pid) or frozenset())]
    return bool(workers) and own < min(workers)


def _ask(question: Callable[[int], _T], pid: int) -> _T | None:
    """Return what the system says of a process; None if it says nothing, or that one is gone."""
    try:
        return question(pid)
    except (psutil.Error, OSError):
        return None


def _pattern(command: Sequence[str]) -> Sequence[str]:
    return [re.sub(r"\d+", "0", part) for part in command]


class SiblingWatch:
    """Looks twice, in a thread of its own, and warns if there are several hubs where one should be.

    Args:
        clock: passes the time.
        family: returns what to look at.
    """

    def __init__(self, clock: Clock, family: Callable[[], Family] = SystemFamily) -> None:
        self._clock = clock
        self._family = family
        self._has_warned = False
        self._waits = list(_AFTER_SECONDS)  # before each look that is left
        self._timer: Timer | None = None  # while it waits

    def start(self) -> None:
        """Look a few seconds from now and once more, unless it has done so before."""
        if self._waits:
            self._timer = self._clock.call_later(self._waits[0], self._begin)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._waits = self._waits[1:]
        self.start()
        thread = threading.Thread(target=self.look, name="hub-siblings", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            return

    def look(self) -> None:
        """Look now; it blocks for as long as the system takes."""
        try:
            is_found = is_first_of_several(self._family())
        except (psutil.Error, OSError, KeyError):  # the system does not tell
            return
        if is_found and not self._has_warned:
            self._has_warned = True
            text = (
                "Each of several server processes samples by itself, and limits and totals are "
                "those of one: run 'metrics-hub sample' and attach them, or use "
                "'metrics-hub --workers'"
            )
            _logger.warning(text)
