"""How often a client may come: a limit such as ``20/second``, kept for each of many."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from limits import RateLimitItem
from limits import parse as parse_limit
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from hub.errors import InvalidValue

if TYPE_CHECKING:
    from hub.access.shared_windows import SharedWindows

__all__ = ["RateLimiter", "parse_rate"]

_MOST: Final = 1_000_000
_RULE: Final = "a rate such as 20/second or 100/minute"


def parse_rate(field: str, text: object) -> RateLimitItem:
    """Read a limit: how many, and in which time.

    Raises:
        InvalidValue: it is none.
    """
    if not isinstance(text, str) or any(separator in text for separator in ",;|"):
        raise InvalidValue(field, _RULE, text)
    try:
        limit = parse_limit(text)
    except ValueError:
        raise InvalidValue(field, _RULE, text) from None
    if not 1 <= limit.amount <= _MOST or not 1 <= limit.get_expiry() <= 86400:
        raise InvalidValue(field, f"{_RULE}, from 1 to {_MOST} and within a day", text)
    return limit


class RateLimiter:
    """Keeps a limit for each key, in windows that begin with the first who comes.

    Args:
        limit: how many in which time.
        now: returns a time in seconds that never goes back.
        shared: the windows of all workers of a service, in which case ``now`` is the same for all.
    """

    def __init__(
        self, limit: RateLimitItem, now: Callable[[], float], shared: SharedWindows | None = None
    ) -> None:
        self._limit = limit
        self._now = now
        windows = _Windows(now) if shared is None else _SharedStorage(shared, now)
        self._windows = FixedWindowRateLimiter(windows)

    def hit(self, key: str) -> int:
        """Count one more; return 0, or whole seconds to wait where there may be no more now."""
        if self._windows.hit(self._limit, key):
            return 0
        ends = self._windows.get_window_stats(self._limit, key).reset_time
        return max(1, math.ceil(ends - self._now()))


class _Windows(Storage):
    """The library's storage, for so many keys and no more: the one unused for longest goes.

    The library's own in memory has no bound, starts threads and follows the time of day.
    """

    _KEYS: Final = 10_000

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        count, ends = self._window(key)
        if not count:
            ends = self._now() + expiry
        self._windows[key] = (count + amount, ends)
        self._windows.move_to_end(key)
        if len(self._windows) > self._KEYS:
            self._windows.popitem(last=False)
        return count + amount

    def get(self, key: str) -> int:
        return self._window(key)[0]

    def get_expiry(self, key: str) -> float:
        return self._window(key)[1]

    def _window(self, key: str) -> tuple[int, float]:
        now = self._now()
        count, ends = self._windows.get(key, (0, now))
        return (count, ends) if ends > now else (0, now)

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)


class _SharedStorage(Storage):
    """The library's storage over the windows of all workers."""

    STORAGE_SCHEME = None

    def __init__(self, shared: SharedWindows, now: Callable[[], float]) -> None:
        super().__init__()
        self._shared = shared
        self._now = now

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self._shared.add(key, amount, expiry, self._now())

    def get(self, key: str) -> int:
        return self._shared.window(key, self._now())[0]

    def get_expiry(self, key: str) -> float:
        return self._shared.window(key, self._now())[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        raise NotImplementedError  # other workers' windows are not ours to forget

    def clear(self, key: str) -> None:
        raise NotImplementedError
