"""One target guided by coverage: ``python -m tests.fuzz.guided TARGET`` and libFuzzer's own flags.

A process of its own, since libFuzzer ends the one it runs in.
"""

from __future__ import annotations

import importlib
import sys

__all__: list[str] = []


def main() -> None:
    """Run until libFuzzer ends the process: with 0, or with another status if something fails."""
    atheris = importlib.import_module("atheris")  # which has no types
    with atheris.instrument_imports(include=["hub", "websockets"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    name, *flags = sys.argv[1:]
    atheris.Setup([sys.argv[0], *flags], targets[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
