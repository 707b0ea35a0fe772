"""Which lines show what a message says, family by family."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, TypeAlias

from hub.cli.watch import members
from hub.cli.watch.figures import duration, number, part_of, percent, plain, rate, share
from hub.cli.watch.level import Level
from hub.cli.watch.message import Value
from hub.cli.watch.past import RATES, Past
from hub.cli.watch.sections import Bar, Flow, Gauge, Section, Words
from hub.cli.watch.tables import Complaints, Entry, Figure

__all__ = ["Sample", "complaints", "sections"]

_ORDER: Final = (
    "error", "cpu", "cores", "load", "cpu_times", "pressure", "memory", "memory_bytes", "swap",
    "disk", "disks", "disks_bytes", "disk_io", "network", "temperatures", "gpu", "container",
    "process", "uptime", "processes",
)  # fmt: skip
"""What belongs together stands together; families of which nothing is known are the last."""

_NO_FAMILIES: Final = frozenset({"timestamp", "seq", "errors"})
_MOST_FAMILIES: Final = 256
_MOST_COMPLAINTS: Final = 64
_ERROR_LINES: Final = 3
_SAME_SHARE: Final = 5.0
"""Percent by which two ways to count used memory may differ."""

_TALL: Final = 8
"""Lines of a graph that is worth some; those of what hardly changes have one."""

_NOTHING: Final = {
    "container": "no limits",
    "pressure": "not told by this system",
    "temperatures": "no sensors",
    "gpu": "no devices",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A message, and what is needed besides to show it.

    Attributes:
        content: of the message.
        past: what came before, and this message.
        cores: logical processors of the machine; 0 where that is not known.
        roomy: whether a line has room for notes, and the heading for the uptime.
    """

    content: Mapping[str, Value]
    past: Past
    cores: int = 0
    roomy: bool = True

    @property
    def errors(self) -> Mapping[str, Value]:
        """Why families and members could not be measured, by name."""
        errors = self.content.get("errors")
        return errors if isinstance(errors, dict) else {}

    def get(self, family: str) -> dict[str, Value]:
        """Return the members of a family; none where it has none."""
        value = self.content.get(family)
        return value if isinstance(value, dict) else {}


def sections(sample: Sample) -> list[Section]:
    """Return what a message says, in the order in which it is shown."""
    rank = {name: place for place, name in enumerate(_ORDER)}
    names = [name for name in sample.content if name not in _NO_FAMILIES]
    names.sort(key=lambda name: rank.get(name, len(rank)))
    shown = islice(names, _MOST_FAMILIES)
    return list(chain.from_iterable(_family(sample, name) for name in shown))


def complaints(sample: Sample) -> Complaints | None:
    """Return which members could not be measured; None if there are none."""
    known = sample.content
    wrong = [(name, why) for name, why in sample.errors.items() if known.get(name, 0) is not None]
    if not wrong:
        return None
    reasons = [(name, str(why)) for name, why in wrong[:_MOST_COMPLAINTS]]
    return Complaints("not measured", reasons, len(wrong) - len(reasons))


def _family(sample: Sample, name: str) -> Iterator[Section]:
    """Show a family in as many sections as it takes."""
    value = sample.content[name]
    if value is None:
        reason = sample.errors.get(name)
        yield Words(name, "-", "dim") if reason is None else _failure(name, reason)
    elif name == "error":
        yield _failure(name, value)
    elif value in ({}, []):
        yield Words(name, _NOTHING.get(name, "none"), "dim")
    elif not _is_elsewhere(sample, name):
        found = _SHOWN.get(name, _custom)(sample, name, value)
        first = next(found, None)
        yield Words(name, json.dumps(value)) if first is None else first
        yield from found


def _failure(name: str, reason: Value) -> Section:
    return Words(name, str(reason), "red", _ERROR_LINES)


def _is_elsewhere(sample: Sample, name: str) -> bool:
    """Whether a family is shown in the line of another, or in the heading."""
    match name:
        case "memory_bytes":
            return bool(_memory_note(sample))
        case "disks_bytes":
            return bool(sample.get("disks"))
        case "uptime":
            return sample.roomy and _is_number(sample, name)
    return False


def _is_number(sample: Sample, name: str) -> bool:
    return number(sample.content.get(name)) is not None


def _memory_note(sample: Sample) -> str:
    """Return how many bytes the share of memory is; empty if it is one of something else.

    In a container the share may be of its limit, while the bytes are the whole machine's.
    """
    memory, told = sample.get("memory_bytes"), number(sample.content.get("memory"))
    used, total = memory.get("used"), memory.get("total")
    found = share(used, total)
    same = None not in {told, found} and abs((told or 0.0) - (found or 0.0)) < _SAME_SHARE
    return part_of(used, total) if sample.roomy and same else ""


def _percentage(sample: Sample, name: str, value: Value) -> Iterator[Section]:
    if number(value) is not None:
        note = _memory_note(sample) if name == "memory" else ""
        yield Gauge(
            name,
            [percent(value)],
            sample.past.of(name),
            top=100.0,
            level=Level.of(number(value)),
            notes=[note] if note else [],
            tallest=_TALL if name in {"cpu", "memory"} else 1,
        )


def _load(sample: Sample, name: str, value: Value) -> Iterator[Section]:
    means = [number(mean) for mean in value] if isinstance(value, list) else []
    match means:
        case [float(now), float(five), float(fifteen)]:
            figure = f"{now:.2f}"
            yield Gauge(
                name,
                [f"{figure} of {sample.cores}", figure] if sample.cores else [figure],
                sample.past.of(name),
                top=float(sample.cores) or None,
                level=Level.of(share(now, sample.cores)),
                notes=[f"5 min {five:.2f}, 15 min {fifteen:.2f}", f"{five:.2f} {fifteen:.2f}"],
                scale=lambda top: f"{top:.3g}",
                tallest=_TALL,
            )


def _memory_bytes(_sample: Sample, name: str, value: Value) -> Iterator[Section]:
    if isinstance(value, dict):
        used, total = value.get("used"), value.get("total")
        part = share(used, total)
        if part is not None:
            yield Bar(name, part, part_of(used, total))


def _rates(sample: Sample, name: str, value: Value) -> Iterator[Section]:
    if not isinstance(value, dict):
        return
    table = members.rates(name, value)
    for figure, label in RATES[name].items():
        yield Gauge(
            f"{name} {label}",
            [rate(value.get(figure))],
            sample.past.of(name, figure),
            scale=rate,
            tallest=_TALL,
            members=table,
        )
        table = None  # once is enough


def _uptime(_sample: Sample, name: str, value: Value) -> Iterator[Section]:
    if number(value) is not None:
        yield Words(name, duration(value))


def _disks(sample: Sample, name: str, value: Value) -> Iterator[Section]:
    sizes = value if name == "disks_bytes" else sample.content.get("disks_bytes")
    return members.disks(name, value if name == "disks" else {}, sizes)


def _custom(sample: Sample, name: str, value: Value) -> Iterator[Section]:
    if number(value) is not None:
        past = sample.past.of(name)
        yield Gauge(name, [plain(value)], past, scale=plain, tallest=_TALL)
    elif isinstance(value, dict) and all(number(one) is not None for one in value.values()):
        yield Flow(name, [Entry(key, [Figure(plain(one))]) for key, one in members.first(value)])


_Show: TypeAlias = Callable[[Sample, str, Value], Iterator[Section]]
"""Shows a family; yields nothing where its value has not the shape that its name promises."""


def _alone(show: Callable[[str, Value], Iterator[Section]]) -> _Show:
    """Make a way to show a family of one that needs to know nothing besides."""
    return lambda _sample, name, value: show(name, value)


_SHOWN: Final[Mapping[str, _Show]] = {
    **dict.fromkeys(("cpu", "memory", "swap", "disk"), _percentage),
    **dict.fromkeys(RATES, _rates),
    **dict.fromkeys(("disks", "disks_bytes"), _disks),
    "load": _load,
    "memory_bytes": _memory_bytes,
    "uptime": _uptime,
    "cores": _alone(members.cores),
    "cpu_times": _alone(members.modes),
    "pressure": _alone(members.pressure),
    "container": _alone(members.container),
    "process": _alone(members.process),
    "temperatures": _alone(members.temperatures),
    "gpu": _alone(members.devices),
    "processes": _alone(members.processes),
}
