"""Asks a server for its health again and again, and measures how long the answer takes."""

from __future__ import annotations

import http.client
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from benchmarks.measurement import percentile

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Probe"]

_PAUSE: Final = 0.05
_TIMEOUT: Final = 30.0


class Probe:
    """Requests `/livez` some 20 times a second, each on a connection of its own.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._times: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def p99_ms(self) -> float:
        """The 99th percentile, in milliseconds, of the time from connecting to the answer's end."""
        return 1e3 * percentile(sorted(self._times), 0.99)

    def _run(self) -> None:
        while not self._over.is_set():
            begun = time.perf_counter()
            answered = self._ask()
            taken = time.perf_counter() - begun
            self._times.append(taken if answered else _TIMEOUT)
            self._over.wait(_PAUSE)

    def _ask(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().read() == b"ok\n"
        except OSError:
            return False
        finally:
            connection.close()
