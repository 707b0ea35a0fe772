"""What compression costs and saves: `python -m benchmarks.compression`."""

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
from benchmarks.servers.made_up import path_of_all
from benchmarks.targets import MADE_UP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measurement import Measurement

_HEAD: Final = (
    "view", "clients offer it", "bytes/frame", "CPU us/frame", "lag p50 ms", "p99", "missed",
    "KiB/client", "load us/frame",
)  # fmt: skip
_TERMS: Final = """\
Every client gets one message a second: of the default view, or of all families of a made-up
machine of 16 cores. Clients offer compression as browsers do, or not at all. **bytes/frame** is the
WebSocket frame with its header, and without those of TCP and IP. The kinds take turns."""


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__)
    parser.add_argument("--clients", type=int, default=9000, help="all clients (default: 9000)")
    parser.add_argument("--seconds", type=int, default=10, help="of each round (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind (default: 3)")
    output.add_flags(parser)
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace, clients: int) -> list[tuple[str, Case]]:
    views = {"default": PATH, "all families": path_of_all()}
    return [
        (view, Case(MADE_UP, clients, options.seconds, paths=(path,), compression=compression))
        for _ in range(options.rounds)
        for (view, path), compression in itertools.product(views.items(), (False, True))
    ]


def _line(view: str, case: Case, found: Measurement) -> tuple[str, ...]:
    return (
        view,
        "yes" if case.compression else "no",
        f"{found.frame_bytes:,.0f}",
        f"{found.cpu_us:.2f}",
        f"{found.lag_p50_ms:.1f}",
        f"{found.lag_p99_ms:.1f}",
        f"{found.drops:,}",
        f"{found.rss_kib:.2f}",
        f"{found.load_us:.2f}",
    )


def _summary(rounds: Sequence[tuple[str, Case, Measurement]]) -> list[str]:
    """Return what clients that offer it get and cost, as a share of what others do."""
    lines = []
    for view in dict.fromkeys(view for view, _, _ in rounds):
        kinds = (
            [f for v, c, f in rounds if (v, c.compression) == (view, x)] for x in (True, False)
        )
        with_it, without = map(_medians, kinds)
        size, cpu = with_it[0] / without[0], with_it[1] / without[1]
        memory = with_it[2] - without[2]
        lines.append(
            f"- {view}: bytes {size:.2f}, CPU per frame {cpu:.2f}, {memory:+.2f} KiB/client"
        )
    return lines


def _medians(found: Sequence[Measurement]) -> tuple[float, float, float]:
    """Return the medians of bytes per frame, CPU per frame, and memory per client."""
    figures = zip(*((one.frame_bytes, one.cpu_us, one.rss_kib) for one in found), strict=True)
    size, cpu, memory = map(statistics.median, figures)
    return size, cpu, memory


def render(rounds: Sequence[tuple[str, Case, Measurement]], environment: Sequence[str]) -> str:
    """Return the report as Markdown."""
    parts = (
        "# Compression",
        f"{rounds[0][2].clients:,} clients. {_TERMS}",
        "\n".join(table(_HEAD, [_line(*one) for one in rounds])),
        "With compression, as a share of without (medians):\n\n" + "\n".join(_summary(rounds)),
        "\n".join(f"- {line}" for line in environment),
    )
    return "\n\n".join(parts) + "\n"


def _run(options: argparse.Namespace) -> str:
    clients = min(options.clients, machine.raise_descriptor_limit())
    cores = machine.Cores.split()
    cases = _cases(options, clients)
    found = measure_all([case for _, case in cases], cores)
    rounds = [(view, case, one) for (view, case), one in zip(cases, found, strict=True)]
    return render(rounds, machine.describe(cores))


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    return report_to(options.output, "compression.md", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
