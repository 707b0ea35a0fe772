"""Where reports are written: to `build/benchmarks`, and to the recorded results on request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

RECORDED: Final = Path(__file__).parent / "results"
"""The results that are part of the repository, and that the README shows."""

UNRECORDED: Final = Path(__file__).parent.parent / "build" / "benchmarks"
"""The results of other runs; git ignores them."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--record` and `--output DIRECTORY`; the parsed `output` is the directory to write to."""
    flags = parser.add_mutually_exclusive_group()
    flags.add_argument(
        "--record",
        dest="output",
        action="store_const",
        const=RECORDED,
        default=UNRECORDED,
        help="replace the results in benchmarks/results",
    )
    flags.add_argument(
        "--output",
        type=Path,
        default=UNRECORDED,
        help="write to another directory (default: build/benchmarks)",
        metavar="DIRECTORY",
    )


def write(directory: Path, reports: Mapping[str, str]) -> None:
    """Write texts to files of these names; tell on stderr where they are."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in reports.items():
        (directory / name).write_text(text)
    print(f"written to {directory}: {', '.join(reports)}", file=sys.stderr)
