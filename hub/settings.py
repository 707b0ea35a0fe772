"""What an operator or an embedding application may choose about a hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hub.access.host_policy import check_host, check_origin
from hub.access.rate_limit import parse_rate
from hub.devices import Selection, parse_devices
from hub.errors import SECRET, InvalidValue

__all__ = ["RELATIVE_TO", "Settings"]

RELATIVE_TO: Final = ("auto", "host", "container")

_NAME_LENGTH: Final = 253  # as long as a host's may be
_TOKEN: Final = re.compile(r"[!-+\--~]{1,256}", re.ASCII)  # visible, and no comma


def _system_root() -> str:
    return Path(os.sep).resolve().anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a hub samples and what it allows each subscriber.

    Attributes:
        interval: seconds between two samples, 0.1 to 60; messages follow this schedule.
        disk_path: any path on the file system whose usage is the metric ``disk``. It need not
            exist yet: until it does, the feed carries the error.
        history: seconds of the past that are kept, 0 to 86400, for clients that ask for them.
        history_bytes: memory that the past may take, 65,536 to a TiB; the oldest goes first.
        devices: which members of families are shown unless a client chooses others, such as
            ``network:eth*,!docker*``. File systems that it excludes are not asked at all.
        relative_to: what ``cpu`` and ``memory`` are shares of: of the ``host``, of the limits of
            the ``container`` in which the hub runs, or (``auto``) of its limits if it has any.
        name: what the machine is called where clients ask; by default its own name.
        identity: whether clients may ask what machine this is.
        views: how many different views may be live at once, 1 to 65536; each costs an encoding
            at every tick, however many subscribers share it.
        queue: frames held for a subscriber that does not keep up, 1 to 1024; when one more
            comes, the oldest is dropped.
        compression: whether large messages are compressed for clients that offer that, once for
            all of them; on uvicorn with the hub's protocol class, else it is the server's matter.
        stall_timeout: seconds, 1 to 3600, after which a subscriber that reads nothing is cut off.
        max_clients: how many clients may follow the feed at once, 1 to 1,000,000; None is what
            the limit on open files leaves, less 256.
        max_clients_per_ip: how many of them may have the same address, 1 to 1,000,000; None is
            any number. IPv6 addresses are the same if their first 64 bits are.
        connect_rate: how often clients may connect from one address, such as ``20/second``;
            None is as often as they like.
        allow_host: host names that requests may name, beside that of the address at which they
            arrive; ``*`` is any.
        allow_origin: pages that may make requests, beside those of the hub's own host: origins,
            host names, or ``*`` for any.
        tokens: each admits clients to the authenticated feed; without any, none is admitted.

    Raises:
        InvalidValue: a value breaks its rule.
    """

    interval: float = 1.0
    disk_path: str = field(default_factory=_system_root)
    history: float = 3600.0
    history_bytes: int = 32 * 1024 * 1024
    devices: tuple[str, ...] = ()
    relative_to: str = "auto"
    name: str | None = None
    identity: bool = True
    views: int = 256
    queue: int = 8
    compression: bool = True
    stall_timeout: float = 15.0
    max_clients: int | None = None
    max_clients_per_ip: int | None = None
    connect_rate: str | None = None
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    tokens: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        _check_seconds("interval", self.interval, low=0.1, high=60)
        _check_seconds("stall_timeout", self.stall_timeout, low=1, high=3600)
        _check_seconds("history", self.history, low=0, high=86400)
        _check_count("history_bytes", self.history_bytes, low=65_536, high=2**40)
        _check_count("queue", self.queue, high=1024)
        _check_count("views", self.views, high=65536)
        for name in ("max_clients", "max_clients_per_ip"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), high=1_000_000)
        if self.connect_rate is not None:
            parse_rate("connect_rate", self.connect_rate)
        if self.relative_to not in RELATIVE_TO:
            rule = f"one of {', '.join(RELATIVE_TO)}"
            raise InvalidValue("relative_to", rule, self.relative_to)
        if self.name is not None:
            _check_name("name", self.name)
        for name in ("identity", "compression"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidValue(name, "True or False", getattr(self, name))
        _check_each("devices", self.devices, lambda _, text: text)
        if self.devices:
            parse_devices("devices", ",".join(self.devices), trusted=True)
        _check_each("allow_host", self.allow_host, check_host)
        _check_each("allow_origin", self.allow_origin, check_origin)
        _check_each("tokens", self.tokens, _check_token)
        path: object = self.disk_path
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidValue("disk_path", "a path", self.disk_path)

    @property
    def snapshots(self) -> int:
        """How many snapshots the history has at most: one even where it is to have none."""
        return max(1, round(self.history / self.interval))

    @property
    def selections(self) -> dict[str, Selection]:
        """Which members are shown of families of which not the usual ones are."""
        text = ",".join(self.devices)
        return parse_devices("devices", text, trusted=True) if text else {}


def _check_seconds(name: str, value: object, *, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidValue(name, f"a number of seconds from {low:g} to {high:g}", value)


def _check_count(name: str, value: object, *, low: int = 1, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise InvalidValue(name, f"a whole number from {low} to {high}", value)


def _check_each(name: str, values: object, check: Callable[[str, str], object]) -> None:
    if not isinstance(values, tuple):
        raise InvalidValue(name, "a tuple of text", type(values).__name__)
    for value in values:
        if not isinstance(value, str):
            raise InvalidValue(name, "a tuple of text", type(value).__name__)
        check(name, value)


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_LENGTH or not value.isprintable():
        raise InvalidValue(name, f"1 to {_NAME_LENGTH} characters that can be printed", value)


def _check_token(name: str, token: str) -> None:
    if not _TOKEN.fullmatch(token):
        rule = "1 to 256 visible ASCII characters other than a comma"
        raise InvalidValue(name, rule, SECRET)
