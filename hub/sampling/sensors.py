"""How warm the machine's devices are, each under a name that stays its own.

psutil lists temperatures by the name of a chip, in which those of several alike devices run
together, and passes over what cannot be read. So when the first of two alike devices falls
silent, the second stands in its place. Which device a temperature is of is told here by what
``/sys`` lists, or not at all.
"""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

__all__ = ["Temperatures"]

_PATTERNS: Final = ("hwmon*/temp*_*", "hwmon*/device/temp*_*")

_Kind: TypeAlias = tuple[str, str]
"""A chip's name and a sensor's label: all that psutil tells apart."""


def _sensors() -> Mapping[str, Sequence[Any]]:
    read = getattr(psutil, "sensors_temperatures", dict)  # not everywhere
    found: Mapping[str, Sequence[Any]] = read()
    return found


@dataclass(frozen=True, slots=True)
class _Input:
    """A sensor as ``/sys`` lists it.

    Attributes:
        path: the file that has its temperature.
        title: the file that has its chip's name.
        kind: what psutil tells of it.
        place: its name among the sensors of its chip, such as ``temp2``.
        device: the name of what it is a part of, such as ``nvme0``; empty if that is not known.
    """

    path: Path
    title: Path
    kind: _Kind
    place: str
    device: str

    def speaks(self) -> bool:
        """Whether psutil could read it now."""
        try:
            float(self.path.read_bytes())
        except (OSError, ValueError):
            return False
        return _text(self.title) == self.kind[0]


class Temperatures:
    """Reads all temperatures at once.

    Args:
        root: where ``/sys`` is found. What is not listed there, as on other systems, is named by
            chip and label, and what is named alike is numbered.
        read: returns the sensors by chip, as psutil's ``sensors_temperatures`` does.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        read: Callable[[], Mapping[str, Sequence[Any]]] = _sensors,
    ) -> None:
        self._read = read
        self._hwmon = root / "sys/class/hwmon"
        self._zones = root / "sys/class/thermal"
        # What /sys lists: by kind, in psutil's order; a name for each; and the entries, with
        # their inodes, of the directories from which that follows.
        self._listed: Mapping[_Kind, Sequence[_Input]] = {}
        self._names: Mapping[Path, str] = {}
        self._entries: Collection[tuple[str, int]] | None = None
        # Of each kind those whose temperatures psutil listed, as far as could be seen last time.
        self._heard: Mapping[_Kind, Sequence[_Input]] = {}

    def collect(self) -> dict[str, float]:
        """Return the temperatures in degrees Celsius, by sensor; empty where there are none.

        A sensor is left out while it has no temperature, and while it is not certain which of
        several alike ones a temperature is of.

        Raises:
            RuntimeError: there are temperatures, and it is certain of none whose it is.
        """
        if self._entries is None:
            self._list()
            self._heard = self._listed
        before, found = self._heard, self._by_kind()
        self._heard = self._listen(found)
        # Only if the same sensors spoke before and after, they are those that were read.
        if any(before.get(kind) != self._heard.get(kind) for kind in found):
            before, found = self._heard, self._by_kind()
            self._heard = self._listen(found)
        certain = {
            kind: inputs for kind, inputs in self._heard.items() if before.get(kind) == inputs
        }
        return self._named(found, certain)

    def _by_kind(self) -> dict[_Kind, list[float | None]]:
        found: dict[_Kind, list[float | None]] = {}
        for chip, sensors in self._read().items():
            for sensor in sensors:
                found.setdefault((chip, sensor.label), []).append(sensor.current)
        return found

    def _listen(self, found: Mapping[_Kind, Sequence[object]]) -> dict[_Kind, Sequence[_Input]]:
        """Return by kind which inputs psutil can have read: all, or where it has fewer, some."""
        more = any(len(found[kind]) > len(self._listed.get(kind, ())) for kind in found)
        if more or self._entries != self._look():
            self._list()
        heard = dict(self._listed)
        for kind in found.keys() & heard.keys():
            if len(found[kind]) < len(heard[kind]):
                heard[kind] = tuple(one for one in heard[kind] if one.speaks())
        return heard

    def _named(
        self, found: Mapping[_Kind, Sequence[float | None]], heard: Mapping[_Kind, Sequence[_Input]]
    ) -> dict[str, float]:
        named: dict[str, float | None] = {}
        chips = {chip for chip, _ in self._listed}
        for kind, temperatures in found.items():
            inputs = heard.get(kind, ())
            if len(inputs) == len(temperatures):
                names = [self._names[one.path] for one in inputs]
                named.update(zip(names, temperatures, strict=True))
            elif kind[0] not in chips:
                for temperature in temperatures:
                    named[_unused(_plain(kind), named)] = temperature
        if found and not named:
            raise RuntimeError("the temperatures cannot be matched to their sensors")
        return {name: t for name, t in named.items() if t is not None and not math.isnan(t)}

    def _look(self) -> Collection[tuple[str, int]]:
        """Return what tells whether sensors came or went.

        An entry that is made anew has another inode, though it may have the name of an old one.
        """
        entries: set[tuple[str, int]] = set()
        for directory in (self._hwmon, self._zones):
            with suppress(OSError), os.scandir(directory) as found:
                entries.update((entry.name, entry.inode()) for entry in found)
        return entries

    def _list(self) -> None:
        """Read in ``/sys`` which sensors there are, whether or not they can be read."""
        self._entries = self._look()
        inputs = list(self._inputs())
        self._names = _names(inputs)
        listed: dict[_Kind, tuple[_Input, ...]] = {}
        for one in inputs:
            listed[one.kind] = (*listed.get(one.kind, ()), one)
        self._listed = listed

    def _inputs(self) -> Iterable[_Input]:
        """Return the sensors in the order in which psutil tries to read them."""
        files = [name for pattern in _PATTERNS for name in _matching(pattern, self._hwmon)]
        bases = sorted({name.split("_")[0] for name in files})
        if bases:
            return [one for base in bases if (one := _hwmon_input(self._hwmon / base)) is not None]
        zones = sorted(_matching("thermal_zone*", self._zones))
        return [one for zone in zones if (one := _zone_input(self._zones / zone)) is not None]


def _matching(pattern: str, directory: Path) -> list[str]:
    return glob.glob(pattern, root_dir=directory)  # noqa: PTH207 # passes over what just vanishes


def _hwmon_input(base: Path) -> _Input | None:
    title, path = base.with_name("name"), base.with_name(f"{base.name}_input")
    chip = _text(title)
    if chip is None:  # psutil passes over it
        return None
    label = _text(base.with_name(f"{base.name}_label")) or ""
    device = base.parent if base.parent.name == "device" else base.parent / "device"
    return _Input(path, title, (chip, label), base.name, _target(device))


def _zone_input(zone: Path) -> _Input | None:
    title = zone / "type"
    chip = _text(title)
    if chip is None:  # psutil passes over it
        return None
    return _Input(zone / "temp", title, (chip, ""), zone.name, _target(zone / "device"))


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return None


def _target(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:  # there is none
        return ""


def _plain(kind: _Kind) -> str:
    return " ".join(kind).strip()


def _names(inputs: Iterable[_Input]) -> dict[Path, str]:
    """Return a name for each input, by its path."""
    alike: dict[str, list[_Input]] = {}
    for one in inputs:
        alike.setdefault(_plain(one.kind), []).append(one)
    names: dict[str, Path] = {}
    for plain, group in alike.items():
        for one, name in zip(group, _distinct(plain, group), strict=True):
            names[_unused(name, names)] = one.path
    return {path: name for name, path in names.items()}


def _distinct(plain: str, group: Sequence[_Input]) -> list[str]:
    """Return names for sensors that are alike: by device, else by place, else by both."""
    names: list[str] = []
    for details in (
        ["" for _ in group],
        [one.device for one in group],
        [one.place for one in group],
        [f"{one.device} {one.place}".strip() for one in group],
    ):
        names = [f"{plain} {detail}".strip() for detail in details]
        if len(set(names)) == len(names):
            break
    return names


def _unused(name: str, names: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in names:
        number += 1
        free = f"{name} {number}"
    return free
