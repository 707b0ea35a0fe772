"""What hostile clients cost the other clients: `python -m benchmarks.hostile`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from benchmarks import machine, output
from benchmarks.attack import ATTACKS
from benchmarks.bench import Case, measure_all, report_to
from benchmarks.http_attack import HTTP_ATTACKS
from benchmarks.report import table
from benchmarks.targets import HUB, python_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measurement import Measurement

_HEAD: Final = (
    "meanwhile",
    "loop lag ms",
    "livez p99 ms",
    "lag p50 ms",
    "p99",
    "max",
    "missed",
    "cut off",
    "MiB more",
    "the attacker's connections ended",
)
_TERMS: Final = """\
One attacker sends as fast as it can, and connects again whenever it is cut off. Loop lag is the
smallest bound that covers all samples of the hub's own histogram since its start; `/livez` is
asked for 20 times a second. The attacker
shares a core with the healthy clients, which therefore read late: lag, missed messages and cut off
are figures of the healthy clients, over the whole window, with every frame checked. Memory is the
growth of the server's resident memory within the window."""


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--clients", type=int, default=500, help="healthy clients (default: 500)")
    parser.add_argument("--seconds", type=int, default=10, help="of each attack (default: 10)")
    output.add_flags(parser)
    return parser.parse_args(arguments)


def _line(title: str, found: Measurement) -> tuple[str, ...]:
    ends = ", ".join(f"{count:,} x {end}" for end, count in found.ends.items())
    return (
        title,
        f"<= {found.loop_lag_ms:g}",
        f"{found.livez_p99_ms:.1f}",
        f"{found.lag_p50_ms:.1f}",
        f"{found.lag_p99_ms:.1f}",
        f"{found.lag_max_ms:.1f}",
        f"{found.drops:,}",
        f"{found.lost:,}",
        f"{found.grown_mib:.1f}",
        ends or "-",
    )


def render(found: Sequence[Measurement], seconds: int, environment: Sequence[str]) -> str:
    """Return the report as Markdown; the first measurement is the control, without an attack."""
    feed = (attack.title for attack in ATTACKS.values())
    titles = ("nothing", *feed, *(attack.title for attack in HTTP_ATTACKS.values()))
    lines = [_line(title, one) for title, one in zip(titles, found, strict=True)]
    parts = (
        "# Hostile clients",
        f"{found[0].clients:,} healthy clients, {seconds} s of each attack.\n{_TERMS}",
        "\n".join(table(_HEAD, lines)),
        "\n".join(f"- {line}" for line in environment),
    )
    return "\n\n".join(parts) + "\n"


def _run(options: argparse.Namespace) -> str:
    clients = min(options.clients, machine.raise_descriptor_limit())
    cores = machine.Cores.split()
    hub = next(one for one in python_targets() if one.key == HUB)
    attacks = ("", *ATTACKS, *HTTP_ATTACKS)
    cases = [Case(hub, clients, options.seconds, attack=name) for name in attacks]
    return render(measure_all(cases, cores), options.seconds, machine.describe(cores))


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    return report_to(options.output, "hostile.md", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
