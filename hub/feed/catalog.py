"""What may be asked of a hub."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from hub.errors import InvalidValue, RefusalReason, Refused
from hub.feed.view import DEFAULT_METRICS
from hub.sampling.metric import Kind, Metric

__all__ = ["RESTRICTED_FEED_PATH", "Catalog"]

RESTRICTED_FEED_PATH = "/api/system/ws"
"""Where restricted families are to be had."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What may be asked of a hub.

    Attributes:
        metrics: the families that may be chosen, in the order of their keys in a message.
        interval: seconds between two samples.
        history: seconds of the past that are kept.
        withheld: names of families that there are, but only in the authenticated feed.
    """

    metrics: tuple[Metric, ...]
    interval: float
    history: float
    withheld: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, in their order."""
        return tuple(metric.name for metric in self.metrics)

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """The names of the families that are meant where none are chosen."""
        names = self.names
        return tuple(name for name in names if name in DEFAULT_METRICS) or names

    def including(self, metric: Metric) -> Catalog:
        """Return this catalog with one more family.

        Raises:
            InvalidValue: the name is taken.
        """
        if metric.name in self.names:
            raise InvalidValue("metric name", "one that is not taken", metric.name)
        return replace(self, metrics=(*self.metrics, metric))

    def public(self) -> Catalog:
        """Return what callers without a token may ask for."""
        return Catalog(
            tuple(metric for metric in self.metrics if not metric.restricted),
            self.interval,
            self.history,
            frozenset(metric.name for metric in self.metrics if metric.restricted),
        )

    def kinds(self, names: Iterable[str]) -> dict[str, Kind]:
        """Return the kinds of metrics, by name."""
        kinds = {metric.name: metric.kind for metric in self.metrics}
        return {name: kinds[name] for name in names}

    def choose(self, names: Collection[str]) -> tuple[str, ...]:
        """Return the names chosen, each once and in their order; of none, the default.

        Raises:
            InvalidValue: there is no family of that name, or none at all.
            Refused: a family is only in the authenticated feed.
        """
        known = self.names
        for name in names:
            if name in self.withheld:
                raise _withheld(f"the family {name!r} is")
            if name not in known:
                raise InvalidValue("metrics", f"one or more of {', '.join(known)}", name)
        chosen = tuple(name for name in known if name in names) or self.default_metrics
        if not chosen:
            raise _withheld("all families are") if self.withheld else _empty()
        return chosen


def _withheld(what: str) -> Refused:
    text = f"{what} restricted: follow {RESTRICTED_FEED_PATH} with Authorization: Bearer TOKEN"
    return Refused(RefusalReason.TOKEN, text)


def _empty() -> InvalidValue:
    return InvalidValue("metrics", "names of families, of which this hub has none", "")
