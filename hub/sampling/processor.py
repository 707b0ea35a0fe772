"""How busy processors were, and with what, between two looks at the times that they have counted.

psutil lists those times without the processors' numbers, and the machine's own sum of them jumps
when a processor goes offline. So the times are numbered here, as the system lists its processors,
and only what the same processor has counted is ever compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import psutil

__all__ = ["MachineMeter", "ModeMeter", "ProcessorMeter"]

_INTERRUPTS: Final = ("irq", "softirq", "interrupt", "dpc")
_MODES: Final = ("user", "system", "nice", "iowait", "irq", "steal", "idle")
_EVERYWHERE: Final = ("user", "system", "idle")
# Linux's guest is among user already, its guest_nice among nice.
_SOMEWHERE: Final = ("nice", "iowait", "steal", *_INTERRUPTS)

_MOST_SECONDS: Final = 1e12  # 30,000 years: more has no processor counted
_MOST_PROCESSORS: Final = 65_536  # of which a list is believed


def _per_processor() -> Sequence[Any]:
    return psutil.cpu_times(percpu=True)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What each processor has counted.

    Attributes:
        counted: seconds by field of psutil's, by the processor's number, in rising order.
        listed: whether the numbers are the system's; else they are no more than a sequence.
    """

    counted: Mapping[int, Mapping[str, float]]
    listed: bool

    def continues(self, before: _Reading) -> bool:
        """Whether a number is the same processor's as before."""
        return (self.listed and before.listed) or self.counted.keys() == before.counted.keys()


class _Meter:
    """Takes readings of all processors, and says how much each has counted in between.

    What was counted before belongs to the meter, whichever thread reads it; psutil's own
    ``cpu_percent`` keeps it for each thread. So two families that are not always asked for
    together need a meter each.

    Args:
        read: returns what each processor that is online has counted, in the order of their
            numbers, as psutil's ``cpu_times(percpu=True)`` does.
        root: where ``/sys`` is found, which knows the numbers. While it has no list, or one of
            another length, processors keep the numbers that they had, and at first are numbered
            from 0.
    """

    def __init__(
        self, read: Callable[[], Sequence[Any]] = _per_processor, root: Path = Path("/")
    ) -> None:
        self._read = read
        self._directory = root / "sys/devices/system/cpu"
        self._online: tuple[int, ...] | None = None  # the list when it was last looked at
        self._latest = _Reading({}, listed=False)  # the last reading that succeeded
        # What was counted between the last two readings with any time in between.
        self._counted: dict[int, dict[str, float]] = {}

    def prime(self) -> None:
        """Take a first reading.

        Raises:
            RuntimeError: there are no times, or such as no processor can have counted.
        """
        self._renew()
        self._counted = {}

    def _renew(self) -> _Reading:
        """Take a reading; return the one before it."""
        before, self._latest = self._latest, self._take()
        return before

    def _growth(self) -> dict[int, dict[str, float]]:
        """Take a reading; return what was counted since by processors that were there before.

        A counter that went back, as Linux's iowait does, counts as still. Where two ticks follow
        each other so closely that no time was counted, it is what was counted before.

        Raises:
            RuntimeError: nothing can be compared, or as for ``prime()``.
        """
        before, after = self._renew(), self._latest
        if not after.continues(before):
            raise RuntimeError("the number of processors has changed")
        growth = {
            number: {
                name: max(0.0, seconds - then.get(name, seconds))
                for name, seconds in counted.items()
            }
            for number, counted in after.counted.items()
            if (then := before.counted.get(number)) is not None
        }
        if not growth:
            raise RuntimeError("no processor was present at the last reading")
        if not self._counted or any(any(counted.values()) for counted in growth.values()):
            self._counted = growth
        return self._counted

    def _take(self) -> _Reading:
        if self._online is None:
            self._online = _numbers(self._directory / "online")
        times = self._read()
        online = _numbers(self._directory / "online")
        if online != self._online:  # since then or just now: the times may be of either list
            self._online, times = online, self._read()
        rows = _rows(times)
        if len(online) == len(rows):
            return _Reading(dict(zip(online, rows, strict=True)), listed=True)
        known = self._latest.counted
        numbers = known if len(known) == len(rows) else range(len(rows))
        return _Reading(dict(zip(numbers, rows, strict=True)), listed=False)


class ProcessorMeter(_Meter):
    """How busy each processor was, in its place. For its arguments see ``_Meter``."""

    def __init__(
        self, read: Callable[[], Sequence[Any]] = _per_processor, root: Path = Path("/")
    ) -> None:
        super().__init__(read, root)
        self._places = 0  # one more than the highest number that is known

    def collect(self) -> list[float]:
        """Return each logical processor's busy share since the last reading, in percent.

        The place in the list is the processor's number; there is one for each that is present in
        the machine or was seen. It has 0.0 while it is offline, in the tick in which it has just
        come, and if it has counted no time since.

        Raises:
            RuntimeError: there are more processors, or fewer, than there were, and it is not
                known which; or there are no times that can be believed.
        """
        shares = {number: _busy([counted]) for number, counted in self._growth().items()}
        return [shares.get(number, 0.0) for number in range(self._places)]

    def _renew(self) -> _Reading:
        before = super()._renew()
        if not self._latest.continues(before):
            self._places = 0
        present = _numbers(self._directory / "present") if self._latest.listed else ()
        self._places = max(self._places, *(1 + one for one in (*self._latest.counted, *present)))
        return before


class MachineMeter(_Meter):
    """How busy all processors together were. For its arguments see ``_Meter``."""

    def collect(self) -> float:
        """Return the busy share since the last reading, in percent.

        It is that of the processors which were online at both ends; 0.0 before they have counted
        any time.

        Raises:
            RuntimeError: as ``ProcessorMeter.collect``.
        """
        return _busy(self._growth().values())


class ModeMeter(_Meter):
    """What all processors together spent their time with. For its arguments see ``_Meter``.

    The modes are ``user``, ``system``, ``nice``, ``iowait``, ``irq`` (also Linux's softirq and
    Windows' deferred calls), ``steal`` and ``idle``, as far as the platform counts them. None has
    a part of another's time in it.
    """

    MODES: Final = _MODES
    """All modes that there are on any platform."""

    def __init__(
        self, read: Callable[[], Sequence[Any]] = _per_processor, root: Path = Path("/")
    ) -> None:
        super().__init__(read, root)
        # The most that each processor was seen to have counted, by its number and field.
        self._most: dict[int, dict[str, float]] = {}
        self._totals: Mapping[str, float] = {}  # by mode; a new one at every reading

    def collect(self) -> dict[str, float]:
        """Return the share of each mode since the last reading, in percent; in all 100.

        It is that of the processors which were online at both ends.

        Raises:
            RuntimeError: no time was counted so far; else as ``ProcessorMeter.collect``.
        """
        spent = _by_mode(self._growth().values())
        total = sum(spent.values())
        if total <= 0:
            raise RuntimeError("no processor has counted any time since the last reading")
        return {mode: min(100.0, 100.0 * seconds / total) for mode, seconds in spent.items()}

    def totals(self) -> dict[str, float]:
        """Return the seconds by mode that were counted up to the last reading; empty before it.

        They never go back: a processor that goes offline keeps what it has counted. It may be
        called in any thread.
        """
        return dict(self._totals)

    def _renew(self) -> _Reading:
        before = super()._renew()
        for number, counted in self._latest.counted.items():
            most = self._most.setdefault(number, {})
            for name, seconds in counted.items():
                most[name] = max(seconds, most.get(name, 0.0))
        self._totals = _by_mode(self._most.values())
        return before


def _rows(times: Sequence[Any]) -> list[dict[str, float]]:
    """Return what each processor has counted, in seconds by field."""
    if not times:
        raise RuntimeError("no processor's times are known")
    fields = (*_EVERYWHERE, *(name for name in _SOMEWHERE if hasattr(times[0], name)))
    pick = attrgetter(*fields)
    rows = [dict(zip(fields, map(float, pick(one)), strict=True)) for one in times]
    if not all(abs(seconds) < _MOST_SECONDS for row in rows for seconds in row.values()):
        raise RuntimeError("the times of a processor are impossible")
    return rows


def _by_mode(counted: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Add up what processors have counted, in seconds by field, to seconds by mode."""
    sums: dict[str, float] = {}
    for one in counted:
        for name, seconds in one.items():
            sums[name] = sums.get(name, 0.0) + seconds
    interrupts = [sums[name] for name in _INTERRUPTS if name in sums]
    if interrupts:
        sums["irq"] = sum(interrupts)
    if "dpc" in sums:  # Windows counts interrupts and deferred calls as kernel time as well
        sums["system"] = max(0.0, sums["system"] - sums["irq"])
    return {mode: sums[mode] for mode in _MODES if mode in sums}


def _busy(counted: Iterable[Mapping[str, float]]) -> float:
    """Return the share of time that was neither idle nor spent waiting for a disk, in percent."""
    spent = _by_mode(counted)
    total = sum(spent.values())
    idle = spent["idle"] + spent.get("iowait", 0.0)
    return min(100.0, max(0.0, 100.0 * (total - idle) / total)) if total > 0 else 0.0


def _numbers(path: Path) -> tuple[int, ...]:
    """Read a list of processors such as ``0-3,5``; empty where there is none to be believed."""
    numbers: list[int] = []
    try:
        for part in path.read_text("ascii").strip().split(","):
            first, _, last = part.partition("-")
            least = numbers[-1] + 1 if numbers else 0
            if not least <= int(first) <= int(last or first) < _MOST_PROCESSORS:
                return ()
            numbers += range(int(first), int(last or first) + 1)
    except (OSError, ValueError):
        return ()
    return tuple(numbers)
