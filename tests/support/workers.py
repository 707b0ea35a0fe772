"""Several workers of one service in this process, and what each of them admits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hub.access.shared_limits import SharedLimits, WorkerLimits

__all__ = ["Service", "service"]


@dataclass(frozen=True, slots=True)
class Service:
    """The parent's side and the workers' sides of shared limits."""

    shared: SharedLimits
    workers: list[WorkerLimits]

    def end(self, index: int) -> None:
        """Have a worker vanish with all it had, and another take its place."""
        self.workers[index].close()
        self.shared.clear(index)
        self.workers[index] = WorkerLimits.attach(self.shared.fd, index)


@contextmanager
def service(
    workers: int = 3, *, views: int = 256, max_clients: int | None = None
) -> Iterator[Service]:
    shared = SharedLimits.create(workers, views=views, max_clients=max_clients)
    made = Service(shared, [WorkerLimits.attach(shared.fd, index) for index in range(workers)])
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.close()
        shared.close()
