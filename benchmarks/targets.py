"""The servers that are compared, and how each of them is started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HUB: Final = "hub"
PLAIN: Final = "plain"
FLOOR: Final = "floor-c"


class UnavailableError(Exception):
    """A server cannot be run here, for the reason given."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server to measure: its key for the command line, its title in reports, its command."""

    key: str
    title: str
    command: tuple[str, ...]


MADE_UP: Final = Target(
    "made-up", "hub, made-up machine", (sys.executable, "-m", "benchmarks.servers.made_up")
)
"""Not compared with the others, whose messages are of another kind."""


def python_targets() -> tuple[Target, ...]:
    """Return the targets written in Python, the hub first."""
    return (
        Target(HUB, "hub", _module("hub", "--port", "0", "--no-access-log")),
        Target("pump", "hub on stock uvicorn", _module("benchmarks.servers.pump")),
        Target(PLAIN, "Starlette, queue per client", _module("benchmarks.servers.plain")),
        Target("broadcast", "websockets.broadcast()", _module("benchmarks.servers.broadcast")),
        Target("floor-python", "Python floor", _module("benchmarks.servers.floor")),
    )


def c_target(directory: Path) -> Target:
    """Compile the C floor into a directory; raises `UnavailableError` where that cannot be done."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnavailableError("C floor left out: there is no C compiler (cc)")
    program = directory / "floor"
    source = Path(__file__).parent / "servers" / "floor.c"
    built = subprocess.run(
        (compiler, "-O2", "-o", program, source), capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise UnavailableError(f"C floor left out: it does not compile: {built.stderr.strip()}")
    return Target(FLOOR, "C floor", (str(program),))


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
