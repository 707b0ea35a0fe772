from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.sensors import Temperatures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="made-up trees have links in them")


@dataclass
class Sensor:
    """As psutil lists it."""

    label: str
    current: float | None


@dataclass
class Chip:
    """The directory of a chip that has sensors."""

    directory: Path

    def sensor(self, place: str, degrees: float, label: str = "") -> Input:
        if label:
            (self.directory / f"{place}_label").write_text(f"{label}\n")
        (self.directory / f"{place}_max").write_text("90000\n")
        made = Input(self.directory / f"{place}_input")
        made.set(degrees)
        return made


@dataclass
class Input:
    path: Path

    def set(self, degrees: float) -> None:
        self.path.write_text(f"{degrees * 1000:.0f}\n")

    def fall_silent(self) -> None:
        self.path.write_text("")


@dataclass
class Machine:
    """A tree as Linux has it, and psutil's way of reading it."""

    root: Path
    flips: list[tuple[Input, float | None]] = field(default_factory=list)  # after a reading

    @property
    def hwmon(self) -> Path:
        return self.root / "sys/class/hwmon"

    def chip(self, number: int, name: str, device: str = "", *, old: bool = False) -> Chip:
        """Make a chip; of an old kernel, its files are in its device's directory."""
        directory = self.hwmon / f"hwmon{number}"
        directory.mkdir(parents=True)
        target = self.root / "sys/devices" / device
        if device:
            target.mkdir(parents=True, exist_ok=True)
            (directory / "device").symlink_to(target)
        files = directory / "device" if old else directory
        (files / "name").write_text(f"{name}\n")
        return Chip(files)

    def zone(self, number: int, kind: str, degrees: float) -> Input:
        directory = self.root / f"sys/class/thermal/thermal_zone{number}"
        directory.mkdir(parents=True)
        (directory / "type").write_text(f"{kind}\n")
        made = Input(directory / "temp")
        made.set(degrees)
        return made

    def read(self) -> dict[str, list[Sensor]]:
        """Return the sensors, as psutil does; what is to flip then does so afterwards."""
        files = [*self.hwmon.glob("hwmon*/temp*_*"), *self.hwmon.glob("hwmon*/device/temp*_*")]
        bases = sorted({f"{path.parent}/{path.name.split('_')[0]}" for path in files})
        found: dict[str, list[Sensor]] = {}
        for base in bases:
            name, label = Path(base).parent / "name", Path(f"{base}_label")
            text = label.read_text().strip() if label.exists() else ""
            _add(found, name, Path(f"{base}_input"), text)
        if not bases:
            for zone in sorted(map(str, self.root.glob("sys/class/thermal/thermal_zone*"))):
                _add(found, Path(zone, "type"), Path(zone, "temp"), "")
        for flipped, degrees in self.flips:
            flipped.fall_silent() if degrees is None else flipped.set(degrees)
        self.flips = []
        return found

    def temperatures(self) -> Temperatures:
        return Temperatures(self.root, self.read)


def _add(found: dict[str, list[Sensor]], name: Path, path: Path, label: str) -> None:
    try:
        sensor = Sensor(label, float(path.read_bytes()) / 1000.0)
        chip = name.read_text().strip()
    except (OSError, ValueError):
        return
    found.setdefault(chip, []).append(sensor)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def two_disks(machine: Machine) -> tuple[Input, Input]:
    first = machine.chip(0, "nvme", "nvme0").sensor("temp1", 40.0, "Composite")
    return first, machine.chip(1, "nvme", "nvme1").sensor("temp1", 50.0, "Composite")


# Names


def test_sensors_are_named_by_chip_and_label(machine: Machine) -> None:
    cpu = machine.chip(0, "coretemp", "coretemp.0")
    cpu.sensor("temp1", 51.0, "Package id 0")
    cpu.sensor("temp2", 49.5, "Core 0")
    machine.chip(1, "acpitz", "thermal_zone0").sensor("temp1", 27.8)
    assert machine.temperatures().collect() == {
        "coretemp Package id 0": 51.0,
        "coretemp Core 0": 49.5,
        "acpitz": 27.8,
    }


def test_those_that_are_alike_are_named_by_device(machine: Machine) -> None:
    two_disks(machine)
    machine.chip(2, "nvme", "nvme2").sensor("temp1", 60.0, "Sensor 1")
    machine.chip(3, "mt7921_phy0", "0000:01:00.0").sensor("temp1", 44.0)
    machine.chip(4, "mt7921_phy0", "0000:02:00.0").sensor("temp1", 45.0)
    assert machine.temperatures().collect() == {
        "nvme Composite nvme0": 40.0,
        "nvme Composite nvme1": 50.0,
        "nvme Sensor 1": 60.0,
        "mt7921_phy0 0000:01:00.0": 44.0,
        "mt7921_phy0 0000:02:00.0": 45.0,
    }


def test_those_of_one_device_are_named_by_their_place(machine: Machine) -> None:
    chip = machine.chip(0, "acpitz", "thermal_zone0")
    chip.sensor("temp1", 27.8)
    chip.sensor("temp2", 29.8)
    assert machine.temperatures().collect() == {"acpitz temp1": 27.8, "acpitz temp2": 29.8}


def test_where_neither_is_enough_they_are_named_by_both(machine: Machine) -> None:
    for number in range(2):
        chip = machine.chip(number, "dimm", f"{number}-0018")
        chip.sensor("temp1", 30.0 + number)
        chip.sensor("temp2", 40.0 + number)
    assert machine.temperatures().collect() == {
        "dimm 0-0018 temp1": 30.0,
        "dimm 1-0018 temp1": 31.0,
        "dimm 0-0018 temp2": 40.0,
        "dimm 1-0018 temp2": 41.0,
    }


def test_where_nothing_tells_them_apart_they_are_numbered_as_they_are_listed(
    machine: Machine,
) -> None:
    first = machine.chip(0, "virtual").sensor("temp1", 30.0)
    machine.chip(1, "virtual").sensor("temp1", 31.0)
    temperatures = machine.temperatures()
    assert temperatures.collect() == {"virtual temp1": 30.0, "virtual temp1 2": 31.0}
    first.fall_silent()
    assert temperatures.collect() == {"virtual temp1 2": 31.0}


def test_a_name_that_another_sensor_has_as_its_own_is_not_given_twice(machine: Machine) -> None:
    two_disks(machine)
    machine.chip(2, "nvme", "pci").sensor("temp1", 60.0, "Composite nvme0")
    found = machine.temperatures().collect()
    assert found.pop("nvme Composite nvme1") == 50.0
    assert set(found.values()) == {40.0, 60.0}


def test_sensors_are_found_in_the_order_of_their_names_as_text(machine: Machine) -> None:
    for number in (1, 2, 10):
        chip = machine.chip(number, "chip", f"d{number}")
        for place in (1, 2, 10):
            chip.sensor(f"temp{place}", 10.0 * number + place)
    assert machine.temperatures().collect() == {
        f"chip d{number} temp{place}": 10.0 * number + place
        for number in (1, 2, 10)
        for place in (1, 2, 10)
    }


def test_old_kernels_have_the_files_with_the_device(machine: Machine) -> None:
    machine.chip(0, "k10temp", "0000:00:18.3", old=True).sensor("temp1", 35.0)
    machine.chip(1, "k10temp", "0000:00:19.3", old=True).sensor("temp1", 36.0)
    assert machine.temperatures().collect() == {
        "k10temp 0000:00:18.3": 35.0,
        "k10temp 0000:00:19.3": 36.0,
    }


def test_without_chips_there_are_thermal_zones(machine: Machine) -> None:
    first = machine.zone(2, "cpu-thermal", 41.0)
    machine.zone(10, "cpu-thermal", 42.0)
    machine.zone(0, "gpu-thermal", 43.0)
    temperatures = machine.temperatures()
    assert temperatures.collect() == {
        "cpu-thermal thermal_zone2": 41.0,
        "cpu-thermal thermal_zone10": 42.0,
        "gpu-thermal": 43.0,
    }
    first.fall_silent()
    assert temperatures.collect() == {"cpu-thermal thermal_zone10": 42.0, "gpu-thermal": 43.0}


# Sensors that fall silent


def test_the_second_of_two_keeps_its_name_when_the_first_falls_silent(machine: Machine) -> None:
    first, _ = two_disks(machine)
    temperatures = machine.temperatures()
    both = temperatures.collect()
    for _ in range(2):
        first.fall_silent()
        for _ in range(2):
            assert temperatures.collect() == {"nvme Composite nvme1": 50.0}
        first.set(40.0)
        for _ in range(2):
            assert temperatures.collect() == both


def test_it_has_the_same_name_if_the_first_was_silent_from_the_beginning(machine: Machine) -> None:
    first, _ = two_disks(machine)
    first.fall_silent()
    assert machine.temperatures().collect() == {"nvme Composite nvme1": 50.0}


@pytest.mark.parametrize("file", ["temp1_input", "name"])
def test_a_sensor_that_loses_a_file_takes_none_with_it(machine: Machine, file: str) -> None:
    two_disks(machine)
    temperatures = machine.temperatures()
    temperatures.collect()
    (machine.hwmon / "hwmon0" / file).unlink()
    assert temperatures.collect() == {"nvme Composite nvme1": 50.0}


def test_sensors_that_fall_silent_in_turn_just_after_they_were_read_are_not_mistaken(
    machine: Machine,
) -> None:
    """What could be read just before must have been the same as just after."""
    first, second = two_disks(machine)
    second.fall_silent()
    temperatures = machine.temperatures()
    assert temperatures.collect() == {"nvme Composite nvme0": 40.0}
    machine.flips = [(first, None), (second, 50.0)]
    assert temperatures.collect() == {"nvme Composite nvme1": 50.0}


def test_while_that_does_not_end_they_are_left_out_and_no_others(machine: Machine) -> None:
    first, second = two_disks(machine)
    machine.chip(2, "nvme", "nvme2").sensor("temp1", 60.0, "Sensor 1")
    second.fall_silent()

    def read() -> dict[str, list[Sensor]]:
        if first.path.read_text():
            machine.flips = [(first, None), (second, 50.0)]
        else:
            machine.flips = [(first, 40.0), (second, None)]
        return machine.read()

    temperatures = Temperatures(machine.root, read)
    for _ in range(3):
        assert temperatures.collect() == {"nvme Sensor 1": 60.0}


def test_where_no_temperature_is_certain_that_is_an_error(machine: Machine) -> None:
    two_disks(machine)
    temperatures = Temperatures(machine.root, lambda: {"nvme": [Sensor("Composite", 40.0)]})
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot be matched to their sensors"):
            temperatures.collect()


def test_of_a_chip_that_is_listed_nothing_is_shown_that_is_not(machine: Machine) -> None:
    two_disks(machine)
    lists = {"nvme": [Sensor("", 40.0), *(Sensor("Composite", t) for t in (40.0, 50.0))]}
    temperatures = Temperatures(machine.root, lambda: lists)
    assert temperatures.collect() == {"nvme Composite nvme0": 40.0, "nvme Composite nvme1": 50.0}


# Sensors that come and go


def test_a_chip_that_comes_and_goes_is_seen_at_once(machine: Machine) -> None:
    machine.chip(1, "nvme", "nvme1").sensor("temp1", 50.0, "Composite")
    temperatures = machine.temperatures()
    assert temperatures.collect() == {"nvme Composite": 50.0}
    machine.chip(0, "nvme", "nvme0").sensor("temp1", 40.0, "Composite")
    assert temperatures.collect() == {"nvme Composite nvme0": 40.0, "nvme Composite nvme1": 50.0}
    (machine.hwmon / "hwmon0").rename(machine.root / "gone")
    assert temperatures.collect() == {"nvme Composite": 50.0}


def test_a_chip_in_the_place_of_another_has_its_own_name(machine: Machine) -> None:
    two_disks(machine)
    temperatures = machine.temperatures()
    temperatures.collect()
    (machine.hwmon / "hwmon0").rename(machine.root / "gone")
    machine.chip(0, "nvme", "nvme7").sensor("temp1", 70.0, "Composite")
    assert temperatures.collect() == {"nvme Composite nvme7": 70.0, "nvme Composite nvme1": 50.0}


def test_a_chip_that_comes_while_the_others_are_read_takes_nobodys_place(machine: Machine) -> None:
    two_disks(machine)
    comes = [lambda: machine.chip(10, "nvme", "nvme9").sensor("temp1", 90.0, "Composite")]

    def read() -> dict[str, list[Sensor]]:
        found = machine.read()
        if comes:
            comes.pop()()
            (machine.hwmon / "hwmon0").rename(machine.root / "gone")
        return found

    assert Temperatures(machine.root, read).collect() == {
        "nvme Composite nvme9": 90.0,
        "nvme Composite nvme1": 50.0,
    }


def test_a_sensor_that_a_chip_gets_later_is_seen_at_once(machine: Machine) -> None:
    chip = machine.chip(0, "dimm", "0-0018")
    chip.sensor("temp2", 40.0)
    temperatures = machine.temperatures()
    temperatures.collect()
    chip.sensor("temp1", 30.0)
    assert temperatures.collect() == {"dimm temp1": 30.0, "dimm temp2": 40.0}


def test_while_the_chips_are_the_same_none_is_looked_into_again(machine: Machine) -> None:
    two_disks(machine)
    temperatures = machine.temperatures()
    both = temperatures.collect()
    for chip in machine.hwmon.iterdir():
        (chip / "device").unlink()
    assert temperatures.collect() == both


# What is not listed


def test_what_is_not_listed_is_named_by_chip_and_label_and_numbered(tmp_path: Path) -> None:
    found = {
        "coretemp": [Sensor("Core 0", 51.0), Sensor("Core 1", 49.5)],
        "acpitz": [Sensor("", 27.8), Sensor("", None), Sensor("", 29.8), Sensor("x", math.nan)],
    }
    assert Temperatures(tmp_path, lambda: found).collect() == {
        "coretemp Core 0": 51.0,
        "coretemp Core 1": 49.5,
        "acpitz": 27.8,
        "acpitz 3": 29.8,
    }


def test_a_chip_that_is_not_listed_stands_beside_those_that_are(machine: Machine) -> None:
    two_disks(machine)
    read = lambda: {**machine.read(), "other": [Sensor("", 20.0)]}  # noqa: E731
    assert Temperatures(machine.root, read).collect() == {
        "nvme Composite nvme0": 40.0,
        "nvme Composite nvme1": 50.0,
        "other": 20.0,
    }


def test_without_sensors_there_are_no_temperatures(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.temperatures().collect() == {}
    machine.chip(0, "empty")
    assert machine.temperatures().collect() == {}
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    assert Temperatures(machine.root).collect() == {}


def test_temperatures_that_cannot_be_are_not_judged_here(machine: Machine) -> None:
    chip = machine.chip(0, "chip")
    for number, degrees in enumerate((-300.0, 1e6, 0.0), start=1):
        chip.sensor(f"temp{number}", degrees, f"{number}")
    assert machine.temperatures().collect() == {"chip 1": -300.0, "chip 2": 1e6, "chip 3": 0.0}


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), NotImplementedError()])
def test_what_psutil_raises_is_the_familys_failure(tmp_path: Path, error: Exception) -> None:
    def read() -> Mapping[str, Sequence[Sensor]]:
        raise error

    temperatures = Temperatures(tmp_path, read)
    with pytest.raises(type(error)):
        temperatures.collect()


# Whatever falls silent

LAYOUT = [  # each with its device, place and label
    ("nvme0", "temp1", "Composite"),
    ("nvme0", "temp2", "Sensor 1"),
    ("nvme1", "temp1", "Composite"),
    ("nvme1", "temp2", "Sensor 1"),
    ("nvme1", "temp10", "Sensor 1"),
    ("nvme2", "temp1", ""),
]
NUMBERS = {"nvme0": 10, "nvme1": 9, "nvme2": 1}


@given(st.lists(st.sets(st.integers(0, len(LAYOUT) - 1)), max_size=6))
def test_every_temperature_is_its_sensors_own_whatever_falls_silent(
    ticks: list[set[int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory))
        chips = {device: machine.chip(n, "nvme", device) for device, n in NUMBERS.items()}
        inputs = [
            chips[device].sensor(place, float(number), label)
            for number, (device, place, label) in enumerate(LAYOUT)
        ]
        temperatures = machine.temperatures()
        names = {degrees: name for name, degrees in machine.temperatures().collect().items()}
        for silent in ticks:
            for number, one in enumerate(inputs):
                one.fall_silent() if number in silent else one.set(float(number))
            assert temperatures.collect() == {
                name: degrees for degrees, name in names.items() if degrees not in silent
            }


# This machine


def test_this_machines_temperatures_are_as_many_as_psutil_lists() -> None:
    read = getattr(psutil, "sensors_temperatures", dict)
    listed = [sensor for sensors in read().values() for sensor in sensors]
    found = Temperatures().collect()
    assert len(found) <= len(listed)
    assert bool(found) == bool(listed)
