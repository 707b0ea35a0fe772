"""What may be asked of a hub."""

from __future__ import annotations

from dataclasses import dataclass

from hub.sampling.metric import Metric

__all__ = ["Catalog"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """What somebody may ask of a hub.

    Attributes:
        metrics: the families that may be chosen.
        interval: seconds between two samples.
        history: seconds of the past that are kept.
    """

    metrics: tuple[Metric, ...]
    interval: float
    history: float

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, in their order."""
        return tuple(metric.name for metric in self.metrics)
