# ruff: noqa: N802 # the fake has the library's names

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hub.sampling.gpu import GPUMeter, ManagementLibrary, is_installed

GIB = 2**30


class NVMLError(Exception):
    """As the library's: what the driver answers instead."""


class DriverNotLoaded(NVMLError):
    def __str__(self) -> str:
        return "Driver Not Loaded"


class FunctionNotFound(NVMLError):
    pass


class LibraryNotFound(NVMLError):
    pass


class NotSupported(NVMLError):
    pass


class Lost(NVMLError):
    def __str__(self) -> str:
        return "GPU is lost"


@dataclass
class Card:
    """A device; what it answers instead of some figures, or of everything."""

    name: str = "NVIDIA H200"
    bus_id: str = "00000000:3B:00.0"
    instead: dict[str, NVMLError] = field(default_factory=dict)
    broken: NVMLError | None = None

    def tell(self, figure: str) -> None:
        failure = self.broken or self.instead.get(figure)
        if failure is not None:
            raise failure


class Library:
    """A driver with some cards, which counts how often it was connected to."""

    NVML_TEMPERATURE_GPU = 0
    NVMLError = NVMLError
    NVMLError_DriverNotLoaded = DriverNotLoaded
    NVMLError_FunctionNotFound = FunctionNotFound
    NVMLError_LibraryNotFound = LibraryNotFound
    NVMLError_NotSupported = NotSupported

    def __init__(self, *cards: Card) -> None:
        self.cards = list(cards)
        self.refusal: NVMLError | None = None
        self.connections = 0
        self.connected = False

    def nvmlInit(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert not self.connected
        self.connected = True
        self.connections += 1

    def nvmlShutdown(self) -> None:
        assert self.connected
        self.connected = False

    def nvmlDeviceGetCount(self) -> int:
        assert self.connected
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        self.cards[index].tell("handle")
        return self.cards[index]

    def nvmlDeviceGetName(self, handle: Card) -> str:
        handle.tell("name")
        return handle.name

    def nvmlDeviceGetPciInfo(self, handle: Card) -> SimpleNamespace:
        handle.tell("bus_id")
        return SimpleNamespace(busId=handle.bus_id)

    def nvmlDeviceGetUtilizationRates(self, handle: Card) -> SimpleNamespace:
        handle.tell("utilization")
        return SimpleNamespace(gpu=87, memory=1)

    def nvmlDeviceGetMemoryInfo(self, handle: Card) -> SimpleNamespace:
        handle.tell("memory")
        return SimpleNamespace(total=80 * GIB, used=20 * GIB, free=60 * GIB)

    def nvmlDeviceGetTemperature(self, handle: Card, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        handle.tell("temperature")
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: Card) -> int:
        handle.tell("power_watts")
        return 312_500


def meter(library: Library) -> GPUMeter:
    return GPUMeter(lambda: library)


ALL = {"utilization": 87.0, "memory": 25.0, "temperature": 61.0, "power_watts": 312.5}


def test_a_device_is_called_by_its_product_and_tells_four_figures() -> None:
    assert meter(Library(Card())).collect() == {"NVIDIA H200": ALL}


def test_of_several_that_are_alike_each_has_its_place_in_its_name() -> None:
    library = Library(Card(), Card("NVIDIA T4"), Card(bus_id="00000000:AF:00.0"))
    assert set(meter(library).collect()) == {
        "NVIDIA H200 00000000:3B:00.0",
        "NVIDIA H200 00000000:AF:00.0",
        "NVIDIA T4",
    }


def test_names_do_not_depend_on_the_order_in_which_the_driver_found_the_devices() -> None:
    cards = [Card(), Card(bus_id="00000000:AF:00.0"), Card("NVIDIA T4")]
    assert meter(Library(*cards)).collect() == meter(Library(*reversed(cards))).collect()


def test_the_driver_is_connected_to_once() -> None:
    library = Library(Card())
    made = meter(library)
    for _ in range(3):
        assert made.collect()
    assert (library.connections, library.connected) == (1, True)


@pytest.mark.parametrize("refusal", [LibraryNotFound(), DriverNotLoaded()])
def test_without_a_driver_there_is_nothing_until_there_is_one(refusal: NVMLError) -> None:
    library = Library(Card())
    library.refusal = refusal
    made = meter(library)
    assert made.collect() == {}
    library.refusal = None
    assert made.collect() == {"NVIDIA H200": ALL}


def test_without_a_device_there_is_nothing_until_there_is_one() -> None:
    library = Library()
    made = meter(library)
    assert made.collect() == {}
    assert not library.connected
    library.cards.append(Card())
    assert made.collect() == {"NVIDIA H200": ALL}


def test_a_driver_that_refuses_for_another_reason_is_an_error() -> None:
    library = Library(Card())
    library.refusal = NVMLError("Insufficient Permissions")
    with pytest.raises(RuntimeError, match="NVML: Insufficient Permissions"):
        meter(library).collect()


@pytest.mark.parametrize("answer", [NotSupported(), FunctionNotFound(), NVMLError("Unknown Error")])
@pytest.mark.parametrize("figure", ALL)
def test_a_figure_that_a_device_does_not_tell_is_absent(figure: str, answer: NVMLError) -> None:
    library = Library(Card(instead={figure: answer}))
    expected = {name: value for name, value in ALL.items() if name != figure}
    assert meter(library).collect() == {"NVIDIA H200": expected}


def test_a_device_that_tells_none_at_all_is_there_without_any() -> None:
    library = Library(Card(instead=dict.fromkeys(ALL, NotSupported())))
    assert meter(library).collect() == {"NVIDIA H200": {}}


def test_a_device_that_fails_is_left_out_and_the_others_keep_their_names() -> None:
    failing = Card(bus_id="00000000:AF:00.0")
    library = Library(Card(), failing)
    made = meter(library)
    made.collect()
    failing.broken = Lost()
    for _ in range(3):
        assert made.collect() == {"NVIDIA H200 00000000:3B:00.0": ALL}
    failing.broken = None
    assert len(made.collect()) == 2
    assert library.connections == 1


@pytest.mark.parametrize("call", ["handle", "name"])
def test_a_device_that_is_broken_from_the_start_does_no_harm_to_the_others(call: str) -> None:
    library = Library(Card(instead={call: Lost()}), Card("NVIDIA T4"))
    assert meter(library).collect() == {"NVIDIA T4": ALL}


def test_devices_that_are_alike_and_cannot_be_told_apart_are_left_out() -> None:
    library = Library(Card(instead={"bus_id": Lost()}), Card(), Card("NVIDIA T4"))
    assert set(meter(library).collect()) == {"NVIDIA H200 00000000:3B:00.0", "NVIDIA T4"}


def test_where_all_devices_fail_it_is_an_error_and_the_driver_is_connected_to_anew() -> None:
    card = Card()
    library = Library(card)
    made = meter(library)
    made.collect()
    card.broken = Lost()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="NVML: GPU is lost"):
            made.collect()
        assert not library.connected
    card.broken = None
    assert made.collect() == {"NVIDIA H200": ALL}
    assert (library.connections, library.connected) == (3, True)


def test_a_driver_that_goes_in_between_is_nothing_once_it_is_gone() -> None:
    card = Card()
    library = Library(card)
    made = meter(library)
    made.collect()
    card.broken = library.refusal = DriverNotLoaded()
    with pytest.raises(RuntimeError, match="NVML: Driver Not Loaded"):
        made.collect()
    assert made.collect() == {}


def test_the_binding_is_imported_when_it_is_first_needed() -> None:
    loaded: list[Library] = []

    def load() -> Library:
        loaded.append(Library())
        return loaded[-1]

    made = GPUMeter(load)
    assert not loaded
    made.collect()
    assert loaded


def test_neither_the_module_nor_asking_for_the_binding_imports_it() -> None:
    code = (
        "import sys; from hub.sampling.gpu import GPUMeter, is_installed;"
        "GPUMeter(); is_installed(); assert 'pynvml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 # our own text


def test_a_binding_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(RuntimeError, match="the package nvidia-ml-py is not installed"):
        GPUMeter().collect()


def test_it_is_installed_if_it_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], Any] = {"pynvml": object()}.get
    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert is_installed()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert not is_installed()


# The real binding


@pytest.mark.skipif(not is_installed(), reason="nvidia-ml-py is not installed")
def test_the_real_binding_has_what_is_used_of_it_and_this_machine_s_devices_are_read() -> None:
    library = cast("ManagementLibrary", importlib.import_module("pynvml"))
    assert not [
        name for name in vars(Library) if name[:2] in {"NV", "nv"} and not hasattr(library, name)
    ]
    for figures in GPUMeter().collect().values():
        assert figures.keys() <= ALL.keys()
        assert 0 <= figures.get("utilization", 0.0) <= 100
        assert 0 <= figures.get("memory", 0.0) <= 100
