"""What sampling costs, and the past of very many devices: `python -m benchmarks.sampling`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from benchmarks import machine, output
from benchmarks.bench import hub_process, report_to
from benchmarks.crowd import CrowdSpec, ask, measure_crowd
from benchmarks.machine import Cores, pinned
from benchmarks.meter import Meter
from benchmarks.report import Row, incidents, table
from benchmarks.targets import HUB, Target, UnavailableError
from benchmarks.tick import TickCost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.crowd import Answer, Crowd
    from benchmarks.measurement import Measurement

_SETTLING: Final = 3.0
_MIB: Final = 2**20
_TICK_TERMS: Final = """\
A tick of all families that are sampled though no client asks for them, in the thread that reads
them: its processor time by family, the median of many ticks. Between two ticks the thread sleeps,
so that caches have gone cold as they have in a hub. The time until the event loop has the readings
is the last line. In the namespace with many interfaces there are no control groups to be read, and
no interface is physical, so that those that count are found by the routes."""
_CROWD_TERMS: Final = """\
A hub in a network namespace of its own, all of whose interfaces are busy. Its clock is an hour
behind at first; then it samples and publishes an hour of ticks, each due at once, until it is the
present. Of the interfaces 63 have a place of their own, the others share one. Requests are for all
of them: `/api/system/metrics/history?metrics=network&devices=network:*`."""
_LAG_TERMS: Final = """\
Meanwhile clients follow the default view; how late their messages are runs from the sample's time,
and so has the sampling in it."""


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    usual = CrowdSpec()
    parser.add_argument("--ticks", type=int, default=usual.ticks, help="to be measured")
    parser.add_argument("--pause", type=float, default=usual.pause, help="seconds between them")
    parser.add_argument("--pairs", type=int, default=200, help="of interfaces; 0 is no such part")
    parser.add_argument("--seconds", type=int, default=usual.seconds, help="of watching clients")
    parser.add_argument("--history-bytes", type=int, default=usual.history_bytes)
    output.add_flags(parser)
    return parser.parse_args(arguments)


def _us(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _tick_lines(here: TickCost, crowded: TickCost | None) -> Iterator[tuple[str, ...]]:
    others = crowded.families if crowded else {}
    for name, taken in here.families.items():
        yield name, _us(taken), _us(others.get(name))
    yield "**all**", f"**{_us(here.cpu)}**", f"**{_us(crowded.cpu if crowded else None)}**"
    yield "until the event loop has them", _us(here.wall), _us(crowded.wall if crowded else None)


def _memory_lines(crowd: Crowd, idle: int) -> Iterator[tuple[str, str]]:
    more = crowd.filled - crowd.idle
    yield "snapshots kept", f"{crowd.snapshots:,}"
    yield "which reach back", f"{crowd.reach:,.0f} s"
    yield "by the hub's own account", f"{crowd.estimate / _MIB:.1f} MiB"
    yield "resident, more than before", f"{more / _MIB:.1f} MiB"
    yield "account over truth", f"{crowd.estimate / more:.2f}" if more > 0 else "-"
    yield "the most while it answered, more than before", _mib(crowd.peak - crowd.idle)
    yield "the same hub before", _mib(crowd.idle)
    yield "a hub outside, idle", _mib(idle)


def _mib(size: float) -> str:
    return f"{size / _MIB:.1f} MiB"


def _answer_line(answer: Answer) -> tuple[str, ...]:
    size = _mib(answer.size) if answer.rows else "-"
    return f"{answer.asked:,}", str(answer.status), f"{answer.rows:,}", size, f"{answer.taken:.2f}"


def _lag_line(title: str, found: Measurement) -> tuple[str, ...]:
    lags = (found.lag_p50_ms, found.lag_p99_ms, found.lag_max_ms)
    return title, *(f"{lag:.1f}" for lag in lags), f"{found.drops:,}"


def _crowd_parts(crowd: Crowd, pairs: int, idle: int) -> Iterator[str]:
    yield f"## An hour of {2 * pairs} interfaces"
    yield _CROWD_TERMS
    yield "\n".join(table(("memory", ""), list(_memory_lines(crowd, idle))))
    head = ("seconds asked for", "status", "rows", "size", "s until all was there")
    yield "\n".join(table(head, [_answer_line(one) for one in crowd.answers]))
    yield _LAG_TERMS
    asking = f"the last of these requests, {crowd.asked} answers"
    lines = [_lag_line("no client asks", crowd.calm), _lag_line(asking, crowd.busy)]
    yield "\n".join(table(("meanwhile", "lag p50 ms", "p99", "max", "missed"), lines))


def render(
    here: TickCost, crowd: Crowd | None, *, pairs: int, idle: int, notes: Sequence[str]
) -> str:
    """Return the report as Markdown; `idle` is a hub's resident bytes where nothing happens."""
    head = ("family", "us", f"us with {2 * pairs} interfaces")
    found = (crowd.calm, crowd.busy) if crowd else ()
    disturbed = incidents([Row(Target(HUB, "hub", ()), one) for one in found])
    lines = list(_tick_lines(here, crowd.tick if crowd else None))
    parts = (
        "# What sampling costs",
        _TICK_TERMS,
        "\n".join(table(head, lines)),
        *(_crowd_parts(crowd, pairs, idle) if crowd else ()),
        "\n".join(f"- {note}" for note in (*disturbed, *notes)),
    )
    return "\n\n".join(parts) + "\n"


def _tick(options: argparse.Namespace, cores: Cores) -> TickCost:
    command = (sys.executable, "-m", "benchmarks.tick", str(options.ticks), str(options.pause))
    with pinned(cores.server):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return TickCost(**json.loads(done.stdout))


def _idle(cores: Cores) -> int:
    """Return the resident bytes of a hub that has answered once and has no client."""
    with pinned(cores.server), hub_process() as (process, port):
        ask(port, 60)
        time.sleep(_SETTLING)
        return Meter(process).resident_bytes()


def _run(options: argparse.Namespace) -> str:
    cores = Cores.split()
    notes = [*machine.describe(cores)]
    here, crowd = _tick(options, cores), None
    spec = CrowdSpec(
        seconds=options.seconds,
        history_bytes=options.history_bytes,
        ticks=options.ticks,
        pause=options.pause,
    )
    try:
        if options.pairs:
            crowd = measure_crowd(options.pairs, spec)
    except UnavailableError as error:
        notes.insert(0, str(error))
    return render(here, crowd, pairs=options.pairs, idle=_idle(cores), notes=notes)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the report and print it; return the process's exit status."""
    options = _arguments(arguments)
    return report_to(options.output, "sampling.md", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
