"""A corpus that stays small: one input for each way through the hub's code."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final

import hub
from tests.fuzz.target import CORPUS, Target

__all__ = ["keep_what_is_new"]

_Step = tuple[str, int, int]

_CODE: Final = str(Path(hub.__file__).parent)


def keep_what_is_new(target: Target, found: Path) -> int:
    """Add to a target's corpus what goes from a line of the hub to another as no input yet.

    Args:
        target: whose corpus it is.
        found: folder of inputs that may be added, the shortest first.

    Returns:
        How many were added.
    """
    known: set[_Step] = set()
    for data in target.seeds().values():
        known |= _steps(target, data)
    added = 0
    for path in sorted(found.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        steps = _steps(target, path.read_bytes())
        if not steps <= known:
            known |= steps
            added += 1
            shutil.copy(path, CORPUS / target.name / path.name)
    return added


def _steps(target: Target, data: bytes) -> set[_Step]:
    """Return from which line to which the hub's code goes."""
    steps: set[_Step] = set()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401 # as sys.settrace has it
        file = frame.f_code.co_filename
        if not file.startswith(_CODE):
            return None
        if event in {"call", "line"}:
            steps.add((file, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return steps
