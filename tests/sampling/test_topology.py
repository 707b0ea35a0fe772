from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from hub.sampling.topology import Topology

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
{0}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
broken
"""
ROUTES_6 = """\
{0} 00 {0} 00 00000000000000000000000000000000 00000400 00000001 00000000 00000003 {1}
fe80{2} 40 {0} 00 {0} 00000100 00000001 00000000 00000001 docker0
{0} 00 {0} 00 {0} ffffffff 00000001 00000000 00200200 lo
"""


class Machine:
    """A tree as a machine with some devices has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.topology = Topology(root)

    def interfaces(self, *names: str, physical: tuple[str, ...] = ()) -> list[str]:
        for name in names:
            (self.root / "sys/class/net" / name).mkdir(parents=True)
        for name in physical:
            (self.root / "sys/class/net" / name / "device").mkdir()
        return list(names)

    def routes(self, text: str, file: str = "route") -> None:
        path = self.root / "proc/net" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def disk(self, name: str, *, partition: bool = False, slaves: tuple[str, ...] = ()) -> None:
        device = self.root / "sys/class/block" / name.replace("/", "!")
        (device / "slaves").mkdir(parents=True)
        if partition:
            (device / "partition").write_text("1")
        for slave in slaves:
            (device / "slaves" / slave).mkdir()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# Interfaces


def test_physical_interfaces_are_the_border(machine: Machine) -> None:
    names = machine.interfaces(
        "lo", "eth0", "wlan0", "bond0", "br0", "docker0", "veth1", "tun0", "eth0.7",
        physical=("eth0", "wlan0"),
    )  # fmt: skip
    machine.routes(ROUTES.format("tun0"))
    assert set(machine.topology.border_interfaces(names)) == {"eth0", "wlan0"}


@pytest.mark.parametrize("version", [4, 6])
def test_without_any_those_with_a_default_route_are(machine: Machine, version: int) -> None:
    names = machine.interfaces("lo", "eth0", "eth1", "docker0")
    if version == 4:
        machine.routes(ROUTES.format("eth0"))
    else:
        machine.routes(ROUTES_6.format(32 * "0", "eth0", 28 * "0"), "ipv6_route")
    assert set(machine.topology.border_interfaces(names)) == {"eth0"}


def test_routes_are_found_beside_names_that_are_no_text(machine: Machine) -> None:
    names = machine.interfaces("lo", "eth0", "eth1")
    machine.routes(ROUTES.format("eth0"))
    path = machine.root / "proc/net/route"
    path.write_bytes(path.read_bytes().replace(b"docker0", b"d\xe9j\xe0"))
    assert set(machine.topology.border_interfaces(names)) == {"eth0"}


def test_a_default_route_that_rejects_is_none(machine: Machine) -> None:
    names = machine.interfaces("lo", "net0")
    machine.routes(ROUTES_6.format(32 * "0", "docker0", 28 * "0"), "ipv6_route")
    assert set(machine.topology.border_interfaces(names)) == {"net0"}


@pytest.mark.parametrize(
    ("names", "border"),
    [
        (["lo", "eth0", "docker0", "veth1a2b", "br-9f", "wg0"], {"eth0"}),
        (["lo0", "en0", "en1", "utun3", "bridge0", "awdl0"], {"en0", "en1"}),
        (["Ethernet", "Wi-Fi", "Loopback Pseudo-Interface 1"], {"Ethernet", "Wi-Fi"}),
        ([], set()),
    ],
)
def test_where_nothing_is_known_names_tell(
    machine: Machine, names: list[str], border: set[str]
) -> None:
    assert set(machine.topology.border_interfaces(names)) == border


def test_an_interface_that_comes_is_seen(machine: Machine) -> None:
    names = machine.interfaces("lo", "eth0", physical=("eth0",))
    assert set(machine.topology.border_interfaces(names)) == {"eth0"}
    names += machine.interfaces("eth1", physical=("eth1",))
    assert set(machine.topology.border_interfaces(names)) == {"eth0", "eth1"}


# Disks


def test_disks_that_lie_on_others_or_in_memory_are_not_counted_again(machine: Machine) -> None:
    for name in ("sda", "sdb", "nvme0n1", "cciss/c0d0"):
        machine.disk(name)
    for name in ("sda1", "nvme0n1p1"):
        machine.disk(name, partition=True)
    machine.disk("md0", slaves=("sda1", "sdb"))
    machine.disk("dm-0", slaves=("md0",))
    for name in ("loop0", "zram0", "ram1"):
        machine.disk(name)
    names = [path.name.replace("!", "/") for path in (machine.root / "sys/class/block").iterdir()]
    bottom = {"sda", "sdb", "nvme0n1", "cciss/c0d0"}
    assert set(machine.topology.bottom_disks(names)) == bottom


@pytest.mark.parametrize(
    ("names", "bottom"),
    [
        (["sda", "sda1", "nvme0n1", "nvme0n1p2", "dm-0", "md127", "loop3"], {"sda", "nvme0n1"}),
        (["xvda", "xvda1", "mmcblk0", "mmcblk0p1", "vdb"], {"xvda", "mmcblk0", "vdb"}),
        (["disk0", "disk2"], {"disk0", "disk2"}),
        (["PhysicalDrive0"], {"PhysicalDrive0"}),
    ],
)
def test_disks_that_are_not_known_are_told_by_their_names(
    machine: Machine, names: list[str], bottom: set[str]
) -> None:
    assert set(machine.topology.bottom_disks(names)) == bottom


# This machine


def test_loopback_is_never_counted() -> None:
    names = psutil.net_io_counters(pernic=True)
    assert "lo" not in Topology().border_interfaces(names)


def test_every_disk_that_is_counted_is_a_whole_one() -> None:
    names = psutil.disk_io_counters(perdisk=True) or {}
    counted = set(Topology().bottom_disks(names))
    if Path("/sys/block").is_dir():
        assert counted <= {path.name for path in Path("/sys/block").iterdir()}
