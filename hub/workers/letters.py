"""What a service's processes tell each other of themselves, every few seconds.

Such letters are pickled: both ends are processes of one service, of the same version, over a socket
that no other process has.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TypeVar

from hub.access.admission import AdmissionStatistics
from hub.feed.statistics import HubStatistics
from hub.feed.view import View
from hub.sampling.sampler import SamplerStatistics
from hub.server.runner import ServerOptions
from hub.settings import Settings
from hub.web.figures import Figures

__all__ = ["Report", "Service", "Setup", "pack", "unpack"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told before all else.

    Attributes:
        settings: the hub's.
        options: the server's.
        log: how it logs: level, whether requests too, and the format.
        number: which worker it is, from 1.
        link: descriptor of its end of the link.
        listeners: descriptors of listening sockets.
        limits: descriptor of what it shares with the others, and which part of it is its own.
    """

    settings: Settings
    options: ServerOptions
    log: tuple[str, bool, str]
    number: int = 0
    link: int = -1
    listeners: tuple[int, ...] = ()
    limits: tuple[int, int] = (-1, -1)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker has done.

    Attributes:
        hub: its hub's figures, of which the sampler is none.
        admission: its application's.
        views: those that its clients follow.
    """

    hub: HubStatistics
    admission: AdmissionStatistics
    views: frozenset[View]


@dataclass(frozen=True, slots=True)
class Service:
    """What all workers are told of the whole service.

    Attributes:
        figures: of all workers together; None where there are no new ones.
        sampler: what the sampler has done.
        failure: why there are no new samples, in a few words; "" if there are.
    """

    figures: Figures | None
    sampler: SamplerStatistics | None
    failure: str


def pack(letter: Setup | Report | Service) -> bytes:
    """Return a letter's body."""
    return pickle.dumps(letter, pickle.HIGHEST_PROTOCOL)


def unpack(body: bytes, kind: type[_T]) -> _T:
    """Return what a body says.

    Raises:
        TypeError: it is not of that kind.
    """
    found = pickle.loads(body)  # noqa: S301 # of the same service, see above
    if not isinstance(found, kind):
        raise TypeError(f"a letter that is a {type(found).__name__}")
    return found
