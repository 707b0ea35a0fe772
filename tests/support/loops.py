"""The event loops on which a hub may run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["LOOPS", "environ_for"]

LOOPS: Final = ("uvloop", "asyncio")


def environ_for(loop: str, directory: Path) -> dict[str, str]:
    """Return variables with which a hub runs on that loop; ``directory`` is an empty one."""
    if loop == "uvloop":
        return {}
    (directory / "uvloop.py").write_text("raise ImportError('not here')\n")
    paths = (str(directory), os.environ.get("PYTHONPATH", ""))
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
