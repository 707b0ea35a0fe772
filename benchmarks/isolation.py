"""What stalled clients cost the healthy clients: `python -m benchmarks.isolation`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from benchmarks import machine, output
from benchmarks.bench import Case, measure_all, report_to
from benchmarks.report import Row, incidents, table
from benchmarks.targets import HUB, PLAIN, Target, python_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARES: Final = (0, 10, 50)
_CALM_SECONDS: Final = 5  # without stalled clients no buffer has to fill
_HEAD: Final = (
    "server",
    "stalled",
    "healthy",
    "lag p50 ms",
    "p99",
    "max",
    "missed by healthy",
    "healthy cut off",
    "stalled cut off",
    "KiB/client",
)
_TERMS: Final = """\
A stalled client shakes hands with the smallest receive buffer there is, which this feed fills in
about 11 s, and then reads nothing. Lag and missed messages are those of the healthy clients, over
the whole window, with every frame checked. Stalled clients count as cut off when the server holds
no descriptors for them at the end of the window."""


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation", description=__doc__)
    parser.add_argument(
        "--clients", type=int, default=2000, help="healthy and stalled (default: 2000)"
    )
    parser.add_argument(
        "--seconds", type=int, default=34, help="length of the windows with stalls (default: 34)"
    )
    output.add_flags(parser)
    return parser.parse_args(arguments)


def _case(target: Target, clients: int, share: int, seconds: int) -> Case:
    stalled = clients * share // 100
    window = seconds if stalled else min(seconds, _CALM_SECONDS)
    return Case(target, clients - stalled, window, stalled)


def _line(row: Row) -> tuple[str, ...]:
    found = row.measurement
    total = found.clients + found.stalled
    return (
        row.target.title,
        f"{100 * found.stalled / total:.0f} %",
        f"{found.clients:,}",
        f"{found.lag_p50_ms:.1f}",
        f"{found.lag_p99_ms:.1f}",
        f"{found.lag_max_ms:.1f}",
        f"{found.drops:,}",
        f"{found.lost:,}",
        f"{found.cut:,} of {found.stalled:,}",
        f"{found.rss_kib:.1f}",
    )


def render(rows: Sequence[Row], seconds: int, environment: Sequence[str]) -> str:
    """Return the report as Markdown."""
    found = rows[0].measurement
    total = found.clients + found.stalled
    parts = (
        "# Isolation of stalled clients",
        f"{total:,} clients, a window of {seconds} s where some stall.\n{_TERMS}",
        "\n".join(table(_HEAD, [_line(row) for row in rows])),
        "\n".join(f"- {line}" for line in (*incidents(rows), *environment)),
    )
    return "\n\n".join(parts) + "\n"


def _run(options: argparse.Namespace) -> str:
    clients = min(options.clients, machine.raise_descriptor_limit())
    cores = machine.Cores.split()
    targets = [one for one in python_targets() if one.key in (HUB, PLAIN)]
    cases = [_case(one, clients, share, options.seconds) for one in targets for share in _SHARES]
    found = measure_all(cases, cores)
    rows = [Row(case.target, one) for case, one in zip(cases, found, strict=True)]
    return render(rows, options.seconds, machine.describe(cores))


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    return report_to(options.output, "isolation.md", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
