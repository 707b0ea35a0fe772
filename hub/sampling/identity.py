"""What machine this is."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

__all__ = ["Identity", "machine_identity"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What machine this is, and since when it runs.

    Attributes:
        name: its own, as on its network.
        system: the operating system's family, such as ``Linux``.
        kernel: the system's release.
        cores: logical processors that it has.
        memory: bytes of it.
        boot_time: when it was started, RFC 3339 in UTC.
    """

    name: str
    system: str
    kernel: str
    cores: int | None
    memory: int
    boot_time: str


def machine_identity() -> Identity:
    """Return what machine this is.

    Raises:
        OSError: the system does not tell.
    """
    try:
        return Identity(
            name=platform.node(),
            system=platform.system(),
            kernel=platform.release(),
            cores=psutil.cpu_count() or os.cpu_count(),
            memory=psutil.virtual_memory().total,
            boot_time=_timestamp(psutil.boot_time()),
        )
    except (psutil.Error, RuntimeError, ValueError) as error:
        raise OSError(f"the machine cannot be read: {error}") from error


def _timestamp(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
