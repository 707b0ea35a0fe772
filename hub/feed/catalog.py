"""What may be asked of a hub."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from hub.devices import USUAL, Selection
from hub.errors import InvalidValue, RefusalReason, Refused
from hub.feed.view import DEFAULT_METRICS
from hub.sampling.metric import Metric
from hub.sampling.value import Rounding

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
        devices: which members of families are shown unless a view says otherwise, by family.
        extras: names of families that are only there with an extra of the package, and its name.
    """

    metrics: tuple[Metric, ...]
    interval: float
    history: float
    withheld: frozenset[str] = frozenset()
    devices: Mapping[str, Selection] = field(default_factory=dict)
    extras: Mapping[str, str] = field(default_factory=dict)
    precisions: Mapping[str, Rounding] = field(init=False, repr=False, compare=False)
    """How the values of families are rounded, by name; one mapping for many snapshots."""

    def __post_init__(self) -> None:
        found = {m.name: m.precision for m in self.metrics if m.precision is not None}
        object.__setattr__(self, "precisions", found)

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
        return replace(
            self,
            metrics=tuple(metric for metric in self.metrics if not metric.restricted),
            withheld=frozenset(metric.name for metric in self.metrics if metric.restricted),
        )

    def named(self, names: Iterable[str]) -> dict[str, Metric]:
        """Return metrics by name."""
        metrics = {metric.name: metric for metric in self.metrics}
        return {name: metrics[name] for name in names}

    def _rule(self, name: str) -> str:
        extra = f" ({name} needs the extra {self.extras[name]})" if name in self.extras else ""
        return f"one or more of {', '.join(self.names)}{extra}"

    def check_devices(self, field: str) -> None:
        """Raise InvalidValue where an operator has chosen members of what has none."""
        families = self.families_with_members
        for name in self.devices:
            if name not in families:
                rule = f"about families that have members, which are {', '.join(families)}"
                raise InvalidValue(field, rule, name)

    @property
    def families_with_members(self) -> tuple[str, ...]:
        """The names of the families of which some members may be chosen."""
        return tuple(metric.name for metric in self.metrics if metric.has_members)

    def select(
        self, names: Iterable[str], chosen: Mapping[str, Selection] | None = None
    ) -> tuple[tuple[str, Selection], ...]:
        """Return which members a view of these families shows, where not the usual ones.

        ``chosen`` is what the view itself says, by family.
        """
        chosen = chosen or {}
        choosable = self.families_with_members
        selections = (
            (name, chosen.get(name, USUAL).over(self.devices.get(name, USUAL)))
            for name in names
            if name in choosable
        )
        return tuple(one for one in selections if one[1] != USUAL)

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
                raise InvalidValue("metrics", self._rule(name), name)
        chosen = tuple(name for name in known if name in names) or self.default_metrics
        if not chosen:
            raise _withheld("all families are") if self.withheld else _empty()
        return chosen


def _withheld(what: str) -> Refused:
    text = f"{what} restricted: follow {RESTRICTED_FEED_PATH} with Authorization: Bearer TOKEN"
    return Refused(RefusalReason.TOKEN, text)


def _empty() -> InvalidValue:
    return InvalidValue("metrics", "names of families, of which this hub has none", "")
