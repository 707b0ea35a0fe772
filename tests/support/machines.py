"""Scenes on this machine's own kernel, each in a process of its own with namespaces of its own.

What a scene mounts and which interfaces it makes is gone when it is. It returns what it has seen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

__all__ = ["Witness", "mount", "needs", "play", "run"]

_ROOT: Final = Path(__file__).parents[2]
_UNSHARE: Final = shutil.which("unshare") or ""
_TYPES: Final = Path("/proc/filesystems")
_SECONDS: Final = 30.0  # a safety net


def needs(
    *commands: str, files: Sequence[str] = (), types: Sequence[str] = ()
) -> pytest.MarkDecorator:
    """Skip a test, saying why, where there are no namespaces, or not what it needs besides.

    ``types`` are file systems that the kernel must know.
    """
    missing = [name for name in ("unshare", "mount", *commands) if shutil.which(name) is None]
    missing += [name for name in files if not Path(name).exists()]
    known = _TYPES.read_text().split() if _TYPES.exists() else []
    missing += [name for name in types if name not in known]
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("root on Linux")
    return pytest.mark.skipif(bool(missing), reason=f"namespaces take {', '.join(missing)}")


def play(scene: Callable[..., Any], *arguments: object, network: bool = False) -> Any:  # noqa: ANN401 # a scene's own
    """Return what a scene returns, by way of JSON. Skips where namespaces must not be made."""
    unshare = (_UNSHARE, "--mount", *(("--net",) if network else ()))
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("namespaces cannot be made here")
    seen = f"scenes.{scene.__name__}(*{arguments!r})"
    call = f"import json, {scene.__module__} as scenes; print(json.dumps({seen}))"
    played = subprocess.run(  # noqa: S603 # our own
        [*unshare, sys.executable, "-c", call],
        cwd=_ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    return json.loads(played.stdout)


def run(*command: str | bytes | Path, keep: Sequence[int] = ()) -> str:
    """Run a command of the system's, which has some descriptors too; return what it prints."""
    done = subprocess.run(  # noqa: S603 # our own
        command, check=False, capture_output=True, text=True, pass_fds=keep
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def mount(*arguments: str | Path) -> None:
    run("mount", *arguments)


class Witness:
    """Stands in a function of psutil's place, asks it, and remembers what it said and when."""

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self._ask = getattr(psutil, name)
        self._seconds = seconds  # that it takes besides
        self.answers: list[tuple[float, Any]] = []
        setattr(psutil, name, self)

    def __call__(self, *arguments: object, **named: object) -> Any:  # noqa: ANN401 # psutil's
        time.sleep(self._seconds)
        answer = self._ask(*arguments, **named)
        self.answers.append((time.monotonic(), answer))
        return answer

    def rate(self, counter: str, devices: Collection[str] | None = None) -> float:
        """Return what devices, by default all, have counted per second between the last two."""
        (began, before), (ended, after) = self.answers[-2:]
        shared = before.keys() & after.keys()
        names = shared if devices is None else shared.intersection(devices)
        grown = sum(getattr(after[n], counter) - getattr(before[n], counter) for n in names)
        return float(grown / (ended - began))
