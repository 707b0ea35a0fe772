"""What can be wrong with what the hub is given, whom it refuses, and why it closes a connection.

All are values that travel upward; nothing here acts.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

__all__ = [
    "SECRET", "AtCapacity", "CloseReason", "InvalidValue", "RefusalReason", "Refused",
    "ServedElsewhere", "StreamClosed", "UnknownParameter",
]  # fmt: skip

SECRET: Final = object()

_SHOWN: Final = 80


class InvalidValue(ValueError):
    """A value that breaks a rule. Its text is one line naming the field, the rule and the value.

    ``SECRET`` is a value that is not to be repeated.
    """

    def __init__(self, field: str, rule: str, value: object) -> None:
        self.field = field
        self.rule = rule
        self.value = value
        found = "" if value is SECRET else f", not {_shown(value)}"
        super().__init__(f"{_named(field)} must be {rule}{found}")


class UnknownParameter(InvalidValue):
    """A parameter that there is none of; what it was given may be a secret, and is not repeated."""

    def __init__(self, name: str, valid: Iterable[str]) -> None:
        super().__init__(name, f"one of {', '.join(valid)}", SECRET)
        self.args = (f"unknown parameter {_shown(name)}; valid: {', '.join(valid)}",)


class RefusalReason(StrEnum):
    """Every reason for which a caller is not let in: its name and the HTTP status that tells it.

    The name is the reason's identity, for one status may tell of several.
    """

    PARAMETER = "parameter", 400
    MALFORMED = "malformed", 400
    TOKEN = "token", 401
    HOST = "host", 403
    ORIGIN = "origin", 403
    TIMEOUT = "timeout", 408
    BODY = "body", 413
    ADDRESS = "address", 429
    RATE = "rate", 429
    TOO_LARGE = "too_large", 431
    VIEW_SHARE = "view_share", 429
    CAPACITY = "capacity", 503
    LOOP = "loop", 503
    STOPPING = "stopping", 503
    VIEWS = "views", 503

    status: int

    def __new__(cls, name: str, status: int) -> RefusalReason:
        """Make a member that is its name and carries its status."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.status = status
        return member


class Refused(Exception):
    """A caller may not come in; the text says in one line why, and what to do about it.

    Attributes:
        reason: the kind of it.
        retry_after: whole seconds after which it may be different, if it may.
    """

    def __init__(self, reason: RefusalReason, text: str, *, retry_after: int | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(text)


class AtCapacity(Refused):
    """There is no room for another view. Later there may be."""

    def __init__(self, text: str) -> None:
        super().__init__(RefusalReason.VIEWS, text, retry_after=5)


class ServedElsewhere(Refused, RuntimeError):
    """The hub serves another event loop, which another thread runs."""

    def __init__(self) -> None:
        super().__init__(RefusalReason.LOOP, "a hub serves one event loop at a time")


def _named(field: str) -> str:
    """Return a name that may come from a stranger as it may stand in a line."""
    return field if field.isprintable() and len(field) <= _SHOWN else _shown(field)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class CloseReason(StrEnum):
    """Every reason for which the hub itself ends a connection: its name, close code and phrase.

    The name is the reason's identity, for one code may serve several reasons. Codes below 4000 are
    those of the IANA WebSocket close code registry.
    """

    STOPPING = "stopping", 1001, "hub stops serving"
    NOT_TEXT = "not_text", 1007, "text is not UTF-8"
    NOT_DEFLATE = "not_deflate", 1007, "message cannot be inflated"
    TOO_MANY_MESSAGES = "talkative", 1008, "too many messages"
    MESSAGE_TOO_BIG = "message_too_big", 1009, "message too big"
    KEEPALIVE_LOST = "keepalive_lost", 1011, "keepalive lost"
    RESTART = "restart", 1012, "service restart"
    AT_CAPACITY = "at_capacity", 1013, "at capacity"
    TOO_SLOW = "too_slow", 4008, "too slow"

    code: int
    phrase: str

    def __new__(cls, name: str, code: int, phrase: str) -> CloseReason:
        """Make a member that is its name and carries its code and phrase."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.code = code
        member.phrase = phrase
        return member


class StreamClosed(Exception):
    """A subscriber has ended: no frame follows.

    Attributes:
        close_reason: why the hub has closed it; None if its reader has left.
    """

    def __init__(self, close_reason: CloseReason | None) -> None:
        self.close_reason = close_reason
        super().__init__(
            f"{close_reason.code} {close_reason.phrase}" if close_reason else "its reader has left"
        )
