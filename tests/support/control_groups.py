"""Trees as Linux shows a process its control groups, of both versions."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from hub.sampling.cgroup import ControlGroup

TOTAL = 8 << 30
"""The memory in bytes of the machines that the trees are of."""

NO_LIMIT = 9223372036854771712
"""What version 1 has for no limit of memory."""


class Layout(Enum):
    """Where the hierarchies of cpu, cpuacct and memory are mounted."""

    UNIFIED = ("", "", "")
    LEGACY = ("/cpu", "/cpuacct", "/memory")
    JOINT = ("/cpu,cpuacct", "/cpu,cpuacct", "/memory")


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


class GroupTree:
    """The control groups of a machine whose process is in ``own``, with their files."""

    def __init__(self, root: Path, layout: Layout, own: str = "/app") -> None:
        self.layout = layout
        self._lists = ProcessLists(root)
        self._cpu, self._cpuacct, self._memory = (f"/sys/fs/cgroup{at}" for at in layout.value)
        self._place(own)

    @property
    def control(self) -> ControlGroup:
        return ControlGroup(lambda: TOTAL, self._lists.root)

    def cpu(
        self,
        group: str = "/app",
        *,
        limit: tuple[int, int] | None = None,
        seconds: float = 0.0,
        periods: tuple[int, int] = (0, 0),
    ) -> None:
        """Set the quota and period, the time that was used, the periods and those throttled."""
        counts = f"nr_periods {periods[0]}\nnr_throttled {periods[1]}\n"
        if self.layout is Layout.UNIFIED:
            quota, period = limit or ("max", 100_000)
            self.write(group, "cpu.max", f"{quota} {period}\n")
            used = f"usage_usec {round(seconds * 1e6)}\nuser_usec 0\nsystem_usec 0\n"
            self.write(group, "cpu.stat", f"{used}{counts}throttled_usec 5\n")
        else:
            quota, period = limit or (-1, 100_000)
            self.write(group, "cpu.cfs_quota_us", f"{quota}\n")
            self.write(group, "cpu.cfs_period_us", f"{period}\n")
            self.write(group, "cpu.stat", f"{counts}throttled_time 5\n")
            self.write(group, "cpuacct.usage", f"{round(seconds * 1e9)}\n")

    def memory(
        self,
        group: str = "/app",
        *,
        limit: int | None = None,
        usage: int = 0,
        inactive: int = 0,
        kills: int = 0,
    ) -> None:
        if self.layout is Layout.UNIFIED:
            self.write(group, "memory.max", f"{'max' if limit is None else limit}\n")
            self.write(group, "memory.current", f"{usage}\n")
            self.write(group, "memory.stat", f"anon 7\ninactive_file {inactive}\nsock 0\n")
            self.write(group, "memory.events", f"low 0\noom 3\noom_kill {kills}\n")
        else:
            self.write(group, "memory.limit_in_bytes", f"{NO_LIMIT if limit is None else limit}\n")
            self.write(group, "memory.usage_in_bytes", f"{usage}\n")
            stat = f"inactive_file 1\ntotal_inactive_file {inactive}\n"
            self.write(group, "memory.stat", stat)
            events = f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"
            self.write(group, "memory.oom_control", events)

    def write(self, group: str, file: str, content: object) -> None:
        self._lists.write(f"{self._point(file)}{group}/{file}", content)

    def remove(self, group: str, file: str) -> None:
        (self._lists.directory(f"{self._point(file)}{group}") / file).unlink()

    def _point(self, file: str) -> str:
        points = {"cpu": self._cpu, "cpuacct": self._cpuacct, "memory": self._memory}
        return points[file.split(".", maxsplit=1)[0]]

    def _place(self, own: str) -> None:
        if self.layout is Layout.UNIFIED:
            self._lists.group(own)
            self._lists.mount("/sys/fs/cgroup")
            return
        joint = self.layout is Layout.JOINT
        self._lists.group("/", "name=systemd")
        for controllers in ("cpu,cpuacct",) if joint else ("cpu", "cpuacct"):
            self._lists.group(own, controllers)
            point = f"/sys/fs/cgroup/{controllers}"
            self._lists.mount(point, kind="cgroup", options=f"rw,{controllers}")
        self._lists.group(own, "memory")
        self._lists.mount("/sys/fs/cgroup/memory", kind="cgroup", options="rw,memory")
        self._lists.mount("/sys/fs/cgroup/systemd", kind="cgroup", options="rw,name=systemd")
        self._lists.group("/")
        self._lists.mount("/sys/fs/cgroup/unified")  # which has no controllers then
        self._lists.write("/sys/fs/cgroup/unified/cpu.stat", "usage_usec 1\n")
