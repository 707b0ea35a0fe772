"""Autobahn's WebSocket cases against a server, by way of kosoku, in a process of their own.

The cases are Python 2 code that kosoku makes run: it alters ``sys.path`` and a module of the
standard library, which is nobody else's concern there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Verdict", "run_cases"]

_CONCURRENCY = 8
_PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite says of one case: of the messages, and of the closing handshake."""

    case: str
    behavior: str
    closing: str

    @property
    def passed(self) -> bool:
        return self.behavior in _PASSED and self.closing in _PASSED


async def run_cases(
    url: str, include: Sequence[str], exclude: Sequence[str] = ()
) -> dict[str, Verdict]:
    """Run the cases that the globs choose; return the verdicts by case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        url,
        ",".join(include),
        ",".join(exclude),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{process.returncode}: {errors.decode()}"
    return {row[0]: Verdict(*row) for row in json.loads(output)}


async def _main(url: str, include: str, exclude: str) -> None:
    import kosoku  # noqa: PLC0415 # optional, and only for this process

    try:
        results = await kosoku.run_fuzzingclient(
            url, include.split(","), exclude.split(",") if exclude else [], _CONCURRENCY
        )
    except kosoku.FailureError as failure:
        results = failure.results
    rows = [(r.case_id, r.behavior.value, r.behavior_close.value) for r in results]
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # its threads may still run, and abort the process when the interpreter ends
