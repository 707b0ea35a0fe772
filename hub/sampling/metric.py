"""What a metric family is, and what it may be worth.

A metric is collected by a plain function, called in a thread of the collector's. It may raise,
return nonsense or hang: that is one failed reading, and touches no other metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import Enum
from typing import Final, TypeAlias

from hub.errors import InvalidValue
from hub.sampling.schema import Schema
from hub.sampling.value import Rounding

__all__ = ["Kind", "Metric", "OneByOne", "Totals"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_RESERVED: Final = frozenset({"error", "errors", "seq", "timestamp"})


Totals: TypeAlias = "Mapping[str, Mapping[str, float]]"
"""What each device has counted in all, by the counter's name."""


class Kind(Enum):
    """What a metric's values are, and so how those of a longer interval become one."""

    GAUGE = "gauge"
    """A state: reduced to its mean, least, greatest or last value, as the client wishes.
    Lists and objects are reduced element by element; what is no number is the last."""
    RATE = "rate"
    """A ``DeviceDeltas``: the exact rate over the whole interval, or that of the tick in which it
    was least, greatest or last."""
    LIST = "list"
    """Something to be seen as a whole: the last one stands for the interval."""


@dataclass(frozen=True, slots=True)
class OneByOne:
    """What a metric's collector may return instead of a value: how to read each member by itself.

    A member that is slow, hangs or fails is then left out and named, and harms no other.

    Attributes:
        members: what reads each member, by its name. It returns the member's value, or None if
            there is nothing to say of it.
    """

    members: Mapping[str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of numbers.

    Attributes:
        name: the key in every message: a lower-case word of letters, digits and underscores,
            at most 64 long, and none of ``error``, ``errors``, ``seq``, ``timestamp``.
        collect: returns the current value, as what JSON can say (see ``Value``), or ``OneByOne``.
            Of alike members, as a schema with ``additionalProperties`` describes them, those that
            have no valid value are left out and named, and no more than 64 are kept. Called at
            most once a tick, in a thread of the collector's. One hub never calls it or ``prime``
            while an earlier call still runs, not even after the hub was stopped and started again.
        prime: for metrics that measure since the previous call: called once, a tick before the
            first ``collect`` and again after every pause, so that no first value is meaningless.
        kind: how a longer interval of it is reduced.
        always: sample it at every tick, whether or not a client asks, so that the history has it.
        unasked: with ``always``, what is called instead of ``collect`` while no client asks.
        restricted: it is only for clients with a token, and so not in the public feed.
        background: it takes long: collect it in a thread of its own, beside the tick, and let a
            snapshot have the newest value that is finished.
        precision: how its numbers are rounded when they are sent; by default they are not.
        description: what it says and in which unit, for the machine-readable contract.
        schema: JSON Schema of its values, for the same; an empty one allows any. A value that
            breaks it is a failure.
        unit: of its numbers, where they all have the same, such as ``percent`` or ``bytes``.
        convention: what OpenTelemetry's semantic conventions call it.
        counts: names of members that only count up: over a longer interval they are the last.
        totals: returns what each of its devices had counted in all when it was last collected,
            by the counter's name. Called from any thread, at any time.

    Raises:
        InvalidValue: the name breaks its rule, or the schema is none.
    """

    name: str
    collect: Callable[[], object]
    prime: Callable[[], object] | None = None
    kind: Kind = Kind.GAUGE
    _: KW_ONLY
    always: bool = False
    unasked: Callable[[], object] | None = None
    restricted: bool = False
    background: bool = False
    precision: Rounding | None = None
    description: str = ""
    schema: Mapping[str, object] = field(default_factory=dict, compare=False)
    unit: str = ""
    convention: str = ""
    counts: frozenset[str] = frozenset()
    totals: Callable[[], Totals] | None = None
    rule: Schema = field(init=False, repr=False, compare=False)
    """The schema, to hold values to it."""
    resting: Metric | None = field(init=False, repr=False, compare=False)
    """What is sampled of it while no client asks: all, less, or nothing."""

    def __post_init__(self) -> None:
        found = _NAME.fullmatch(self.name)
        if found is None:
            raise InvalidValue("metric name", "a lower-case word (a-z, 0-9, _)", self.name)
        object.__setattr__(self, "name", found[0])  # plain text, also where it was a StrEnum's
        if self.name in _RESERVED:
            raise InvalidValue("metric name", f"none of {', '.join(sorted(_RESERVED))}", self.name)
        object.__setattr__(self, "rule", Schema(self.schema))
        object.__setattr__(self, "resting", self._at_rest())

    @property
    def has_members(self) -> bool:
        """Whether its values have members, one for each device, of which some may be chosen."""
        return self.kind is Kind.RATE or (self.kind is Kind.GAUGE and self.rule.has_members)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is what is sampled of another while no client asks, and not all of that."""
        return self.unasked is not None and self.collect is self.unasked

    def _at_rest(self) -> Metric | None:
        if not self.always:
            return None
        if self.unasked is None or self.is_at_rest:
            return self
        return replace(self, collect=self.unasked)
