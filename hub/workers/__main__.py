"""What a worker's process runs; it is told all else on its standard input."""

from __future__ import annotations

import contextlib
import pickle
import sys

from hub.cli.logs import configure_logging
from hub.workers.letters import Setup
from hub.workers.worker import Worker, end_with_parent


def _main() -> None:
    setup = pickle.load(sys.stdin.buffer)  # noqa: S301 # of the process that started this one
    assert isinstance(setup, Setup)  # noqa: S101 # it writes nothing else
    end_with_parent()
    level, access_log, form = setup.log
    log = configure_logging(level, access_log=access_log, form=form, worker=setup.number)
    with contextlib.closing(log):
        Worker(setup).run()


if __name__ == "__main__":
    _main()
