"""Where the control groups of this process lie in the file system.

Linux has one hierarchy of groups for all controllers (version 2), or several for some controllers
each (version 1), or both side by side. In a container only a part of a hierarchy may be mounted.
The lists in /proc/self that tell of it are described in cgroups(7) and proc(5).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

__all__ = ["UNIFIED", "Hierarchy", "find_hierarchies"]

UNIFIED: Final = "cgroup2"
"""Stands for all controllers of version 2."""

_ESCAPE: Final = re.compile(r"\\([01][0-7]{2})")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The part of a hierarchy that is mounted, and our place in it.

    Attributes:
        mount: the directory where the group ``root``, and those below it, are seen.
        root: the outermost group that can be seen.
        own: the group of this process, at ``root`` or below.
    """

    mount: Path
    root: PurePosixPath
    own: PurePosixPath

    def lineage(self, file: str) -> list[PurePosixPath]:
        """Return our group, then those around it up to the root, as far as they have a file."""
        every = (self.own, *self.own.parents)
        visible = [group for group in every if group.is_relative_to(self.root)]
        return [group for group in visible if _exists(self.directory(group) / file)]

    def directory(self, group: PurePosixPath) -> Path:
        """Return where a group at the root or below has its files."""
        return self.mount / group.relative_to(self.root)

    def around(self, group: PurePosixPath) -> Path | None:
        """Return where a group has its files; None where we are not in it or it is not seen."""
        if self.own.is_relative_to(group) and group.is_relative_to(self.root):
            return self.directory(group)
        return None

    def within_sight(self) -> Hierarchy:
        """Return it with our group at the root, unless that is seen where it is said to be.

        In a container our group may be named as outside, where it has another path; it is what
        is mounted then.
        """
        return self if self.is_visible() else replace(self, own=self.root)

    def is_visible(self) -> bool:
        """Whether our group is seen where it is said to be."""
        if not self.own.is_relative_to(self.root):
            return False
        outside = ".." in self.own.relative_to(self.root).parts  # of our namespace, too
        return not outside and _exists(self.directory(self.own))


def find_hierarchies(root: Path = Path("/")) -> dict[str, Hierarchy]:
    """Return the hierarchy of each controller that this process is in, where one is mounted.

    Those of version 2 are under ``UNIFIED``. Without lists in /proc, as on other systems, there
    is none; a line that means nothing is passed over.

    Args:
        root: where ``/proc`` and the mounted hierarchies are found.
    """
    mounts = list(_mounts(_text(root / "proc/self/mountinfo")))
    found: dict[str, Hierarchy] = {}
    for controller, own in _memberships(_text(root / "proc/self/cgroup")):
        shown = [mount for mount in mounts if controller in mount.controllers]
        every = [Hierarchy(root / one.point.lstrip("/"), one.root, own) for one in shown]
        every.sort(key=Hierarchy.is_visible, reverse=True)  # else as they are listed
        if every:
            found[controller] = every[0].within_sight()
    return found


@dataclass(frozen=True, slots=True)
class _Mount:
    point: str
    root: PurePosixPath
    controllers: frozenset[str]  # empty for what is no hierarchy


def _memberships(text: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Iterate over the controllers, each with the path of our group."""
    for line in text.split("\n"):  # only there: names may have what else ends a line
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/") and "\0" not in path:
            for controller in controllers.split(",") if controllers else [UNIFIED]:
                yield controller, PurePosixPath(path)


def _mounts(text: str) -> Iterator[_Mount]:
    """Iterate over the mounts that no later one covers."""
    found: dict[str, _Mount] = {}
    for line in text.split("\n"):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) >= 5 and len(kind) >= 3:
            group, point = map(_unescaped, fields[3:5])
            controllers = _controllers(kind[0], options=kind[2])
            found[point] = _Mount(point, PurePosixPath(group), controllers)
    yield from (mount for mount in found.values() if "\0" not in mount.point)


def _controllers(kind: str, options: str) -> frozenset[str]:
    """Return the controllers of a file system: version 1 has them among the options."""
    if kind == "cgroup2":
        return frozenset({UNIFIED})
    return frozenset(options.split(",") if kind == "cgroup" else ())


def _unescaped(text: str) -> str:
    r"""Return a path as it is: white space and backslashes are listed as ``\040`` and such."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _text(path: Path) -> str:
    """Return a list, with names as the file system has them; what cannot be read lists nothing."""
    try:
        return path.read_bytes().decode(sys.getfilesystemencoding(), "surrogateescape")
    except OSError:
        return ""


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # what may not be looked at is as good as not there
        return False
    return True
