"""The machine the measurements run on: its cores, its limits and what is installed on it."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PACKAGES: Final = ("uvicorn", "starlette", "websockets", "uvloop", "psutil")
_SPARE_DESCRIPTORS: Final = 200


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server runs on and which one the load; the same if there is only one."""

    server: int
    load: int

    @classmethod
    def split(cls) -> Self:
        """Return the last and the first core that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(server=usable[-1], load=usable[0])

    @property
    def shared(self) -> bool:
        """Whether server and load take time from each other."""
        return self.server == self.load


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Restrict the processes that are started within the block to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; return how many clients fit in it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return 1_000_000
    return hard - _SPARE_DESCRIPTORS


def fitting(counts: Sequence[int], most: int) -> tuple[int, ...]:
    """Return the numbers of clients, none above `most`, ascending and each once."""
    return tuple(sorted({min(count, most) for count in counts}))


def describe(cores: Cores) -> tuple[str, ...]:
    """Return what a reader of the figures has to know about the machine, without identifying it."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    where = "server and load share one core" if cores.shared else "server and load on one core each"
    return (
        f"{platform.python_implementation()} {platform.python_version()}; {packages}",
        f"{platform.system()} {platform.release()}, {_processor()}, "
        f"{len(os.sched_getaffinity(0))} usable cores; {where}",
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
