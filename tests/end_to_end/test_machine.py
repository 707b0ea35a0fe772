"""What sampling makes of a machine that changes under it; the machine is a real one, or psutil's.

Each scene runs in a process of its own, in namespaces in which it may give away process numbers
and mount files over the system's; they are gone when it is. It prints what was seen.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from hub.sampling.processes import ProcessTable
from hub.sampling.processor import MachineMeter, ModeMeter, ProcessorMeter
from hub.sampling.sensors import Temperatures
from tests.support.servers import DEADLINE

_UNSHARE: Final = shutil.which("unshare") or ""
_MOUNT: Final = shutil.which("mount") or ""
_LAST: Final = Path("/proc/sys/kernel/ns_last_pid")
_STAT: Final = Path("/proc/stat")
_ONLINE: Final = Path("/sys/devices/system/cpu/online")
_CLASSES: Final = Path("/sys/class")

needs_namespaces = pytest.mark.skipif(
    sys.platform != "linux" or not (_UNSHARE and _MOUNT) or os.geteuid() != 0,
    reason="namespaces take Linux, root and util-linux",
)


def play(scene: Callable[..., None], *arguments: object, namespaces: tuple[str, ...]) -> Any:  # noqa: ANN401 # a scene's own
    """Run a scene in namespaces of its own; return what it printed. Skips where it must not."""
    run = (_UNSHARE, *namespaces)
    if subprocess.run([*run, "true"], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("namespaces cannot be made here")
    call = f"from {__name__} import {scene.__name__}; {scene.__name__}(*{arguments!r})"
    played = subprocess.run(  # noqa: S603 # our own
        [*run, sys.executable, "-c", call],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    return json.loads(played.stdout)


def mount(*arguments: str | Path) -> None:
    subprocess.run([_MOUNT, *arguments], check=True)  # noqa: S603 # our own


# A process number that is used again


def busy_child(seconds: float) -> int:
    """Start a process that keeps a processor busy; return once it has used so much of it."""
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    process = psutil.Process(pid)
    while sum(process.cpu_times()[:2]) < seconds:
        pass
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def take_a_number_again(old: float, new: float) -> None:
    """Have two processes one after the other under one number, which use so many seconds."""
    table = ProcessTable()
    first = busy_child(old)
    table.prime()
    end(first)
    _LAST.write_text(f"{first - 1}")
    second = busy_child(new)
    shares = []
    for _ in range(2):
        used = sum(psutil.Process(second).cpu_times()[:2])
        shown = {one["pid"]: one["cpu"] for one in table.collect()}
        shares.append(shown.get(second))
        while sum(psutil.Process(second).cpu_times()[:2]) < used + 0.05:
            pass
    end(second)
    print(json.dumps({"same": first == second, "shares": shares}))  # noqa: T201


@needs_namespaces
@pytest.mark.skipif(not _LAST.exists(), reason="the kernel gives no process numbers away")
@pytest.mark.parametrize(("old", "new"), [(0.15, 0.05), (0.05, 0.15)], ids=["less", "more"])
def test_a_busy_process_under_a_number_that_was_another_s_is_seen_at_once(
    old: float, new: float
) -> None:
    namespaces = ("--pid", "--fork", "--mount-proc")
    seen = play(take_a_number_again, old, new, namespaces=namespaces)
    assert seen["same"]
    assert all(share is not None and 0.0 < share < 150.0 for share in seen["shares"]), seen


# A sensor that falls silent


def make_disk(number: int, degrees: int) -> Path:
    """Make a disk's chip, as psutil finds it; return the file of its temperature."""
    chip = _CLASSES / f"hwmon/hwmon{number}"
    device = _CLASSES / f"disks/nvme{number}"
    for directory in (chip, device):
        directory.mkdir(parents=True)
    (chip / "device").symlink_to(device)
    (chip / "name").write_text("nvme\n")
    (chip / "temp1_label").write_text("Composite\n")
    (chip / "temp1_input").write_text(f"{degrees}000\n")
    return chip / "temp1_input"


def make_zone(kind: str) -> None:
    zone = _CLASSES / "thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text(f"{kind}\n")
    (zone / "temp").write_text("30000\n")


def silence_a_sensor() -> None:
    mount("-t", "tmpfs", "none", _CLASSES)
    temperatures = Temperatures()
    seen = [temperatures.collect()]
    make_zone("cpu-thermal")
    seen.append(temperatures.collect())
    first, _ = make_disk(0, 40), make_disk(10, 50)
    seen.append(temperatures.collect())
    first.unlink()
    first.mkdir()  # which root cannot read either
    seen.append(temperatures.collect())
    first.rmdir()
    first.write_text("41000\n")
    seen.append(temperatures.collect())
    print(json.dumps(seen))  # noqa: T201


@needs_namespaces
@pytest.mark.skipif(not _CLASSES.is_dir(), reason="there is no /sys/class")
def test_the_second_of_two_alike_sensors_keeps_its_name_while_the_first_is_silent() -> None:
    assert play(silence_a_sensor, namespaces=("--mount",)) == [
        {},
        {"cpu-thermal": 30.0},
        {"nvme Composite nvme0": 40.0, "nvme Composite nvme10": 50.0},
        {"nvme Composite nvme10": 50.0},
        {"nvme Composite nvme0": 41.0, "nvme Composite nvme10": 50.0},
    ]


# A processor that goes offline


def count(stat: Path, **processors: str) -> None:
    """Have the kernel count so much, in hundredths: ``user`` and ``idle`` of each processor.

    The line of all of them has more idle time than they have, as when one has just gone offline.
    """
    each = {name: [int(number) for number in counts.split()] for name, counts in processors.items()}
    user, idle = (sum(column) for column in zip(*each.values(), strict=True))
    lines = [f"{name} {u} 0 0 {i} 0 0 0 0 0 0" for name, (u, i) in each.items()]
    text = "\n".join([f"cpu  {user} 0 0 {idle + 99_999} 0 0 0 0 0 0", *lines, "btime 1", ""])
    stat.write_text(text)  # in place: what is mounted is the file


def lose_a_processor(directory: str) -> None:
    stat, online = Path(directory, "stat"), Path(directory, "online")
    count(stat, cpu0="1000 9000", cpu1="500 90000", cpu2="2000 8000")
    online.write_text("0-2\n")
    for made, over in ((stat, _STAT), (online, _ONLINE), (online, _ONLINE.with_name("present"))):
        mount("--bind", made, over)
    cores, cpu, modes = ProcessorMeter(), MachineMeter(), ModeMeter()
    for meter in (cores, cpu, modes):
        meter.prime()
    seen = []
    for listed, processors in (
        ("0,2", {"cpu0": "1050 9050", "cpu2": "2000 8100"}),
        ("0,2", {"cpu0": "1050 9150", "cpu2": "2100 8100"}),
        ("0-2", {"cpu0": "1100 9200", "cpu1": "600 99999", "cpu2": "2150 8150"}),
        ("0-2", {"cpu0": "1200 9200", "cpu1": "600 100099", "cpu2": "2250 8150"}),
    ):
        count(stat, **processors)
        online.write_text(f"{listed}\n")
        seen.append((cores.collect(), cpu.collect(), modes.collect()["user"]))
    print(json.dumps(seen))  # noqa: T201


@needs_namespaces
@pytest.mark.skipif(not _ONLINE.exists(), reason="processors are not listed in /sys")
def test_a_processor_that_goes_offline_and_comes_back_makes_no_false_tick(tmp_path: Path) -> None:
    seen = play(lose_a_processor, str(tmp_path), namespaces=("--mount",))
    third = pytest.approx(200 / 3)
    assert [tuple(one) for one in seen] == [
        ([50.0, 0.0, 0.0], 25.0, 25.0),
        ([0.0, 0.0, 100.0], 50.0, 50.0),
        ([50.0, 0.0, 50.0], 50.0, 50.0),
        ([100.0, 0.0, 100.0], third, third),
    ]
