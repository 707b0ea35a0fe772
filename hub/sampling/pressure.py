"""How much time work has lost because it had to wait for processors, memory or disks."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["pressure_stalls"]

_RESOURCES: Final = ("cpu", "memory", "io")
_KINDS: Final = ("some", "full")
_AVERAGE: Final = "avg10"


def pressure_stalls(root: Path = Path("/")) -> dict[str, dict[str, float]]:
    """Return the share of the last ten seconds in which tasks waited, in percent, by resource.

    Of each of ``cpu``, ``memory`` and ``io`` there is ``some``, the time in which at least one
    task waited for it, and ``full``, the time in which all did (Linux,
    Documentation/accounting/psi). What the kernel does not tell is absent: all of it where it is
    no Linux, is older than 4.20, or was told not to measure.

    Args:
        root: where ``/proc`` is found.

    Raises:
        RuntimeError: a file says something else than the kernel's documentation; it is named.
        OSError: a file is there and cannot be read.
    """
    found = {name: _stalls(root / "proc/pressure" / name) for name in _RESOURCES}
    return {name: stalls for name, stalls in found.items() if stalls}


def _stalls(path: Path) -> dict[str, float]:
    return dict(_averages(path, _text(path)))


def _text(path: Path) -> str:
    """Return what a file says: nothing where there is none, or none that tells anything."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # disabled when the machine was started
            return ""
        raise


def _averages(path: Path, text: str) -> Iterator[tuple[str, float]]:
    """Iterate over the kinds that there are: the first word of a line, its figures follow."""
    for line in text.splitlines():
        kind, *pairs = line.split() or [""]
        if kind not in _KINDS:  # a later kernel's
            continue
        figures = dict(pair.partition("=")[::2] for pair in pairs)
        yield kind, _percent(path, figures.get(_AVERAGE, ""))


def _percent(path: Path, text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        raise RuntimeError(f"{path} has {text!r} as {_AVERAGE}") from None
    if not 0 <= percent <= 100:
        raise RuntimeError(f"{path} has {text!r} as {_AVERAGE}, which is no percentage")
    return percent
