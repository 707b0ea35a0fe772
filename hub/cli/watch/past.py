"""What a feed has said so far, as far as a screen shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from hub.cli.watch.figures import number
from hub.cli.watch.message import Value

__all__ = ["RATES", "Past"]

RATES: Final[Mapping[str, Mapping[str, str]]] = {
    "network": {"received_bytes_per_second": "received", "sent_bytes_per_second": "sent"},
    "disk_io": {"read_bytes_per_second": "read", "write_bytes_per_second": "written"},
}
"""Families of which each of these figures has a graph, and what it is called."""

_MOST_POINTS: Final = 500
"""Values kept for a graph: more than the widest terminal shows."""

_MOST_GRAPHS: Final = 256
"""Graphs of which the past is kept, whatever names a server thinks of."""


class Past:
    """Keeps the values of graphs, for each as many as a terminal is wide."""

    def __init__(self) -> None:
        # Values, oldest first, by the name of their graph.
        self._values: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        """Return of how many graphs there is a past."""
        return len(self._values)

    def add(self, content: Mapping[str, Value]) -> None:
        """Take what a message says."""
        for name, value in islice(_numbers(content), _MOST_GRAPHS):
            self._add(name, value)

    def _add(self, name: str, value: float) -> None:
        values = self._values.pop(name, None) or deque(maxlen=_MOST_POINTS)
        self._values[name] = values  # at the end: the first has not been heard of for longest
        values.append(value)
        if len(self._values) > _MOST_GRAPHS:
            del self._values[next(iter(self._values))]

    def of(self, name: str, figure: str = "") -> Sequence[float]:
        """Return the values of a family, or of one of its figures; oldest first."""
        return tuple(self._values.get(_key(name, figure), ()))


def _key(name: str, figure: str) -> str:
    return f"{name} {figure}" if figure else name


def _numbers(content: Mapping[str, Value]) -> Iterator[tuple[str, float]]:
    """Find the numbers that have a graph, by its name."""
    for name, value in content.items():
        found = {name: value}
        if name in RATES and isinstance(value, dict):
            found = {_key(name, figure): value.get(figure) for figure in RATES[name]}
        elif name == "load" and isinstance(value, list) and value:
            found = {name: value[0]}
        for key, one in found.items():
            known = number(one)
            if known is not None:
                yield key, known
