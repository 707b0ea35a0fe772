"""Which of a machine's devices count in all, so that nothing is counted twice."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Topology"]

_VIRTUAL_DISKS: Final = re.compile(r"(loop|ram|zram)[0-9]+")
_STACKED_DISKS: Final = re.compile(r"(dm-|md)[0-9]+")
_PARTITIONS: Final = re.compile(r"([hsv]d|xvd)[a-z]+[0-9]+|(nvme[0-9]+n|mmcblk)[0-9]+p[0-9]+")
_VIRTUAL_INTERFACES: Final = re.compile(
    r"lo[0-9]*$|Loopback|isatap|Teredo|docker|podman|lxc|lxd|cni|cali|flannel|veth|vnet|br-|bridge|"
    r"virbr|vmnet|vboxnet|bond|team|tun|tap|utun|wg|vxlan|gre|sit|ip6tnl|gif|stf|ifb|dummy|awdl|llw"
)
_DEFAULT: Final = "00000000"
_REJECTED: Final = 0x0200  # RTF_REJECT (Linux, include/uapi/linux/route.h)


class Topology:
    """Knows what lies on what: bridges on interfaces, volumes on disks.

    Args:
        root: where ``/sys`` and ``/proc`` are found; a machine that has none is judged by names.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._net = root / "sys/class/net"
        self._block = root / "sys/class/block"
        self._routes = root / "proc/net"
        self._interfaces: tuple[frozenset[str], frozenset[str]] | None = None
        self._whole: tuple[frozenset[str], frozenset[str]] | None = None
        self._disks: tuple[frozenset[str], frozenset[str]] | None = None
        # The last answer: one object for as long as it stays the same, as many snapshots keep it.
        self._border: frozenset[str] = frozenset()

    def border_interfaces(self, names: Collection[str]) -> frozenset[str]:
        """Return the interfaces through which traffic crosses the machine's border.

        They are the physical ones, else, as in containers, those with a default route; where
        neither is known they are told by their names.
        """
        found = self._find_border(frozenset(names))
        if found != self._border:
            self._border = found
        return self._border

    def _find_border(self, given: frozenset[str]) -> frozenset[str]:
        if self._interfaces is None or self._interfaces[0] != given:
            physical = frozenset(name for name in given if (self._net / name / "device").exists())
            self._interfaces = given, physical
        if self._interfaces[1]:
            return self._interfaces[1]
        routed = given.intersection(self._default_routes())
        return routed or frozenset(one for one in given if not _VIRTUAL_INTERFACES.match(one))

    def whole_disks(self, names: Collection[str]) -> frozenset[str]:
        """Return the disks that are neither parts of others nor in files or memory."""
        given = frozenset(names)
        if self._whole is None or self._whole[0] != given:
            self._whole = given, frozenset(filter(self._is_whole, given))
        return self._whole[1]

    def bottom_disks(self, names: Collection[str]) -> frozenset[str]:
        """Return the disks that are no part of others, lie on no others and are not in memory."""
        given = frozenset(names)
        if self._disks is None or self._disks[0] != given:
            self._disks = given, frozenset(filter(self._is_bottom, given))
        return self._disks[1]

    def _is_whole(self, name: str) -> bool:
        if _VIRTUAL_DISKS.fullmatch(name):
            return False
        device = self._directory(name)
        if not device.exists():
            return not _PARTITIONS.fullmatch(name)
        return not (device / "partition").exists()

    def _is_bottom(self, name: str) -> bool:
        if not self._is_whole(name):
            return False
        device = self._directory(name)
        if not device.exists():
            return not _STACKED_DISKS.fullmatch(name)
        slaves = device / "slaves"
        return not (slaves.is_dir() and any(slaves.iterdir()))

    def _directory(self, name: str) -> Path:
        return self._block / name.replace("/", "!")

    def _default_routes(self) -> Iterator[str]:
        """Iterate over the interfaces with a default route, as Linux lists them."""
        with suppress(OSError, ValueError, IndexError):
            for line in _lines(self._routes / "route")[1:]:
                interface, destination, *rest = line.split()
                if destination == _DEFAULT and rest[5] == _DEFAULT:  # and the mask
                    yield interface
        with suppress(OSError, ValueError):
            for line in _lines(self._routes / "ipv6_route"):
                destination, length, *_, flags, interface = line.split()
                is_rejected = int(flags, 16) & _REJECTED  # which the kernel lists under ``lo``
                if not (int(destination, 16) or int(length, 16) or is_rejected):
                    yield interface


def _lines(path: Path) -> list[str]:
    """Return the lines of a file, in which names may be no UTF-8."""
    return path.read_text("utf-8", "surrogateescape").splitlines()
