"""What NVIDIA's graphics processors do, as their driver's management library (NVML) tells it.

Its Python binding is no dependency of the hub's, and is imported when it is first needed.
"""

# ruff: noqa: N802 # a protocol has the names of the library that it describes

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast

__all__ = ["GPUMeter", "ManagementLibrary", "is_installed"]

_BINDING: Final = "pynvml"
_PACKAGE: Final = "nvidia-ml-py"

Handle: TypeAlias = Any
"""What the library calls a device."""

Answer: TypeAlias = Any
"""One of the library's structures."""

_Subject = TypeVar("_Subject")
_Result = TypeVar("_Result")


class ManagementLibrary(Protocol):
    """What is needed of the module ``pynvml``, under its own names."""

    NVML_TEMPERATURE_GPU: int

    @property
    def NVMLError(self) -> type[Exception]:
        """What the driver answers instead of a figure; those below are kinds of it."""
        ...

    @property
    def NVMLError_DriverNotLoaded(self) -> type[Exception]:
        """There is a library, and no driver."""
        ...

    @property
    def NVMLError_FunctionNotFound(self) -> type[Exception]:
        """The driver is older than what it is asked."""
        ...

    @property
    def NVMLError_LibraryNotFound(self) -> type[Exception]:
        """No driver was ever installed."""
        ...

    @property
    def NVMLError_NotSupported(self) -> type[Exception]:
        """The device does not have what it is asked for."""
        ...

    def nvmlInit(self) -> None:
        """Connect to the driver."""
        ...

    def nvmlShutdown(self) -> None:
        """Undo ``nvmlInit``."""
        ...

    def nvmlDeviceGetCount(self) -> int:
        """Return how many devices there are."""
        ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:
        """Return what stands for a device in the calls below, until the shutdown."""
        ...

    def nvmlDeviceGetName(self, handle: Handle) -> str:
        """Return the product's name."""
        ...

    def nvmlDeviceGetPciInfo(self, handle: Handle) -> Answer:
        """Return where the device is: ``busId``."""
        ...

    def nvmlDeviceGetUtilizationRates(self, handle: Handle) -> Answer:
        """Return how busy it is: ``gpu``, in percent."""
        ...

    def nvmlDeviceGetMemoryInfo(self, handle: Handle) -> Answer:
        """Return its memory: ``used`` and ``total``, in bytes."""
        ...

    def nvmlDeviceGetTemperature(self, handle: Handle, sensor: int) -> int:
        """Return a temperature in degrees Celsius."""
        ...

    def nvmlDeviceGetPowerUsage(self, handle: Handle) -> int:
        """Return what it draws, in milliwatts."""
        ...


def is_installed() -> bool:
    """Say whether the library's binding is installed, without importing it."""
    return importlib.util.find_spec(_BINDING) is not None


def _load() -> ManagementLibrary:
    try:
        return cast("ManagementLibrary", importlib.import_module(_BINDING))
    except ImportError as error:
        raise RuntimeError(f"the package {_PACKAGE} is not installed") from error


class GPUMeter:
    """Reads all devices' figures; connects to the driver once, and again after it has failed.

    Args:
        load: imports the library's binding.
    """

    def __init__(self, load: Callable[[], ManagementLibrary] = _load) -> None:
        self._load = load
        # What the driver had when it was connected to; empty while it is not. Handles are good
        # for as long as the connection, and devices that come meanwhile are not in it.
        self._devices: Sequence[_Device] = ()

    def collect(self) -> dict[str, dict[str, float]]:
        """Return the figures of each device, by its name; nothing without a driver or a device.

        ``utilization`` and ``memory`` are in percent, ``temperature`` in degrees Celsius,
        ``power_watts`` in watts; one that a device does not tell is absent. A device is called
        by its product's name, and where several are alike by that and its PCI bus id. One that
        cannot be read is left out.

        Raises:
            RuntimeError: no device can be read, or the library's binding is not installed.
        """
        library = self._load()
        try:
            if not self._devices:
                self._devices = _connect(library)
            return dict(_readable(library, _figures, self._devices))
        except library.NVMLError as error:
            self._disconnect(library)
            raise RuntimeError(f"NVML: {error}") from error

    def _disconnect(self, library: ManagementLibrary) -> None:
        """Have the next reading begin anew, for handles do not outlive their driver."""
        if self._devices:
            self._devices = ()
            _shut_down(library)


@dataclass(frozen=True, slots=True)
class _Device:
    handle: Handle
    name: str


def _connect(library: ManagementLibrary) -> Sequence[_Device]:
    """Return the devices that there are; where there are none, stay without a connection."""
    try:
        library.nvmlInit()
    except (library.NVMLError_LibraryNotFound, library.NVMLError_DriverNotLoaded):
        return ()
    devices: Sequence[_Device] = ()
    try:
        devices = _devices(library)
    finally:
        if not devices:
            _shut_down(library)
    return devices


def _shut_down(library: ManagementLibrary) -> None:
    with suppress(library.NVMLError):
        library.nvmlShutdown()


def _devices(library: ManagementLibrary) -> Sequence[_Device]:
    found = _readable(library, _device, range(library.nvmlDeviceGetCount()))
    alike = Counter(device.name for device in found)
    unique = [device for device in found if alike[device.name] == 1]
    others = [device for device in found if alike[device.name] > 1]
    return [*unique, *_readable(library, _with_bus_id, others)]


def _device(library: ManagementLibrary, index: int) -> _Device:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    return _Device(handle, library.nvmlDeviceGetName(handle))


def _with_bus_id(library: ManagementLibrary, device: _Device) -> _Device:
    bus_id = library.nvmlDeviceGetPciInfo(device.handle).busId
    return _Device(device.handle, f"{device.name} {bus_id}")


def _readable(
    library: ManagementLibrary,
    read: Callable[[ManagementLibrary, _Subject], _Result],
    subjects: Iterable[_Subject],
) -> list[_Result]:
    """Read all subjects; leave out those that fail, unless all of them do."""
    results: list[_Result] = []
    failures: list[Exception] = []
    for subject in subjects:
        try:
            results.append(read(library, subject))
        except library.NVMLError as error:
            failures.append(error)
    if failures and not results:
        raise failures[0]
    return results


def _figures(library: ManagementLibrary, device: _Device) -> tuple[str, dict[str, float]]:
    """Return a device's name and figures; one that fails is absent, unless all of them do."""
    figures: dict[str, float] = {}
    failures: list[Exception] = []
    for name, read in _FIGURES.items():
        try:
            figures[name] = read(library, device.handle)
        except (library.NVMLError_NotSupported, library.NVMLError_FunctionNotFound):
            continue  # by the device, by the driver
        except library.NVMLError as error:
            failures.append(error)
    if failures and not figures:
        raise failures[0]
    return device.name, figures


def _utilization(library: ManagementLibrary, handle: Handle) -> float:
    return float(library.nvmlDeviceGetUtilizationRates(handle).gpu)


def _memory(library: ManagementLibrary, handle: Handle) -> float:
    memory = library.nvmlDeviceGetMemoryInfo(handle)
    return 100 * float(memory.used) / float(memory.total)


def _temperature(library: ManagementLibrary, handle: Handle) -> float:
    return float(library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU))


def _power(library: ManagementLibrary, handle: Handle) -> float:
    return library.nvmlDeviceGetPowerUsage(handle) / 1000  # of milliwatts


_FIGURES: Final[dict[str, Callable[[ManagementLibrary, Handle], float]]] = {
    "utilization": _utilization,
    "memory": _memory,
    "temperature": _temperature,
    "power_watts": _power,
}
