"""Numbers as people read them, of whatever size a server says they are."""

from __future__ import annotations

from typing import Final

from hub.cli.watch.message import Value

__all__ = ["duration", "number", "part_of", "percent", "plain", "rate", "share", "size"]

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MOST_DAYS: Final = 999_999
"""Days that a duration shows at the most; a machine that runs for longer is a server's joke."""


def number(value: Value) -> float | None:
    """Return a number of JSON, which is finite; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def share(part: Value, whole: Value) -> float | None:
    """Return a part of a whole in percent, from 0 to 100; None where these are no such numbers."""
    one, all_ = number(part), number(whole)
    if one is None or all_ is None or all_ <= 0:
        return None
    return 100.0 * min(1.0, max(0.0, one / all_))


def percent(value: Value) -> str:
    """Return a percentage to a tenth."""
    found = number(value)
    return "-" if found is None else f"{found:.1f} %"


def plain(value: Value) -> str:
    """Return a number of which nothing is known, to four digits."""
    found = number(value)
    return "-" if found is None else f"{found:,.4g}"


def size(value: Value) -> str:
    """Return a number of bytes to three digits."""
    found = number(value)
    if found is None:
        return "-"
    power = _power(found)
    return f"{_scaled(found, power)} {_UNITS[power]}"


def rate(value: Value) -> str:
    """Return a number of bytes per second to three digits."""
    found = size(value)
    return found if found == "-" else f"{found}/s"


def part_of(part: Value, whole: Value) -> str:
    """Return how many bytes of how many, the unit only once if it is the same."""
    one, all_ = number(part), number(whole)
    if one is None or all_ is None:
        return "-"
    power = _power(all_)
    if _power(one) == power or one == 0:
        return f"{_scaled(one, power)} of {size(all_)}"
    return f"{size(one)} of {size(all_)}"


def duration(seconds: Value) -> str:
    """Return a time in its two greatest units."""
    found = number(seconds)
    if found is None:
        return "-"
    minutes = int(min(max(found, 0.0), _MOST_DAYS * 86400.0)) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _power(count: float) -> int:
    """Return by which power of 1000 a number is divided, so that it has three digits at most."""
    fitting = (power for power in range(len(_UNITS)) if abs(count) / 1000**power < 999.5)
    return next(fitting, len(_UNITS) - 1)


def _scaled(count: float, power: int) -> str:
    return f"{count / 1000**power:.3g}"
