"""What history, replays and publishing cost in a process: `python -m benchmarks.costs`."""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import itertools
import math
import multiprocessing
import os
import statistics
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import machine, output
from benchmarks.bench import report_to
from benchmarks.made_up import LARGEST, USUAL, Machine, at_rest, families, snapshots
from benchmarks.meter import Meter
from benchmarks.report import table
from hub import Hub, Settings
from hub.clock import SystemClock
from hub.devices import Selection
from hub.errors import CloseReason, InvalidValue
from hub.feed.channel import Channel
from hub.feed.history import History
from hub.feed.liveness import EpisodeLog
from hub.feed.reader import HostTicket
from hub.feed.subscriber import Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import DEFAULT_METRICS, View
from hub.web.past import check_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from hub.feed.view import Frame
    from hub.sampling.metric import Metric
    from hub.sampling.snapshot import Snapshot

_HOUR: Final = 3600
_TERMS: Final = """\
Snapshots are made up, with numbers of the size that they have in life. The usual machine has 16
cores, and 4 disks, interfaces and file systems each; its file systems stay as they are, and every
other disk and interface is idle. The largest has 64 of each, which is the most that a snapshot may
have, and nothing stays as it is. Families "at rest" are those that are always sampled; "all" are
also those that are sampled only when a client asks. Memory is what Python allocates for an hour of
snapshots, one a second, and by how much that makes a fresh process's resident memory grow. The
account is the hub's own, which ends the history where it comes to `--history-bytes`. Times are the
best or the median of several rounds."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that an hour takes: by its own account, as Python allocates them, and resident."""

    account: int
    allocated: int
    resident: int


def _hour(of: Machine, names: Collection[str], most_bytes: float = math.inf) -> History:
    history = History(_HOUR, most_bytes)
    for snapshot in itertools.islice(snapshots(of, names), _HOUR):
        history.append(snapshot)
    return history


def measure_memory(of: Machine, names: Collection[str]) -> Memory:
    """Measure in a process of its own, whose memory is still as small as it can be."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as fresh:
        return fresh.submit(_memory, of, names).result()


def _memory(of: Machine, names: Collection[str]) -> Memory:
    meter = Meter(os.getpid())
    next(snapshots(of, names))  # what is imported and kept by the first is not the history's
    gc.collect()
    before = meter.resident_bytes()
    history = _hour(of, names)
    resident, account = meter.resident_bytes() - before, history.bytes
    del history
    tracemalloc.start()
    history = _hour(of, names)
    allocated = tracemalloc.get_traced_memory()[0] if history.end else 0
    tracemalloc.stop()
    return Memory(account, allocated, resident)


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


def _best(action: Callable[[], object], rounds: int = 5) -> float:
    """Return the shortest time that the action took, in ms."""

    def once() -> float:
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin

    return 1e3 * min(once() for _ in range(rounds))


def _channel(view: View, metrics: Mapping[str, Metric], history: History) -> Channel:
    return Channel(view, metrics, history, TimeSlicer(_StoppedClock()), resumed=True)


def _replayed(view: View, metrics: Mapping[str, Metric], history: History) -> int:
    reader = _Reader(view)
    _channel(view, metrics, history).replay(reader, after=0.0, greet=True)
    return reader.count


class _StoppedClock(SystemClock):
    """A clock on which work takes no time, so that all of it is done at one go."""

    def monotonic(self) -> float:
        return 0.0


def _memory_lines(metrics: Mapping[str, Metric]) -> Iterator[tuple[str, ...]]:
    resting = at_rest(metrics)
    for title, of, names in (
        ("usual machine, at rest", USUAL, resting),
        ("usual machine, all", USUAL, tuple(metrics)),
        ("largest machine, at rest", LARGEST, resting),
        ("largest machine, all", LARGEST, tuple(metrics)),
    ):
        found = measure_memory(of, names)
        sizes = (found.allocated, found.resident, found.account)
        share = min(1.0, Settings().history_bytes / found.account)
        yield (
            title,
            *(f"{size / 2**20:.1f}" for size in sizes),
            f"{found.account / found.allocated:.2f}",
            f"{found.account / found.resident:.2f}",
            f"{share * _HOUR:,.0f}",
        )


def _time_lines(metrics: Mapping[str, Metric]) -> Iterator[tuple[str, str]]:
    resting, every = at_rest(metrics), tuple(metrics)
    hour = _hour(USUAL, resting)
    for n in (60, 600, 3600):
        view = View(DEFAULT_METRICS, n)
        best = _best(functools.partial(_channel, view, metrics, hour))
        yield f"first subscriber of interval={n}", f"{best:.2f} ms"
    yield "replay of an hour, default", _replay(View(DEFAULT_METRICS), metrics, hour)
    yield "replay of an hour, at rest", _replay(View(resting), metrics, hour)
    yield "replay of an hour, all", _replay(View(every), metrics, _hour(USUAL, every))
    for title, of, names in (
        ("usual machine, at rest", USUAL, resting),
        ("largest machine, all", LARGEST, every),
    ):
        keep = History(_HOUR).append
        yield f"keeping a snapshot, {title}", f"{_each(keep, snapshots(of, names)):.0f} us"
        yield f"publishing to no client, {title}", f"{asyncio.run(_published(of, names)):.0f} us"
    yield from _full_lines(resting)


def _full_lines(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Iterate over what takes the longer, the more the history holds."""
    history = _hour(LARGEST, names, Settings().history_bytes)
    every = tuple((name, Selection(("*",))) for name in ("disk_io", "network"))
    view = View(tuple(names), devices=every)
    best = _best(lambda: _checked(history, view))
    yield "telling how large an answer would be, largest machine, at rest", f"{best:.1f} ms"
    gc.collect()
    gc.freeze()  # all else, as the server does
    again = _hour(LARGEST, names, Settings().history_bytes)
    title = f"looking for cycles among {len(again):,} of its snapshots"
    yield title, f"{_best(gc.collect):.0f} ms"
    gc.unfreeze()


def _checked(history: History, view: View) -> None:
    try:
        check_size(history, view, _HOUR)
    except InvalidValue:
        return


async def _published(of: Machine, names: Collection[str]) -> float:
    """Return how many us of the event loop a snapshot takes that no client wants to see."""
    return _each(Hub().publish, snapshots(of, names))


def _each(take: Callable[[Snapshot], object], made_up: Iterator[Snapshot]) -> float:
    """Return how many us it takes to take a snapshot, the median of many."""

    def once() -> float:
        snapshot = next(made_up)
        begin = time.perf_counter()
        take(snapshot)
        return time.perf_counter() - begin

    return 1e6 * statistics.median(once() for _ in range(300))


def _replay(view: View, metrics: Mapping[str, Metric], history: History) -> str:
    best = _best(functools.partial(_replayed, view, metrics, history), 3)
    return f"{best:.1f} ms, {1e3 * best / _HOUR:.1f} us per message"


def render() -> str:
    """Measure, and return the report as Markdown."""
    metrics = families()
    head = ("an hour", "allocated MiB", "resident", "account", "account/allocated",
            "account/resident", "seconds that fit")  # fmt: skip
    parts = (
        "# What history, replays and publishing cost",
        _TERMS,
        "\n".join(table(head, list(_memory_lines(metrics)))),
        "\n".join(table(("what", "time"), list(_time_lines(metrics)))),
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
