"""A worker of shared limits: ``python -m tests.support.limited_process FD INDEX LIMIT …``.

The limits are how many clients there may be in all and of each address, and how many addresses
there are. It does what it is told by lines: ``enter N`` clients, if they may; ``change N``, where
one leaves before each; ``leave``, all; ``count``. It answers each by a line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
from collections import Counter

from hub.access.admission import Admission, Ticket, Transport
from hub.access.shared_limits import WorkerLimits
from hub.clock import SystemClock
from hub.errors import Refused


class Worker:
    def __init__(self, fd: int, index: int, clients: int, per_address: int, addresses: int) -> None:
        self._admission = Admission(
            clock=SystemClock(),
            max_clients=clients,
            max_clients_per_ip=per_address,
            shared=WorkerLimits.attach(fd, index),
        )
        self._random = random.Random(index)  # noqa: S311 # a test's
        self._addresses = itertools.cycle(f"192.0.2.{number}" for number in range(addresses))
        self._counts = {"all": 0} | dict.fromkeys(
            (f"192.0.2.{number}" for number in range(addresses)), 0
        )
        self._tickets: list[Ticket] = []

    def enter(self, count: int) -> str:
        for address in itertools.islice(self._addresses, count):
            scope = {"client": (address, 1), "headers": []}
            try:
                self._tickets.append(self._admission.acquire(scope, Transport.EVENTS))
            except Refused:
                continue
        return "done"

    def change(self, count: int) -> str:
        for _ in range(count):
            if self._tickets:
                self._tickets.pop(self._random.randrange(len(self._tickets))).release()
            self.enter(2)
        return "done"

    def leave(self) -> str:
        for ticket in self._tickets:
            ticket.release()
        self._tickets.clear()
        return "done"

    def count(self) -> dict[str, int]:
        here = Counter(ticket.host for ticket in self._tickets)
        return {**self._counts, "all": len(self._tickets), **here}


def main(fd: int, index: int, *limits: int) -> None:
    worker = Worker(fd, index, *limits)
    os.close(fd)
    answer: object = "ready"
    while True:
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
        line = sys.stdin.readline().split()
        if not line:
            return
        answer = getattr(worker, line[0])(*map(int, line[1:]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
