from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.cgroup import ControlGroup
from hub.sampling.container import (
    ContainerMemoryMeter,
    ContainerMeter,
    ContainerProcessorMeter,
)
from tests.support.control_groups import TOTAL, GroupTree, Layout

MIB = 1 << 20


class SetTime:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=Layout)
def tree(tmp_path: Path, request: pytest.FixtureRequest) -> GroupTree:
    assert isinstance(request.param, Layout)
    return GroupTree(tmp_path, request.param)


@pytest.fixture
def clock() -> SetTime:
    return SetTime()


# The family


def primed(control: ControlGroup) -> ContainerMeter:
    meter = ContainerMeter(control)
    meter.prime()
    return meter


def test_limits_and_what_is_used_of_them_are_one_family(tree: GroupTree) -> None:
    tree.cpu(limit=(150_000, 100_000), periods=(100, 40))
    tree.memory(limit=64 * MIB, usage=40 * MIB, inactive=10 * MIB, kills=2)
    meter = primed(tree.control)
    tree.cpu(limit=(150_000, 100_000), periods=(110, 43))
    assert meter.collect() == {
        "cpu_limit_cores": 1.5,
        "throttled": 30.0,
        "memory_limit_bytes": 64 * MIB,
        "memory_used_bytes": 30 * MIB,
        "oom_kills": 2,
    }


def test_without_limits_there_is_only_the_memory_that_is_used(tree: GroupTree) -> None:
    tree.cpu()
    tree.memory(usage=5)
    assert primed(tree.control).collect() == {"memory_used_bytes": 5, "oom_kills": 0}


def test_without_a_group_there_is_nothing(tmp_path: Path) -> None:
    assert primed(ControlGroup(lambda: TOTAL, tmp_path)).collect() == {}


def test_without_memory_there_is_only_the_processor(tree: GroupTree) -> None:
    tree.cpu(limit=(1, 1))
    assert primed(tree.control).collect() == {"cpu_limit_cores": 1.0, "throttled": 0.0}


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [
        ((10, 5), (10, 5), 0.0),  # it has slept
        ((10, 5), (20, 5), 0.0),
        ((10, 5), (20, 15), 100.0),
        ((10, 5), (12, 15), 100.0),  # of which the kernel does not take exact care
        ((10, 5), (9, 5), None),
        ((10, 5), (20, 4), None),
    ],
)
def test_throttled_is_the_share_of_periods_since_the_last_reading(
    tree: GroupTree, before: tuple[int, int], after: tuple[int, int], throttled: float | None
) -> None:
    tree.cpu(limit=(1, 1), periods=before)
    meter = primed(tree.control)
    tree.cpu(limit=(1, 1), periods=after)
    assert meter.collect().get("throttled") == throttled
    assert meter.collect()["throttled"] == 0.0


def test_a_limit_that_has_come_has_throttled_nothing_yet(tree: GroupTree) -> None:
    tree.cpu()
    meter = primed(tree.control)
    tree.cpu(limit=(1, 1), periods=(10, 5))
    assert meter.collect() == {"cpu_limit_cores": 1.0}
    tree.cpu(limit=(1, 1), periods=(20, 10))
    assert meter.collect() == {"cpu_limit_cores": 1.0, "throttled": 50.0}
    tree.cpu(periods=(20, 10))
    assert meter.collect() == {}


def test_periods_of_another_group_are_not_compared(tmp_path: Path) -> None:
    tree = GroupTree(tmp_path, Layout.UNIFIED, own="/a/b")
    tree.cpu("/a", limit=(3, 1), periods=(1000, 1000))
    tree.cpu("/a/b", limit=(2, 1), periods=(10, 0))
    meter = primed(tree.control)
    tree.cpu("/a", limit=(1, 1), periods=(1010, 1000))
    assert meter.collect() == {"cpu_limit_cores": 1.0}
    tree.cpu("/a", limit=(1, 1), periods=(1020, 1001))
    assert meter.collect() == {"cpu_limit_cores": 1.0, "throttled": 10.0}


def test_where_nobody_counts_periods_there_is_only_the_limit(tree: GroupTree) -> None:
    tree.cpu(limit=(1, 1))
    tree.write("/app", "cpu.stat", "usage_usec 1\n")
    assert primed(tree.control).collect() == {"cpu_limit_cores": 1.0}


def test_a_reading_that_fails_costs_no_periods(tree: GroupTree) -> None:
    tree.cpu(limit=(1, 1), periods=(0, 0))
    tree.memory()
    meter = primed(tree.control)
    tree.cpu(limit=(1, 1), periods=(10, 10))
    tree.write("/app", "memory.stat", "inactive_file x\ntotal_inactive_file x\n")
    with pytest.raises(RuntimeError, match=r"memory\.stat"):
        meter.collect()
    tree.cpu(limit=(1, 1), periods=(20, 10))
    tree.memory()
    assert meter.collect()["throttled"] == 50.0


# The processor


def processor(tree: GroupTree, clock: SetTime, count: int | None = 4) -> ContainerProcessorMeter:
    return ContainerProcessorMeter(tree.control, lambda: count, clock=clock)


@pytest.mark.parametrize(
    ("limit", "used", "share"),
    [
        ((50_000, 100_000), 0.5, 50.0),  # in two seconds
        ((50_000, 100_000), 0.0, 0.0),
        ((50_000, 100_000), 1.5, 100.0),
        ((3, 1), 1.5, 25.0),
        ((16, 1), 2.0, 25.0),  # of which there are only four
        (None, 2.0, 25.0),
    ],
)
def test_it_is_the_share_of_the_time_that_the_group_may_have(
    tree: GroupTree, clock: SetTime, limit: tuple[int, int] | None, used: float, share: float
) -> None:
    tree.cpu(limit=limit, seconds=100)
    meter = processor(tree, clock)
    meter.prime()
    tree.cpu(limit=limit, seconds=100 + used)
    clock.now += 2
    assert meter.collect() == pytest.approx(share)


def test_each_reading_begins_where_the_last_one_ended(tree: GroupTree, clock: SetTime) -> None:
    tree.cpu(limit=(1, 1))
    meter = processor(tree, clock)
    meter.prime()
    shares = []
    for seconds in (0.5, 0.5, 1.5):
        tree.cpu(limit=(1, 1), seconds=seconds)
        clock.now += 1
        shares.append(meter.collect())
    assert shares == [50.0, 0.0, 100.0]


def test_a_limit_that_changes_holds_from_then_on(tree: GroupTree, clock: SetTime) -> None:
    tree.cpu(limit=(1, 1))
    meter = processor(tree, clock)
    meter.prime()
    tree.cpu(limit=(2, 1), seconds=1)
    clock.now += 1
    assert meter.collect() == 50.0


def test_a_count_that_went_back_is_an_error_this_once(tree: GroupTree, clock: SetTime) -> None:
    tree.cpu(limit=(1, 1), seconds=100)
    meter = processor(tree, clock)
    meter.prime()
    tree.cpu(limit=(1, 1), seconds=1)
    clock.now += 1
    with pytest.raises(RuntimeError, match="the count of processor time went back"):
        meter.collect()
    tree.cpu(limit=(1, 1), seconds=1.5)
    clock.now += 1
    assert meter.collect() == pytest.approx(50.0)


def test_times_of_different_groups_are_not_compared(tmp_path: Path, clock: SetTime) -> None:
    tree = GroupTree(tmp_path, Layout.JOINT, own="/a/b")
    tree.cpu("/a", seconds=1000)
    tree.cpu("/a/b", seconds=10)
    meter = processor(tree, clock)
    meter.prime()
    tree.cpu("/a", limit=(1, 1), seconds=1000)
    clock.now += 1
    with pytest.raises(RuntimeError, match="comes from another control group"):
        meter.collect()
    clock.now += 1
    assert meter.collect() == 0.0


def test_where_no_time_has_passed_there_is_no_share(tree: GroupTree, clock: SetTime) -> None:
    tree.cpu(limit=(1, 1))
    meter = processor(tree, clock)
    with pytest.raises(RuntimeError, match="no reading before"):
        meter.collect()
    with pytest.raises(RuntimeError, match="no time has passed"):
        meter.collect()


def test_a_reading_that_fails_is_made_up_for_by_the_next(tree: GroupTree, clock: SetTime) -> None:
    tree.cpu(limit=(1, 1))
    meter = processor(tree, clock)
    meter.prime()
    clock.now += 1
    tree.write("/app", "cpu.max" if tree.layout is Layout.UNIFIED else "cpu.cfs_quota_us", "x")
    with pytest.raises(RuntimeError, match="means nothing"):
        meter.collect()
    clock.now += 1
    tree.cpu(limit=(1, 1), seconds=1)
    assert meter.collect() == 50.0


def test_without_a_limit_the_number_of_processors_must_be_known(
    tree: GroupTree, clock: SetTime
) -> None:
    tree.cpu(limit=(1, 1))
    meter = processor(tree, clock, count=None)
    meter.prime()
    tree.cpu(seconds=1)
    with pytest.raises(RuntimeError, match="number of processors is not known"):
        meter.collect()


def test_without_a_group_there_is_no_share(tmp_path: Path, clock: SetTime) -> None:
    control = ControlGroup(lambda: TOTAL, tmp_path)
    with pytest.raises(RuntimeError, match="no control group"):
        ContainerProcessorMeter(control, lambda: 1, clock=clock).prime()
    with pytest.raises(RuntimeError, match="no control group"):
        ContainerMemoryMeter(control).collect()


COUNTS = st.integers(0, 2**64 - 1)


@given(COUNTS, COUNTS, st.integers(1, 2**63), st.integers(1, 2**63), st.floats(1e-6, 1e9))
def test_it_is_a_percentage_whatever_is_counted(
    before: int, growth: int, quota: int, period: int, elapsed: float
) -> None:
    clock = SetTime()
    with tempfile.TemporaryDirectory() as directory:
        tree = GroupTree(Path(directory), Layout.UNIFIED)
        tree.cpu(limit=(quota, period))
        tree.write("/app", "cpu.stat", f"usage_usec {before}\n")
        meter = processor(tree, clock)
        meter.prime()
        tree.write("/app", "cpu.stat", f"usage_usec {min(before + growth, 2**64 - 1)}\n")
        clock.now += elapsed
        assert 0.0 <= meter.collect() <= 100.0


# Memory


@pytest.mark.parametrize(
    ("limit", "usage", "share"),
    [
        (64 * MIB, 16 * MIB, 25.0),
        (64 * MIB, 65 * MIB, 100.0),
        (0, 0, 100.0),
        (None, TOTAL // 4, 25.0),
        (TOTAL, TOTAL // 4, 25.0),
    ],
)
def test_memory_is_a_share_of_the_limit_or_of_the_machines(
    tree: GroupTree, limit: int | None, usage: int, share: float
) -> None:
    tree.memory(limit=limit, usage=usage + 4096, inactive=4096)
    assert ContainerMemoryMeter(tree.control).collect() == share


# This machine

PROBE = """
import json, time, psutil
from hub.sampling.cgroup import ControlGroup
from hub.sampling.container import ContainerMemoryMeter, ContainerMeter, ContainerProcessorMeter

control = ControlGroup(lambda: psutil.virtual_memory().total)
meter = ContainerMeter(control)
processor = ContainerProcessorMeter(control, psutil.cpu_count)
meter.prime()
processor.prime()
held = b"x" * (16 << 20)
end = time.monotonic() + 0.5
while time.monotonic() < end:
    pass
print(json.dumps([meter.collect(), processor.collect(), ContainerMemoryMeter(control).collect()]))
"""


class OwnGroups:
    """Groups of version 1 below those that this process is in, for as long as a test runs."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: list[Path] = []

    def make(self, controller: str, limits: dict[str, int]) -> None:
        group = self._own(controller) / f"metrics-hub-test-{os.getpid()}"
        try:
            group.mkdir()
            self._stack.callback(group.rmdir)
            for file, value in limits.items():
                (group / file).write_text(str(value))
        except OSError as error:
            pytest.skip(f"no group of {controller} can be made: {error.strerror}")
        self._made.append(group)

    def run(self, program: str) -> str:
        """Run a Python program in all of them; return what it prints."""
        join = 'for group; do echo $$ > "$group/cgroup.procs" || exit; done; exec "$PYTHON" -c "$P"'
        ran = subprocess.run(  # noqa: S603 # our own text
            ["/bin/sh", "-c", join, "sh", *self._made],
            env={**os.environ, "PYTHON": sys.executable, "P": program},
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        return ran.stdout

    @staticmethod
    def _own(controller: str) -> Path:
        lists = Path("/proc/self/cgroup")
        lines = lists.read_text().splitlines() if lists.exists() else []
        for _, controllers, path in (line.split(":", 2) for line in lines):
            if controllers == controller:
                return Path(f"/sys/fs/cgroup/{controller}{path}")
        pytest.skip(f"this machine has no {controller} of version 1 by itself")


@pytest.fixture
def own_groups() -> Iterator[OwnGroups]:
    with ExitStack() as stack:
        yield OwnGroups(stack)


def test_a_process_in_a_group_with_limited_memory_reads_that_limit(own_groups: OwnGroups) -> None:
    limit = 256 * MIB
    own_groups.make("memory", {"memory.limit_in_bytes": limit})
    figures, _, share = json.loads(own_groups.run(PROBE))
    assert figures["memory_limit_bytes"] == limit
    assert 16 * MIB < figures["memory_used_bytes"] < limit
    assert figures["oom_kills"] == 0
    assert share == pytest.approx(100 * figures["memory_used_bytes"] / limit, abs=5)


def test_a_process_in_a_group_with_limited_time_uses_it_up(own_groups: OwnGroups) -> None:
    own_groups.make("cpu", {"cpu.cfs_period_us": 20_000, "cpu.cfs_quota_us": 5_000})
    own_groups.make("cpuacct", {})
    figures, share, _ = json.loads(own_groups.run(PROBE))
    assert figures["cpu_limit_cores"] == 0.25
    assert 0 < figures["throttled"] <= 100
    assert 10 < share <= 100  # which others that are busy may keep it from


def test_this_machines_container_is_read_if_it_is_one() -> None:
    control = ControlGroup(lambda: psutil.virtual_memory().total)
    figures = primed(control).collect()
    assert all(figure >= 0 for figure in figures.values())
    assert ("memory_used_bytes" in figures) == (control.memory() is not None)
    assert ("cpu_limit_cores" in figures) == (control.cpu_limit() is not None)


HUBS = """
import asyncio, json
from hub import Hub, Settings

async def first_message(relative_to):
    hub = Hub(Settings(interval=0.1, relative_to=relative_to))
    async with hub.subscribe(metrics=("cpu", "memory", "container")) as frames:
        async for frame in frames:
            break
    await hub.stop()
    return json.loads(frame.text)

async def main():
    return {one: await first_message(one) for one in ("auto", "host", "container")}

print(json.dumps(asyncio.run(main())))
"""


def test_a_hub_in_a_group_with_limits_is_relative_to_them_unless_told_otherwise(
    own_groups: OwnGroups,
) -> None:
    limit = 256 * MIB
    own_groups.make("memory", {"memory.limit_in_bytes": limit})
    found = json.loads(own_groups.run(HUBS))
    for one in ("auto", "container"):
        used = found[one]["container"]["memory_used_bytes"]
        assert found[one]["memory"] == pytest.approx(100 * used / limit, abs=2)
    assert found["host"]["memory"] < found["auto"]["memory"], "of a much larger machine"
    assert all(0 <= message["cpu"] <= 100 for message in found.values())
