"""What many different views cost compared with one: `python -m benchmarks.views`."""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from typing import TYPE_CHECKING, Final

from benchmarks import machine, output
from benchmarks.bench import Case, measure_all, report_to
from benchmarks.report import table
from benchmarks.servers.feed import PATH
from benchmarks.targets import HUB, python_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measurement import Measurement

_METRICS: Final = ("cpu", "memory", "disk", "swap")
_HEAD: Final = ("views", "CPU us/frame", "lag p50 ms", "p99", "missed", "KiB/client")
_TERMS: Final = """\
Every client gets one message a second. The views are different choices among four percentages,
with and without `partial` and `seq`, and clients take them in turn; so the messages of many views
are a little shorter than those of the one, which has all four. The two kinds alternate."""


def views(count: int) -> tuple[str, ...]:
    """Return the paths of `count` different views, those with the most metrics first."""
    chosen = (
        f"{PATH}?metrics={','.join(names)}&partial={partial}&seq={seq}"
        for size in range(len(_METRICS), 0, -1)
        for names in itertools.combinations(_METRICS, size)
        for partial in ("false", "true")
        for seq in ("false", "true")
    )
    return tuple(itertools.islice(chosen, count))


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.views", description=__doc__)
    parser.add_argument("--clients", type=int, default=9000, help="all clients (default: 9000)")
    parser.add_argument("--views", type=int, default=50, help="at most 60 (default: 50)")
    parser.add_argument("--seconds", type=int, default=10, help="of each round (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind (default: 3)")
    output.add_flags(parser)
    return parser.parse_args(arguments)


def _line(count: int, found: Measurement) -> tuple[str, ...]:
    return (
        str(count),
        f"{found.cpu_us:.2f}",
        f"{found.lag_p50_ms:.1f}",
        f"{found.lag_p99_ms:.1f}",
        f"{found.drops:,}",
        f"{found.rss_kib:.1f}",
    )


def render(rounds: Sequence[tuple[int, Measurement]], environment: Sequence[str]) -> str:
    """Return the report as Markdown; each round is a number of views and its measurement."""
    one, many = sorted({count for count, _ in rounds})
    medians = {
        count: statistics.median(found.cpu_us for other, found in rounds if other == count)
        for count in (one, many)
    }
    summary = (
        f"The median of {many} views is {medians[many]:.2f} us per frame, that of {one} is "
        f"{medians[one]:.2f}: a ratio of {medians[many] / medians[one]:.2f}."
    )
    parts = (
        "# Many views",
        f"{rounds[0][1].clients:,} clients. {_TERMS}",
        "\n".join(table(_HEAD, [_line(count, found) for count, found in rounds])),
        summary,
        "\n".join(f"- {line}" for line in environment),
    )
    return "\n\n".join(parts) + "\n"


def _run(options: argparse.Namespace) -> str:
    clients = min(options.clients, machine.raise_descriptor_limit())
    cores = machine.Cores.split()
    hub = next(one for one in python_targets() if one.key == HUB)
    cases = [
        Case(hub, clients, options.seconds, paths=views(count))
        for _ in range(options.rounds)
        for count in (1, options.views)
    ]
    found = measure_all(cases, cores)
    rounds = [(len(case.paths), one) for case, one in zip(cases, found, strict=True)]
    return render(rounds, machine.describe(cores))


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    return report_to(options.output, "views.md", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
