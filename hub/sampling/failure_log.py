"""What the log says of metrics that fail."""

from __future__ import annotations

import logging
from typing import Final

from hub.sampling.snapshot import Failure, Snapshot
from hub.text import one_line

__all__ = ["FailureLog"]

_logger = logging.getLogger("hub")

_NAME_LENGTH: Final = 200
"""Characters of a name in the log: a member may be called anything."""


class FailureLog:
    """One line when a metric or a member begins to fail and one when it is well again."""

    def __init__(self) -> None:
        self._failing: dict[str, int] = {}  # for how many ticks, by name

    def note(self, snapshot: Snapshot) -> None:
        """Log what has begun or ceased to fail with a snapshot."""
        failures = snapshot.failures
        for name, failure in failures.items():
            self._fails(name, failure)
        for name in self._failing.keys() - failures.keys():
            if name.partition("/")[0] in snapshot.readings:  # else it was not even asked
                ticks = self._failing.pop(name)
                text = "Error collecting metrics: %s: works again after %d ticks"
                _logger.info(text, one_line(name, _NAME_LENGTH), ticks)

    def _fails(self, name: str, failure: Failure) -> None:
        if name not in self._failing:
            text = "Error collecting metrics: %s: %s"
            _logger.error(text, one_line(name, _NAME_LENGTH), failure.cause)
        self._failing[name] = self._failing.get(name, 0) + 1
