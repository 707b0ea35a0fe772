"""Compares the hub with other servers of the same feed: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine, output
from benchmarks.bench import BenchError, Case, end_on_sigterm, measure_all
from benchmarks.report import Report, Row
from benchmarks.targets import Target, UnavailableError, c_target, python_targets

if TYPE_CHECKING:
    from collections.abc import Sequence


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--clients", type=_counts, default=(100, 1000, 9000), help="e.g. 100,1000", metavar="N,…"
    )
    parser.add_argument(
        "--seconds", type=int, default=7, help="length of each measured window (default: 7)"
    )
    parser.add_argument("--only", type=_keys, help="e.g. hub,floor-c", metavar="SERVER,…")
    output.add_flags(parser)
    return parser.parse_args(arguments)


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(part) for part in text.split(","))
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def _keys(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _targets(only: Sequence[str] | None, directory: Path) -> tuple[list[Target], list[str]]:
    """Return the servers to compare, and why others are left out."""
    targets, reasons = list(python_targets()), []
    try:
        targets.append(c_target(directory))
    except UnavailableError as error:
        reasons.append(str(error))
    if unknown := set(only or ()) - {target.key for target in targets}:
        raise BenchError(f"no such server: {', '.join(sorted(unknown))}")
    return [one for one in targets if only is None or one.key in only], reasons


def _compare(options: argparse.Namespace, directory: Path) -> Report:
    most = machine.raise_descriptor_limit()
    cores = machine.Cores.split()
    targets, notes = _targets(options.only, directory)
    counts = machine.fitting(options.clients, most)
    if max(options.clients) > most:
        notes.append(f"The limit of open files allows {most:,} clients at most.")
    cases = [Case(one, count, options.seconds) for count in counts for one in targets]
    found = measure_all(cases, cores)
    rows = tuple(Row(case.target, one) for case, one in zip(cases, found, strict=True))
    return Report(rows, tuple(notes), machine.describe(cores))


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    end_on_sigterm()
    try:
        with tempfile.TemporaryDirectory() as directory:
            report = _compare(options, Path(directory))
    except BenchError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    output.write(options.output, {"report.md": report.markdown(), "chart.svg": report.chart()})
    print(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
