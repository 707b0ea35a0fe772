"""Trees as Linux shows a process its control groups, of both versions."""

from __future__ import annotations

from pathlib import Path


class ProcessLists:
    """The lists in ``/proc/self`` of the groups of a process, and of what is mounted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._groups: list[str] = []
        self._mounts: list[str] = ["22 27 0:21 / /proc rw,relatime - proc proc rw"]

    def group(self, path: str, controllers: str = "") -> None:
        self._groups.append(f"{len(self._groups)}:{controllers}:{path}\n")
        self.write("/proc/self/cgroup", "".join(self._groups))

    def mount(
        self, point: str, root: str = "/", *, kind: str = "cgroup2", options: str = "rw"
    ) -> Path:
        tags = " master:7 shared:3" if len(self._mounts) % 2 else ""
        line = f"31 23 0:28 {root} {point} rw,nosuid{tags} - {kind} {kind} {options}"
        self._mounts.append(line)
        self.write("/proc/self/mountinfo", "\n".join([*self._mounts, ""]))
        return self.directory(point)

    def directory(self, path: str) -> Path:
        made = self.root / path.lstrip("/")
        made.mkdir(parents=True, exist_ok=True)
        return made

    def write(self, path: str, content: object) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else f"{content}".encode())
