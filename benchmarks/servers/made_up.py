"""The hub on a made-up machine of 16 cores, all of whose families are followed.

It runs as `python -m hub` does, but for its figures, which cost next to nothing to make.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from benchmarks.made_up import Machine, families
from benchmarks.servers.feed import PATH, announce
from hub import Hub
from hub.server.listener import listen
from hub.server.runner import ServerOptions, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.sampling.metric import Metric
    from hub.sampling.snapshot import Reading

MACHINE: Final = Machine(cores=16, devices=12, is_busy=True)
"""Its message of all families has about 5 KB."""


class MadeUpCollector:
    """Reads what the machine is made up to be."""

    async def collect(self, metrics: Sequence[Metric]) -> dict[str, Reading]:
        """See `Collector`."""
        readings = MACHINE.readings()
        return {metric.name: readings[metric.name] for metric in metrics}

    def close(self) -> None:
        """See `Collector`."""


def path_of_all() -> str:
    """Return the path of a view of all families that need no token."""
    names = (one.name for one in families().values() if not one.restricted)
    return f"{PATH}?metrics={','.join(names)}"


def main() -> int:
    """Serve until told to stop."""
    hub = Hub(metrics=families().values(), collector=MadeUpCollector())
    listeners = listen("127.0.0.1", 0, stall_timeout=hub.settings.stall_timeout)
    announce(listeners[0].getsockname()[1])
    serve(hub, listeners, ServerOptions())
    return 0


if __name__ == "__main__":
    sys.exit(main())
