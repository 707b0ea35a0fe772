"""A busy machine of many cores as a feed tells of it, and what a terminal shows of it."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyte
from pyte.screens import Char
from rich.cells import cell_len
from rich.console import Console

from hub.cli.watch.keys import Key
from hub.cli.watch.machine import Machine
from hub.cli.watch.message import Message
from hub.cli.watch.screen import Screen
from hub.cli.watch.viewer import Phase, State
from tests.support.fakes import FakeClock

__all__ = ["BACKUP", "MACHINE", "Picture", "busy_machine", "message"]

BACKUP: Final = "/srv/backup/archives/of/the/last/decade"
MACHINE: Final = Machine("web-7.example", "Linux 6.1.0-28-amd64", 64)
_GB: Final = 1_000_000_000
_DISKS: Final = {
    "/": (45.1, 100 * _GB),
    "/boot": (31.0, _GB),
    "/home": (80.4, 2000 * _GB),
    BACKUP: (97.2, 16000 * _GB),
    "/var/lib/containers": (66.6, 500 * _GB),
}
_READ: Final = {"read_bytes_per_second": 3_000_000, "write_bytes_per_second": 1_000_000,
                "read_count_per_second": 12.5, "write_count_per_second": 44}  # fmt: skip
_RECEIVED: Final = {"received_bytes_per_second": 3_000_000, "sent_bytes_per_second": 1_000_000,
                    "received_packets_per_second": 12.5, "sent_packets_per_second": 44}  # fmt: skip


def busy_machine(second: int = 0, cores: int = 64, *, token: bool = False) -> dict[str, Any]:
    """Return what a message says of a machine of which one core is fully busy."""
    wave = math.sin(second / 9)
    content = {
        "cpu": 45 + 40 * wave,
        "memory": 60.2,
        "disk": 81.5,
        "swap": 3.0,
        "cpu_times": {"user": 30.1, "system": 8.2, "nice": 0.0, "iowait": 1.5, "irq": 0.2,
                      "steal": 0.0, "idle": 60.0},
        "cores": [100.0, *(45 + 40 * math.sin(second / 9 + one / 5) for one in range(1, cores))],
        "load": [52.13, 31.2, 18.04],
        "memory_bytes": {"total": 270 * _GB, "available": _GB, "used": 163 * _GB, "free": _GB},
        "pressure": {name: {"some": 12.3, "full": 0.5} for name in ("cpu", "memory", "io")},
        "container": {"cpu_limit_cores": 48.0, "throttled": 3.2, "memory_limit_bytes": 128 * _GB,
                      "memory_used_bytes": 97 * _GB, "oom_kills": 0},
        "process": {"rss_bytes": 61_000_000, "cpu": 2.1, "threads": 14, "descriptors": 213,
                    "loop_lag_seconds": 0.000412},
        "uptime": 1_065_432.1,
        "disks": {mount: percent for mount, (percent, _) in _DISKS.items()},
        "disks_bytes": {mount: {"total": total, "used": int(total * percent / 100), "free": 1}
                        for mount, (percent, total) in _DISKS.items()},
        "disk_io": {**_READ, "devices": {f"nvme{one}n1": _READ for one in range(4)}},
        "network": {**_RECEIVED, "received_bytes_per_second": 1e8 * (1 + wave),
                    "interfaces": {f"enp{one}s0f0": _RECEIVED for one in range(4)}},
        "temperatures": {f"coretemp/Core {one}": 45.0 + one for one in range(16)},
        "gpu": {f"NVIDIA H200 00000000:{one:02}:00.0": {
            "utilization": 90.0 + 3 * one, "memory": 55.0, "temperature": 61.0, "power_watts": 412.5
        } for one in range(4)},
    }  # fmt: skip
    if token:
        names = ("python3", "postgres", "java", "redis-server", "nginx", "containerd")
        content["processes"] = [
            {"pid": 1000 + place, "name": name, "cpu": 300.0 / (place + 1), "memory": 1.5}
            for place, name in enumerate(names)
        ]
    return content


def message(content: Mapping[str, Any], second: int = 0) -> Message:
    """Return a message of so many seconds after half past twelve."""
    stamp = f"2025-11-10T12:{30 + second // 60:02}:{second % 60:02}.123456+00:00"
    return Message.read(json.dumps({**content, "timestamp": stamp}))


class Picture:
    """A terminal in this process, of so many columns and rows, on which a screen is drawn.

    Args:
        columns: of the terminal.
        rows: of the terminal.
        encoding: of what is written to it.
        keys: whether it has keys.
        machine: what the hub says it is on.
    """

    def __init__(
        self,
        columns: int,
        rows: int,
        *,
        encoding: str = "utf-8",
        keys: bool = True,
        machine: Machine | None = MACHINE,
    ) -> None:
        self._bytes = io.BytesIO()
        file = io.TextIOWrapper(self._bytes, encoding, newline="\r\n", write_through=True)
        self._console = Console(
            file=file, width=columns, height=rows, force_terminal=True, color_system="standard",
            _environ={},
        )  # fmt: skip
        self._columns = columns
        self._terminal = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._terminal)
        self.screen = Screen("ws://hub:54112", clock=FakeClock(), console=self._console, keys=keys)
        if machine is not None:
            self.screen.on_machine(machine)
        self.screen.on_state(State(Phase.LIVE))

    def show(self, *contents: Mapping[str, Any]) -> list[str]:
        """Show messages, a second apart; return all lines that the terminal has then."""
        for second, content in enumerate(contents):
            self.screen.show(message(content, second))
        return self.lines()

    def press(self, *keys: Key) -> list[str]:
        """Press keys; return all lines that the terminal has then."""
        for key in keys:
            self.screen.press(key)
        return self.lines()

    def lines(self) -> list[str]:
        """Draw the screen; return all lines that the terminal has then."""
        with self.screen:
            pass
        self._stream.feed(self.written())
        self._bytes.truncate(0)
        return [line.rstrip() for line in self._terminal.display]

    def written(self) -> bytes:
        """Return what was written since the last time that the screen was drawn."""
        return self._bytes.getvalue().lstrip(b"\0")

    def resize(self, columns: int, rows: int) -> list[str]:
        """Give the terminal another size; return all lines that it has then."""
        self._columns = columns
        self._console.size = (columns, rows)
        self._terminal.resize(rows, columns)
        self._terminal.reset()
        return self.lines()

    def cells(self, row: int) -> list[Char]:
        """Return a row's cells, with their colours."""
        return [self._terminal.buffer[row][column] for column in range(self._columns)]

    def sent(self) -> list[str]:
        """Return the lines that are written to draw the screen once, without colours."""
        with self._console.capture() as shown:
            self._console.print(self.screen.render())
        return re.sub(r"\x1b\[[0-9;]*m", "", shown.get()).removesuffix("\n").split("\n")

    def assert_fits(self) -> None:
        """Fail where a line is wider than the terminal, or there are more than it has."""
        sent = self.sent()
        assert len(sent) <= self._terminal.lines
        assert all(line.isprintable() for line in sent), sent
        assert all(cell_len(line) <= self._columns for line in sent), sent


def labels(lines: Iterable[str]) -> set[str]:
    """Return the names at the left of lines."""
    return {line.split("  ")[0].strip() for line in lines}
