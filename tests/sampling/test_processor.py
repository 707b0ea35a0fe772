from __future__ import annotations

import math
import tempfile
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.processor import MachineMeter, ModeMeter, ProcessorMeter

Times = namedtuple(  # as psutil's on Linux
    "Times", "user nice system idle iowait irq softirq steal guest guest_nice"
)
Meter: TypeAlias = ProcessorMeter | MachineMeter | ModeMeter
METERS: Sequence[type[Meter]] = (ProcessorMeter, MachineMeter, ModeMeter)
NOWHERE = Path("/nowhere")
SECONDS = st.floats(0, 1e9)
COUNTS = st.lists(SECONDS, min_size=len(Times._fields), max_size=len(Times._fields))


def times(
    user: float, idle: float, iowait: float = 0.0, guest: float = 0.0, **more: float
) -> Times:
    nothing = dict.fromkeys(Times._fields, 0.0)
    return Times(
        **{**nothing, "user": user, "idle": idle, "iowait": iowait, "guest": guest, **more}
    )


def readings(*each: Sequence[Any]) -> Callable[[], Sequence[Any]]:
    left = iter(each)
    return lambda: next(left)


def meter(*each: Sequence[Any]) -> ProcessorMeter:
    made = ProcessorMeter(readings(*each), NOWHERE)
    made.prime()
    return made


def mean(*each: Sequence[Any]) -> float:
    made = MachineMeter(readings(*each), NOWHERE)
    made.prime()
    return made.collect()


def modes(*each: Sequence[Any]) -> dict[str, float]:
    made = ModeMeter(readings(*each), NOWHERE)
    made.prime()
    return made.collect()


class Machine:
    """A machine whose processors come and go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.online: dict[int, Times] = {}
        self._directory = root / "sys/devices/system/cpu"
        self._directory.mkdir(parents=True)

    def lists(self, online: str, present: str = "0-3") -> None:
        (self._directory / "online").write_text(f"{online}\n")
        (self._directory / "present").write_text(f"{present}\n")

    def unlist(self) -> None:
        (self._directory / "online").unlink()

    def run(self, **processors: Times) -> None:
        """Set which processors are online, and what each has counted."""
        self.online = {int(name.removeprefix("cpu")): one for name, one in processors.items()}
        self.lists(",".join(map(str, self.online)))

    def read(self) -> list[Times]:
        return list(self.online.values())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# How busy


@pytest.mark.parametrize(
    ("before", "after", "busy"),
    [
        (times(100, 1000), times(101, 1003), 25.0),
        (times(100, 1000), times(100, 1004), 0.0),
        (times(100, 1000), times(104, 1000), 100.0),
        (times(100, 1000), times(101, 1002, iowait=1), 25.0),
        (times(100, 1000), times(101, 1001, guest=1), 50.0),  # a guest's time is the user's
        (times(100, 1000), times(100, 1000), 0.0),  # no time has passed
        (times(100, 1000, iowait=5), times(101, 1003, iowait=4), 25.0),  # which Linux does
    ],
)
def test_it_is_the_share_that_was_neither_idle_nor_waiting(
    before: Times, after: Times, busy: float
) -> None:
    assert meter([before], [after]).collect() == [busy]
    assert mean([before], [after]) == busy


def test_each_processor_has_its_own_share_since_the_last_look() -> None:
    made = meter([times(0, 0), times(0, 0)], [times(1, 1), times(0, 2)], [times(1, 3), times(2, 2)])
    assert made.collect() == [50.0, 0.0]
    assert made.collect() == [0.0, 100.0]


def test_the_mean_is_of_the_time_that_was_counted() -> None:
    assert mean([times(0, 0), times(0, 0)], [times(1, 1), times(0, 2)]) == 25.0
    assert mean([times(0, 0), times(0, 0)], [times(3, 3), times(0, 2)]) == 37.5


# Processors that come and go


def test_a_processor_that_goes_offline_leaves_the_others_in_their_places(machine: Machine) -> None:
    cores = ProcessorMeter(machine.read, machine.root)
    cpu = MachineMeter(machine.read, machine.root)
    machine.run(cpu0=times(10, 90), cpu1=times(5, 500), cpu2=times(50, 50), cpu3=times(0, 9))
    cores.prime()
    cpu.prime()
    machine.run(cpu0=times(11, 90), cpu2=times(50, 51), cpu3=times(0.5, 9.5))
    assert cores.collect() == [100.0, 0.0, 0.0, 50.0]
    assert cpu.collect() == 50.0


def test_one_that_comes_has_a_share_from_its_second_tick_on(machine: Machine) -> None:
    cores = ProcessorMeter(machine.read, machine.root)
    cpu = MachineMeter(machine.read, machine.root)
    machine.run(cpu0=times(0, 0), cpu2=times(0, 0))
    cores.prime()
    cpu.prime()
    machine.run(cpu0=times(0, 1), cpu1=times(700, 1), cpu2=times(1, 0))
    assert cores.collect() == [0.0, 0.0, 100.0, 0.0]
    assert cpu.collect() == 50.0
    machine.run(cpu0=times(0, 2), cpu1=times(701, 1), cpu2=times(1, 1))
    assert cores.collect() == [0.0, 100.0, 0.0, 0.0]
    assert cpu.collect() == pytest.approx(100 / 3)


def test_a_place_that_was_seen_stays_though_the_machine_no_longer_lists_it(
    machine: Machine,
) -> None:
    cores = ProcessorMeter(machine.read, machine.root)
    machine.run(cpu0=times(0, 0), cpu5=times(0, 0))
    cores.prime()
    machine.run(cpu0=times(1, 0))
    assert cores.collect() == [100.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_what_is_counted_while_the_list_changes_is_read_again(machine: Machine) -> None:
    """Else what one processor has counted would be taken for another's."""
    machine.run(cpu0=times(0, 0), cpu1=times(0, 100))
    swaps = [lambda: None, lambda: machine.run(cpu0=times(1, 0), cpu2=times(0, 900))]

    def read() -> Sequence[Times]:
        found = machine.read()
        if swaps:
            swaps.pop(0)()
        return found

    cores = ProcessorMeter(read, machine.root)
    cores.prime()
    assert cores.collect() == [100.0, 0.0, 0.0, 0.0]
    machine.run(cpu0=times(2, 0), cpu2=times(0, 901))
    assert cores.collect() == [100.0, 0.0, 0.0, 0.0]


def test_without_a_list_there_is_no_share_when_one_came_or_went_for_this_once() -> None:
    made = meter([times(0, 0)] * 2, [times(1, 1)], [times(2, 2)])
    with pytest.raises(RuntimeError, match="number of processors has changed"):
        made.collect()
    assert made.collect() == [50.0]


@pytest.mark.parametrize(
    "online", ["0-3", "0", "", "0,0", "1,0", "0-", "-1", "1-0", "0-99999999999", "0;1", "\udcff"]
)
def test_a_list_that_is_not_of_what_was_counted_is_not_believed(
    machine: Machine, online: str
) -> None:
    machine.run(cpu0=times(0, 0), cpu1=times(0, 0))
    path = machine.root / "sys/devices/system/cpu/online"
    path.write_text(online, "utf-8", "surrogateescape")
    cores = ProcessorMeter(machine.read, machine.root)
    cores.prime()
    machine.online = {0: times(1, 0), 1: times(0, 1)}
    assert cores.collect() == [100.0, 0.0]


def test_without_their_list_as_many_processors_keep_their_numbers(machine: Machine) -> None:
    cores = ProcessorMeter(machine.read, machine.root)
    machine.run(cpu1=times(0, 0), cpu3=times(0, 0))
    cores.prime()
    machine.run(cpu1=times(1, 0), cpu3=times(0, 1))
    machine.unlist()
    assert cores.collect() == [0.0, 100.0, 0.0, 0.0]
    machine.run(cpu1=times(1, 1), cpu3=times(1, 1))
    assert cores.collect() == [0.0, 0.0, 0.0, 100.0]


def test_processors_whose_numbers_turn_out_to_be_others_are_not_compared(machine: Machine) -> None:
    machine.run(cpu0=times(0, 0), cpu2=times(100, 0))
    machine.unlist()
    cpu = MachineMeter(machine.read, machine.root)
    cpu.prime()
    machine.run(cpu0=times(0, 1), cpu2=times(100, 1))
    with pytest.raises(RuntimeError, match="number of processors has changed"):
        cpu.collect()
    machine.run(cpu0=times(1, 1), cpu2=times(100, 2))
    assert cpu.collect() == 50.0


def test_where_all_processors_are_others_there_is_no_share(machine: Machine) -> None:
    machine.run(cpu0=times(0, 0))
    cpu = MachineMeter(machine.read, machine.root)
    cpu.prime()
    machine.run(cpu1=times(0, 1))
    with pytest.raises(RuntimeError, match="no processor was present at the last reading"):
        cpu.collect()


# Modes


def test_modes_are_shares_of_all_time_and_no_time_is_counted_twice() -> None:
    before = [times(0, 0), times(100, 100)]
    after = [
        times(2, 1, guest=1, nice=1, guest_nice=1, irq=0.5, softirq=0.5),
        times(100, 103, iowait=1, system=1, steal=1),
    ]
    assert modes(before, after) == pytest.approx({
        "user": 200 / 11, "system": 100 / 11, "nice": 100 / 11, "iowait": 100 / 11,
        "irq": 100 / 11, "steal": 100 / 11, "idle": 400 / 11,
    })  # fmt: skip


def test_a_mode_that_went_back_counts_as_still() -> None:
    found = modes([times(0, 0, iowait=7)], [times(1, 3, iowait=6)])
    assert (found["user"], found["idle"], found["iowait"]) == (25.0, 75.0, 0.0)


@pytest.mark.parametrize(
    ("counted", "spent"),
    [
        ({"user": 1.0, "nice": 1.0, "system": 0.0, "idle": 2.0},
         {"user": 25.0, "system": 0.0, "nice": 25.0, "idle": 50.0}),
        ({"user": 1.0, "system": 1.0, "idle": 1.0, "iowait": 1.0},
         {"user": 25.0, "system": 25.0, "iowait": 25.0, "idle": 25.0}),
        ({"user": 1.0, "system": 2.0, "idle": 1.0, "interrupt": 0.5, "dpc": 0.5},
         {"user": 25.0, "system": 25.0, "irq": 25.0, "idle": 25.0}),
        ({"user": 1.0, "system": 2.0, "idle": 1.0, "irq": 0.5, "dpc": 0.5},
         {"user": 25.0, "system": 25.0, "irq": 25.0, "idle": 25.0}),
    ],
    ids=["macOS", "Solaris", "Windows", "Windows as psutil 8 plans it"],
)  # fmt: skip
def test_modes_that_a_platform_does_not_count_are_absent(
    counted: dict[str, float], spent: dict[str, float]
) -> None:
    """Windows has interrupts and deferred calls in its kernel time."""
    nothing = SimpleNamespace(**dict.fromkeys(counted, 0.0))
    found = modes([nothing], [SimpleNamespace(**counted)])
    assert list(found.items()) == list(spent.items())


def test_where_no_time_was_counted_since_all_is_as_it_was(machine: Machine) -> None:
    meters = (
        MachineMeter(machine.read, machine.root),
        ProcessorMeter(machine.read, machine.root),
        ModeMeter(machine.read, machine.root),
    )
    machine.run(cpu0=times(0, 0))
    for made in meters:
        made.prime()
    machine.run(cpu0=times(3, 1))
    found = [made.collect() for made in meters]
    assert found[:2] == [75.0, [75.0, 0.0, 0.0, 0.0]]
    assert [made.collect() for made in meters] == found
    machine.run(cpu0=times(3, 2))
    assert [made.collect() for made in meters[:2]] == [0.0, [0.0, 0.0, 0.0, 0.0]]


def test_what_was_before_a_pause_is_forgotten(machine: Machine) -> None:
    made = MachineMeter(machine.read, machine.root)
    machine.run(cpu0=times(0, 0))
    made.prime()
    machine.run(cpu0=times(3, 1))
    made.collect()
    made.prime()
    assert made.collect() == 0.0


def test_where_no_time_was_counted_it_was_spent_with_nothing() -> None:
    with pytest.raises(RuntimeError, match="no processor has counted any time"):
        modes([times(1, 1)], [times(1, 1)])


def test_totals_are_the_seconds_by_mode_of_the_last_reading(machine: Machine) -> None:
    made = ModeMeter(machine.read, machine.root)
    assert made.totals() == {}
    machine.run(cpu0=times(1, 2, irq=3, softirq=4), cpu1=times(10, 20, guest=5))
    made.prime()
    assert made.totals() == {
        "user": 11.0, "system": 0.0, "nice": 0.0, "iowait": 0.0, "irq": 7.0, "steal": 0.0,
        "idle": 22.0,
    }  # fmt: skip


def test_totals_keep_what_a_processor_has_counted_that_went_offline(machine: Machine) -> None:
    made = ModeMeter(machine.read, machine.root)
    machine.run(cpu0=times(1, 2), cpu1=times(10, 20, iowait=1))
    made.prime()
    machine.run(cpu0=times(2, 3))
    made.collect()
    assert (made.totals()["user"], made.totals()["idle"]) == (12.0, 23.0)
    machine.run(cpu0=times(2, 4), cpu1=times(11, 19, iowait=0.5))
    made.collect()
    assert (made.totals()["user"], made.totals()["idle"]) == (13.0, 24.0)
    assert made.totals()["iowait"] == 1.0


# Whatever is counted


@given(COUNTS, COUNTS)
def test_it_is_a_percentage_whatever_is_counted(before: list[float], after: list[float]) -> None:
    (share,) = meter([Times(*before)], [Times(*after)]).collect()
    assert 0.0 <= share <= 100.0
    assert mean([Times(*before)], [Times(*after)]) == share


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=4))
def test_modes_are_percentages_and_make_up_the_whole(
    counts: list[tuple[list[float], list[float]]],
) -> None:
    before = [Times(*first) for first, _ in counts]
    after = [Times(*map(sum, zip(first, growth, strict=True))) for first, growth in counts]
    try:
        found = modes(before, after)
    except RuntimeError:  # nothing has grown but guests
        assert mean(before, after) == 0.0
        return
    assert all(0.0 <= share <= 100.0 for share in found.values())
    assert math.fsum(found.values()) == pytest.approx(100.0, abs=0.1)
    idle = found["idle"] + found["iowait"]
    assert mean(before, after) == pytest.approx(100.0 - idle, abs=0.1)


GARBAGE = st.one_of(
    st.none(),
    st.just(()),
    st.lists(
        st.one_of(
            st.none(),
            st.text(max_size=3),
            st.builds(SimpleNamespace, user=SECONDS, idle=SECONDS),
            st.builds(
                lambda counts: Times(*counts),
                st.lists(
                    st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=3), SECONDS),
                    min_size=len(Times._fields),
                    max_size=len(Times._fields),
                ),
            ),
            COUNTS.map(lambda counts: Times(*counts)),
        ),
        max_size=3,
    ),
    st.sampled_from([OSError(5, "Input/output error"), ValueError("no number"), RuntimeError()]),
)


@given(st.lists(GARBAGE, min_size=1, max_size=6))
def test_of_garbage_comes_an_ordinary_exception_or_a_percentage(each: list[Any]) -> None:
    for kind in METERS:
        for found in collected(kind, each):
            assert all(0.0 <= share <= 100.0 for share in found)


def collected(kind: type[Meter], each: Sequence[Any]) -> list[list[float]]:
    """Return what a meter makes of readings, some of which raise; the last is a good one."""
    left = iter([*each, [times(1, 1)]])

    def read() -> Sequence[Any]:
        reading = next(left)
        if isinstance(reading, Exception):
            raise reading
        return reading  # type: ignore[no-any-return] # it may be anything

    made = kind(read, NOWHERE)
    found = []
    for _ in range(len(each) + 1):
        try:
            shares = made.collect()
        except Exception:  # noqa: S112 # a failure of the family
            continue
        if isinstance(shares, dict):
            shares = list(shares.values())
        found.append(shares if isinstance(shares, list) else [shares])
    return found


PROCESSORS = st.dictionaries(st.integers(0, 3), COUNTS, min_size=1)


@given(st.lists(PROCESSORS, min_size=1, max_size=8), st.booleans())
def test_totals_never_go_back(
    ticks: list[dict[int, list[float]]],
    is_listed: bool,  # noqa: FBT001 # as hypothesis gives it
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory))
        made = ModeMeter(machine.read, machine.root)
        before: dict[str, float] = {}
        for tick in ticks:
            numbered = {f"cpu{number}": Times(*counts) for number, counts in sorted(tick.items())}
            machine.run(**numbered)
            if not is_listed:
                machine.unlist()
            made.prime()
            totals = made.totals()
            assert all(seconds >= before.get(mode, 0.0) for mode, seconds in totals.items())
            before = totals


# This machine


def test_psutil_counts_what_it_reads() -> None:
    made = ProcessorMeter()
    made.prime()
    found = made.collect()
    assert len(found) >= (psutil.cpu_count() or 1)


def test_as_much_is_counted_as_psutil_counts_for_all_processors() -> None:
    made = ModeMeter()
    made.prime()
    every = psutil.cpu_times(percpu=True)
    assert made.totals()["user"] == pytest.approx(sum(one.user for one in every), abs=1.0)
    assert made.totals()["idle"] == pytest.approx(sum(one.idle for one in every), abs=1.0)


def test_this_machine_is_busy_as_far_as_it_is_not_idle() -> None:
    cpu, spent = MachineMeter(), ModeMeter()
    cpu.prime()
    spent.prime()
    before = psutil.cpu_times(percpu=True)
    while psutil.cpu_times(percpu=True) == before:
        pass
    assert math.fsum(spent.collect().values()) == pytest.approx(100.0, abs=0.1)
    assert 0.0 <= cpu.collect() <= 100.0
