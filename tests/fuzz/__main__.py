"""Search the parsers for faults: ``python -m tests.fuzz SECONDS [--keep] [TARGET...]``.

Guided by coverage where atheris is installed, else by hypothesis. The seconds are for all targets
together. Ends with 1 and shows the input if something does not hold.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from tests.fuzz.distilled import keep_what_is_new
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.unguided import search

__all__: list[str] = []

_LONGEST = 512  # bytes of an input, by which every branch can be reached


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--keep", action="store_true", help="add what goes a new way to the corpus")
    options = parser.parse_args()
    chosen = [TARGETS[name] for name in options.targets or TARGETS]
    share = options.seconds / len(chosen)
    guided = importlib.util.find_spec("atheris") is not None
    print("Guided by coverage (atheris)" if guided else "Unguided (hypothesis)", flush=True)
    found = [
        _search_guided(target, share, keep=options.keep) if guided else _search(target, share)
        for target in chosen
    ]
    return 0 if all(found) else 1


def _search(target: Target, seconds: float) -> bool:
    try:
        count = search(target, seconds)
    except Exception as error:  # whatever it is
        print(f"{target.name}: {error!r}", *traceback.format_exception(error), sep="\n")
        return False
    print(f"{target.name}: {count} inputs", flush=True)
    return True


def _search_guided(target: Target, seconds: float, *, keep: bool) -> bool:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "new").mkdir()
        words = "".join(f'"{_escaped(word)}"\n' for word in target.words)
        (place / "words").write_text(words)
        flags = [
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={_LONGEST}",
            f"-dict={place / 'words'}",
            f"-artifact_prefix={place}/failed-",
            "-timeout=5",
            "-print_final_stats=1",
        ]
        run = _guided(target, *flags, str(place / "new"), str(CORPUS / target.name))
        counts = re.search(r"number_of_executed_units: (\d+)", run.stderr)
        print(f"{target.name}: {counts[1] if counts else 'unknown'} inputs", flush=True)
        if run.returncode:
            print(run.stdout)  # the traceback
        for path in place.glob("failed-*"):
            print(f"{target.name}: {path.name}: {path.read_bytes()!r}", flush=True)
        if keep and not run.returncode:
            keep_what_is_new(target, place / "new")
        return not run.returncode


def _guided(target: Target, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.guided", target.name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 # itself


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
