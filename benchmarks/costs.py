"""What history and replays cost, inside one process: `python -m benchmarks.costs`."""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Final

from benchmarks import machine, output
from benchmarks.bench import report_to
from benchmarks.report import table
from hub.clock import SystemClock
from hub.errors import CloseReason
from hub.feed.channel import Channel
from hub.feed.history import History
from hub.feed.liveness import EpisodeLog
from hub.feed.reader import HostTicket
from hub.feed.subscriber import Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import DEFAULT_METRICS, View
from hub.sampling.metric import Kind, Metric
from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Reading, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hub.feed.view import Frame

_HOUR: Final = 3600
_NAMES: Final = ("read_bytes", "write_bytes", "read_count", "write_count")
_KINDS: Final = {
    "disk_io": Kind.RATE,
    "network": Kind.RATE,
}
_TERMS: Final = """\
Snapshots are made up: percentages for the families that are always sampled; for all of them also
16 cores, load, memory in bytes, 4 file systems, 4 disks and 4 interfaces. Memory is what Python
has allocated for an hour of snapshots, one a second. Times are the best of several rounds."""


class _Reader(Subscriber):
    """Takes every frame at once, and counts them."""

    def __init__(self, view: View) -> None:
        super().__init__(view, 8, EpisodeLog(), ticket=HostTicket("reader"))
        self.count = 0

    def _write(self, frame: Frame) -> bool:  # noqa: ARG002 # only counted
        self.count += 1
        return True

    def _wake(self) -> None:
        """Nothing is ever queued."""

    def _send_close(self, reason: CloseReason) -> None:
        """There is nothing behind it."""


def _percent() -> float:
    return round(random.uniform(0, 100), 1)


def _deltas(group: str, devices: int) -> DeviceDeltas:
    def delta() -> CounterDelta:
        return CounterDelta(
            random.uniform(0.99, 1.01), tuple(random.randrange(10**6) for _ in _NAMES)
        )

    return DeviceDeltas(_NAMES, group, delta(), {f"{group}{n}": delta() for n in range(devices)})


def _default_readings() -> dict[str, Reading]:
    return {name: _percent() for name in (*DEFAULT_METRICS, "swap")}


def _all_readings() -> dict[str, Reading]:
    return {
        **_default_readings(),
        "cores": [_percent() for _ in range(16)],
        "load": [_percent() for _ in range(3)],
        "memory_bytes": {name: random.randrange(10**10) for name in _NAMES},
        "disks": {f"/mnt/{n}": _percent() for n in range(4)},
        "disk_io": _deltas("devices", 4),
        "network": _deltas("interfaces", 4),
    }


def _hour(readings: Callable[[], dict[str, Reading]], begin: int = 1_762_776_000) -> History:
    history = History(_HOUR)
    for tick in range(begin, begin + _HOUR):
        history.append(Snapshot(tick, tick, tick + random.random(), readings()))
    return history


def _memory(readings: Callable[[], dict[str, Reading]]) -> float:
    """Return the memory that an hour of snapshots takes, in MiB."""
    tracemalloc.start()
    history = _hour(readings)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / 2**20 if history.end else 0.0


def _best(action: Callable[[], object], rounds: int = 5) -> float:
    """Return the shortest time that the action took, in ms."""

    def once() -> float:
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin

    return 1e3 * min(once() for _ in range(rounds))


def _channel(view: View, history: History, slicer: TimeSlicer) -> Channel:
    kinds = {name: _KINDS.get(name, Kind.GAUGE) for name in view.metrics}
    metrics = {name: Metric(name, int, kind=kind) for name, kind in kinds.items()}
    return Channel(view, metrics, history, slicer, resumed=True)


def _seeded(view: View, history: History) -> None:
    slicer = TimeSlicer(_StoppedClock())
    _channel(view, history, slicer)


def _replayed(view: View, history: History) -> int:
    slicer = TimeSlicer(_StoppedClock())
    reader = _Reader(view)
    _channel(view, history, slicer).replay(reader, after=0.0, greet=True)
    return reader.count


class _StoppedClock(SystemClock):
    """A clock on which work takes no time, so that all of it is done at one go."""

    def monotonic(self) -> float:
        return 0.0


def _lines() -> list[tuple[str, str]]:
    hour, full = _hour(_default_readings), _hour(_all_readings)
    default, all_families = View(DEFAULT_METRICS), View(tuple(_all_readings()))
    return [
        ("an hour of what is always sampled", f"{_memory(_default_readings):.1f} MiB"),
        ("an hour of everything", f"{_memory(_all_readings):.1f} MiB"),
        *(
            ("first subscriber of interval=" + str(n), _first_subscriber(n, hour))
            for n in (60, 600, 3600)
        ),
        ("replay of an hour, default", _per_frame(default, hour)),
        ("replay of an hour, everything", _per_frame(all_families, full)),
    ]


def _first_subscriber(ticks: int, history: History) -> str:
    view = View(DEFAULT_METRICS, ticks)
    return f"{_best(lambda: _seeded(view, history)):.2f} ms"


def _per_frame(view: View, history: History) -> str:
    best = _best(lambda: _replayed(view, history))
    return f"{best:.1f} ms, {1e3 * best / _HOUR:.1f} us per message"


def render() -> str:
    """Measure, and return the report as Markdown."""
    parts = (
        "# What history and replays cost",
        _TERMS,
        "\n".join(table(("what", "cost"), _lines())),
        "\n".join(f"- {line}" for line in machine.describe(machine.Cores.split())),
    )
    return "\n\n".join(parts) + "\n"


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    output.add_flags(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    return report_to(_arguments(arguments).output, "costs.md", render)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
