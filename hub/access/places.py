"""How many clients there may be in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hub.errors import RefusalReason, Refused

if TYPE_CHECKING:
    from hub.access.shared_places import SharedPlaces

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]

__all__ = ["Places", "descriptor_limit"]

_RESERVE: Final = 256
"""Descriptors that are not for clients: handshakes under way, the sampler's files, listeners."""

_RETRY_SECONDS: Final = 5


class Places:
    """Bounds how many clients there are.

    A limit that was asked for is one of all workers together. Without one each worker has as many
    places as its own descriptors allow.

    Args:
        most: how many clients there may be; None is what descriptors allow.
        shared: knows the other workers, if there are any.
    """

    def __init__(self, most: int | None, shared: SharedPlaces | None = None) -> None:
        self._most = most
        self._own_most = most or descriptor_limit(_RESERVE)
        self._shared = shared
        self._taken = 0
        if shared is not None:
            shared.write(0)
            shared.write_limit(self._own_most or 0)

    @property
    def limit(self) -> int | None:
        """How many clients there may be, of all workers; None is any number."""
        if self._own_most is None or self._most is not None or self._shared is None:
            return self._own_most
        return self._own_most + self._shared.limit_elsewhere()

    def check(self) -> None:
        """Say whether there may be one more client.

        Raises:
            Refused: there may not.
        """
        if self._own_most is None:
            return
        is_for_all = self._shared is not None and self._most is not None
        elsewhere = self._shared.elsewhere() if self._shared is not None and is_for_all else 0
        if self._taken + elsewhere >= self._own_most:
            text = f"{self.limit} clients are connected, which is the limit"
            raise Refused(RefusalReason.CAPACITY, text, retry_after=_RETRY_SECONDS)

    def change(self, clients: int) -> None:
        """Count so many clients more, or less."""
        self._taken += clients
        if self._shared is not None:
            self._shared.write(self._taken)


def descriptor_limit(reserve: int) -> int | None:
    """Return how many descriptors this process may open, but for a reserve; None if any number.

    Where the limit is lower than the reserve it is an eighth of it.
    """
    if resource is None:
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else max(limit - reserve, limit // 8, 1)
