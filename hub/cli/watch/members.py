"""Which lines show a family that has members: the worst of them in one line, all in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from hub.cli.watch.cells import Keep
from hub.cli.watch.figures import number, part_of, percent, plain, rate, share, size
from hub.cli.watch.level import Level
from hub.cli.watch.message import Value
from hub.cli.watch.sections import Cores, Flow, Section
from hub.cli.watch.tables import Entry, Figure, Table

__all__ = [
    "container", "cores", "devices", "disks", "first", "modes", "pressure", "process",
    "processes", "rates", "temperatures",
]  # fmt: skip

_MOST: Final = 256
"""Members of a family that are shown; a hub sends 64, and a server may send any number."""

_MOST_CORES: Final = 4096
_MODES: Final = ("user", "system", "iowait", "steal", "irq", "nice", "idle")

_GROUPS: Final[Mapping[str, tuple[str, Sequence[tuple[str, str, bool]]]]] = {
    "network": ("interfaces", (
        ("received_bytes_per_second", "received", True), ("sent_bytes_per_second", "sent", True),
        ("received_packets_per_second", "packets in", False),
        ("sent_packets_per_second", "packets out", False),
    )),
    "disk_io": ("devices", (
        ("read_bytes_per_second", "read", True), ("write_bytes_per_second", "written", True),
        ("read_count_per_second", "reads", False), ("write_count_per_second", "writes", False),
    )),
}  # fmt: skip
"""Where the members of a rate are, and of their figures the name, the heading, and whether they
are bytes."""

_Item = TypeVar("_Item")


def first(members: Mapping[str, _Item]) -> list[tuple[str, _Item]]:
    """Return as many members as are shown at the most."""
    return list(islice(members.items(), _MOST))


def cores(name: str, value: Value) -> Iterator[Section]:
    """Show how busy each processor is."""
    found = [number(one) for one in value[:_MOST_CORES]] if isinstance(value, list) else []
    percents = [one for one in found if one is not None]
    if percents and len(percents) == len(found):
        shown = [
            Entry(f"core {place}", [_percentage(one)], percent=one)
            for place, one in enumerate(percents[:_MOST])
        ]
        table = Table(name, (), shown, len(percents) - len(shown), rank=2)
        yield Cores(name, percents, table)


def modes(name: str, value: Value) -> Iterator[Section]:
    """Show what the processors' time is spent with."""
    known = _figures(value, _MODES)
    if known:
        yield Flow(name, [Entry(key, [Figure(f"{one:.1f}")]) for key, one in known.items()], "%")


def pressure(name: str, value: Value) -> Iterator[Section]:
    """Show for what tasks have to wait."""
    if not isinstance(value, dict):
        return
    shown = []
    for key, stalls in first(value):
        known = _figures(stalls, ("some", "full"))
        if known:
            level = Level.of(max(known.values()))
            shown.append(Entry(key, [Figure("/".join(f"{k:.1f}" for k in known.values()), level)]))
    if shown:
        yield Flow(name, shown, "% some/full")


def container(name: str, value: Value) -> Iterator[Section]:
    """Show the limits of the control group, and what is used of them."""
    known = _figures(value, (
        "cpu_limit_cores", "throttled", "memory_used_bytes", "memory_limit_bytes", "oom_kills",
    ))  # fmt: skip
    shown = []
    if "cpu_limit_cores" in known:
        shown.append(Entry("limit", [Figure(f"{plain(known['cpu_limit_cores'])} cores")]))
    if "throttled" in known:
        shown.append(Entry("throttled", [_percentage(known["throttled"])]))
    used, limit = known.get("memory_used_bytes"), known.get("memory_limit_bytes")
    if used is not None or limit is not None:
        figure = size(used) if limit is None else part_of(used or 0, limit)
        shown.append(Entry("memory", [Figure(figure, Level.of(share(used, limit)))]))
    if "oom_kills" in known:
        shown.append(Entry("oom kills", [Figure(plain(known["oom_kills"]))]))
    if shown:
        yield Flow(name, shown)


def process(name: str, value: Value) -> Iterator[Section]:
    """Show what the service itself takes."""
    writers: Mapping[str, tuple[str, Callable[[Value], str]]] = {
        "rss_bytes": ("rss", size),
        "cpu": ("cpu", percent),
        "threads": ("threads", plain),
        "descriptors": ("files", plain),
        "loop_lag_seconds": ("lag", _milliseconds),
    }
    known = _figures(value, tuple(writers))
    shown = [Entry(writers[key][0], [Figure(writers[key][1](one))]) for key, one in known.items()]
    if shown:
        yield Flow(name, shown)


def disks(name: str, shares: Value, sizes: Value) -> Iterator[Section]:
    """Show how full each file system is, the fullest first.

    Args:
        name: of the family.
        shares: percents by mount point; where it is none, ``sizes`` say how full they are.
        sizes: ``used`` and ``total`` bytes by mount point.
    """
    by_size = sizes if isinstance(sizes, dict) else {}
    by_share = shares if isinstance(shares, dict) else {}
    found = []
    mounts = {**by_share, **by_size}
    for mount in islice(mounts, _MOST):
        one = by_size.get(mount)
        used, total = (one.get("used"), one.get("total")) if isinstance(one, dict) else (None, None)
        full = number(by_share.get(mount))
        found.append((mount, share(used, total) if full is None else full, used, total))
    if not any(full is not None for _, full, _, _ in found):
        return
    found.sort(key=lambda one: -(one[1] or 0.0))
    table = [
        Entry(mount, [_percentage(full), Figure(part_of(used, total))], Keep.END, full or 0.0)
        for mount, full, used, total in found
    ]
    line = [
        Entry(mount, [_percentage(full, "" if total is None else f" of {size(total)}")], Keep.END)
        for mount, full, used, total in found
    ]
    headings = ("used", "of size")
    yield Flow(name, line, members=Table(name, headings, table, _left_out(mounts)), repeats=False)


def rates(name: str, value: Mapping[str, Value]) -> Table | None:
    """Return the members of a rate; None if there are none."""
    group, figures = _GROUPS[name]
    found = value.get(group)
    if not isinstance(found, dict) or not found:
        return None
    shown = [
        Entry(member, [
            Figure((rate if is_bytes else plain)(figure_of.get(key)))
            for key, _, is_bytes in figures
        ])
        for member, figure_of in first(found)
        if isinstance(figure_of, dict)
    ]  # fmt: skip
    headings = [heading for _, heading, _ in figures]
    return Table(f"{name} {group}", headings, shown, _left_out(found)) if shown else None


def temperatures(name: str, value: Value) -> Iterator[Section]:
    """Show how warm each sensor is, the warmest first."""
    if not isinstance(value, dict):
        return
    found = [(key, degrees) for key, one in value.items() if (degrees := number(one)) is not None]
    if not found:
        return
    table = [Entry(key, [Figure(_degrees(degrees))]) for key, degrees in found[:_MOST]]
    found.sort(key=lambda one: -one[1])
    line = [Entry(key, [Figure(_degrees(degrees))]) for key, degrees in found[:_MOST]]
    yield Flow(name, line, members=Table(name, (), table, _left_out(found)))


def devices(name: str, value: Value) -> Iterator[Section]:
    """Show what graphics processors do, the busiest first."""
    if not isinstance(value, dict):
        return
    keys = ("utilization", "memory", "temperature", "power_watts")
    found = [(device, _figures(one, keys)) for device, one in first(value)]
    found = [(device, known) for device, known in found if known]
    if not found:
        return
    table = [Entry(device, _gpu_figures(known), percent=known.get("utilization", 0.0))
             for device, known in found]  # fmt: skip
    found.sort(key=lambda one: -one[1].get("utilization", 0.0))
    shown = 4 if len(found) == 1 else 1  # figures
    line = [Entry(device, _gpu_line(known)[:shown]) for device, known in found]
    headings = ("use", "memory", "temperature", "power")
    members = Table(name, headings, table, _left_out(value))
    yield Flow(name, line, members=members, repeats=len(found) == 1)


def _gpu_figures(known: Mapping[str, float]) -> list[Figure]:
    return [
        _percentage(known.get("utilization")),
        _percentage(known.get("memory")),
        Figure(_degrees(known["temperature"]) if "temperature" in known else "-"),
        Figure(f"{known['power_watts']:,.4g} W" if "power_watts" in known else "-"),
    ]


def _gpu_line(known: Mapping[str, float]) -> list[Figure]:
    use, memory, *others = _gpu_figures(known)
    memory = Figure(f"memory {memory.shown}", memory.level)
    return [use, memory, *others]


def processes(name: str, value: Value) -> Iterator[Section]:
    """Show which processes are the busiest."""
    found = value[:_MOST] if isinstance(value, list) else []
    known = [one for one in found if isinstance(one, dict)]
    if known:
        line = [Entry(_text(one, "name"), [Figure(percent(one.get("cpu")))], Keep.START)
                for one in known]  # fmt: skip
        table = [Entry(_text(one, "name"), [
                     Figure(_text(one, "pid")), Figure(percent(one.get("cpu"))),
                     Figure(percent(one.get("memory"))),
                 ], Keep.START) for one in known]  # fmt: skip
        members = Table(name, ("pid", "cpu", "memory"), table, rank=0)
        yield Flow(name, line, members=members, repeats=False)


def _text(process: Mapping[str, Value], key: str) -> str:
    return str(process.get(key, ""))


def _figures(value: Value, keys: Sequence[str]) -> dict[str, float]:
    """Return the figures that there are, in the order of the keys."""
    if not isinstance(value, dict):
        return {}
    found = {key: number(value.get(key)) for key in keys}
    return {key: one for key, one in found.items() if one is not None}


def _percentage(value: float | None, unit: str = "") -> Figure:
    return Figure(percent(value) + unit, Level.of(value))


def _degrees(value: float) -> str:
    return f"{value:.1f} °C"


def _milliseconds(value: Value) -> str:
    return f"{(number(value) or 0.0) * 1000:,.3g} ms"


def _left_out(found: Mapping[str, Value] | Sequence[object]) -> int:
    return max(0, len(found) - _MOST)
