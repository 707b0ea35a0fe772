"""Disks, file systems and interfaces as this machine's kernel has them, from odd to hostile.

Scenes have namespaces of their own (see ``tests.support.machines``). What is measured is compared
with what the kernel says at the same moment: psutil's answers are written down as they come.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import psutil
import pytest

from hub import Hub, Metric, Settings
from hub.clock import SystemClock
from hub.devices import USUAL, Selection
from hub.sampling.collector import ThreadCollector
from hub.sampling.snapshot import Snapshot
from hub.sampling.system import standard_metrics
from tests.support.clients import client, message, receive, strict_json
from tests.support.fuse import FUSE, Size, mount_fuse
from tests.support.machines import Witness, mount, needs, play, run
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub

pytestmark = pytest.mark.long

Body = dict[str, Any]


async def follow(
    hub: Hub, count: int, *metrics: str, devices: Sequence[str] = (),
    each: Callable[[Body], object] = lambda _: None,
) -> list[Body]:  # fmt: skip
    """Return a hub's next messages to a partial view; ``each`` sees them as they come."""
    bodies: list[Body] = []
    with anyio.fail_after(2 * DEADLINE):
        async with hub.subscribe(metrics, partial=True, devices=devices) as frames:
            async for frame in frames:
                bodies.append(strict_json(frame.text))
                each(bodies[-1])
                if len(bodies) == count:
                    return bodies
    raise AssertionError("the hub has stopped")


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do something again and again in a thread."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def one_interface_to_the_world() -> None:
    """Have an interface with a default route in a network namespace; what it receives is sent."""
    mount("-t", "sysfs", "none", "/sys")  # which has the interfaces of this namespace
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "vethfar")
    for interface in ("eth0", "vethfar"):
        run("ip", "link", "set", interface, "up")
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
    run("ip", "route", "add", "default", "via", "192.0.2.2")


def sending(interface: str) -> Callable[[], object]:
    """Return what sends a thousand bytes through an interface, a hundred times a second or so."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((interface, 0))
    frame = bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(1000)

    def send() -> None:
        sock.send(frame)
        time.sleep(0.01)

    return send


def said_and_counted(body: Body, counters: Witness) -> Sequence[float]:
    """Return what a message says the machine receives, and what its interface has counted."""
    return body["network"]["received_bytes_per_second"], counters.rate("bytes_recv", ["eth0"])


def assert_exact(rates: Sequence[Sequence[float]]) -> None:
    for said, counted in rates:
        assert said == pytest.approx(counted, rel=0.01)
        assert counted > 10_000


# A disk that lies in a file


def on_a_loop_device(directory: str) -> object:
    image, target = Path(directory, "image"), Path(directory, "target")
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", image)
    mount("-o", "loop", image, target)
    loop = run("findmnt", "-no", "SOURCE", target).strip().removeprefix("/dev/")
    below = [one.parent.name for one in Path("/sys/class/block").glob("*/device")]
    return anyio.run(_on_a_loop_device, target, loop, below)


async def _on_a_loop_device(target: Path, loop: str, below: Sequence[str]) -> object:
    counters, hub = Witness("disk_io_counters"), Hub(Settings(interval=0.25))
    ticks: list[Mapping[str, Any]] = []

    def note(body: Body) -> None:
        ticks.append(
            {
                "said": body["disk_io"]["write_bytes_per_second"],
                "below": counters.rate("write_bytes", below),
                "loop_said": body["disk_io"]["devices"][loop]["write_bytes_per_second"],
                "loop": counters.rate("write_bytes", [loop]),
            }
        )

    block = mmap.mmap(-1, 1 << 20)  # aligned, as direct writes need
    file = os.open(target / "file", os.O_WRONLY | os.O_CREAT | os.O_DIRECT)

    def write() -> None:
        os.pwrite(file, block, 0)
        os.fsync(file)  # so that it goes down to the disk
        time.sleep(0.02)

    async with hub.lifespan():
        with meanwhile(write):
            await follow(hub, 6, "disk_io", devices=["disk_io:loop*"], each=note)
        (usual,) = await follow(hub, 1, "disk_io")
        last = (await follow(hub, 2, "disks", "disks_bytes"))[-1]
    df = run("df", "--block-size=1", "--output=size,used,avail,pcent", target).split("\n")[1]
    return {
        "ticks": ticks,
        "usual": list(usual["disk_io"]["devices"]),
        "disks": last["disks"][str(target)],
        "disks_bytes": last["disks_bytes"][str(target)],
        "df": [int(number) for number in df.replace("%", "").split()],
        "loop": loop,
    }


@needs("mkfs.ext4", "findmnt", "df", files=["/dev/loop-control"], types=["ext4"])
def test_a_disk_in_a_file_is_counted_once_and_its_file_system_is_as_df_says(
    tmp_path: Path,
) -> None:
    seen = play(on_a_loop_device, str(tmp_path))
    for tick in seen["ticks"]:
        assert tick["said"] == pytest.approx(tick["below"], rel=0.01, abs=1)
        assert tick["loop_said"] == pytest.approx(tick["loop"], rel=0.01, abs=1)
    assert max(tick["loop"] for tick in seen["ticks"]) > 1 << 20, "it was busy"
    assert not [name for name in seen["usual"] if name.startswith("loop")]
    size, used, available, percent = seen["df"]
    assert seen["disks_bytes"] == {"total": size, "used": used, "free": available}
    exact = 100 * used / (used + available)
    assert seen["disks"] == pytest.approx(exact, abs=0.051)
    assert percent == math.ceil(exact)


# File systems that programs answer for

SOUND: Final = Size(1000, 600, 600)
NEGATIVE: Final = Size(1000, 1485, 1485)
OVERFULL: Final = Size(100, 1400, 300)
SLOW: Final = Size(1000, 600, 600, seconds=0.8)


def beside_odd_file_systems(directory: str) -> object:
    sizes = {"sound": SOUND, "negative": NEGATIVE, "overfull": OVERFULL, "slow": SLOW}
    for name, size in sizes.items():
        Path(directory, name).mkdir()
        mount_fuse(f"{directory}/{name}", size)
    one_interface_to_the_world()
    counters = Witness("net_io_counters")
    rates: list[Sequence[float]] = []

    def note(body: Body) -> None:
        rates.append(said_and_counted(body, counters))

    async def main() -> list[Body]:
        async with (hub := Hub()).lifespan():
            return await follow(hub, 3, "cpu", "disks", "disks_bytes", "network", each=note)

    with meanwhile(sending("vethfar")):
        bodies = anyio.run(main)
    return {"bodies": bodies, "rates": rates, "root": psutil.disk_usage("/").percent}


@needs("ip", files=[FUSE])
def test_file_systems_that_say_nonsense_or_are_slow_are_named_and_spoil_no_other(
    tmp_path: Path,
) -> None:
    seen = play(beside_odd_file_systems, str(tmp_path), network=True)
    sound, negative, overfull, slow = (
        f"{tmp_path}/{name}" for name in ("sound", "negative", "overfull", "slow")
    )
    for body in seen["bodies"]:
        assert body["disks"][sound] == 40.0
        assert body["disks"]["/"] == pytest.approx(seen["root"], abs=0.2)
        assert body["disks_bytes"][sound] == {
            "total": 4096 * 1000, "used": 4096 * 400, "free": 4096 * 600,
        }  # fmt: skip
        assert not {negative, overfull, slow} & body["disks"].keys()
        failed = {
            f"disks/{negative}": "-48.5 must be bigger than or equal to 0",
            f"disks/{overfull}": "130.0 must be smaller than or equal to 100",
            f"disks/{slow}": "no answer within 0.5 s",
            f"disks_bytes/{negative}": "used -1986560 must be bigger than or equal to 0",
            f"disks_bytes/{overfull}": "used -5324800 must be bigger than or equal to 0",
            f"disks_bytes/{slow}": "no answer within 0.5 s",
        }
        assert failed.items() <= body["errors"].items()
        assert isinstance(body["cpu"], float)
    assert_exact(seen["rates"])


def with_a_disk_path_that_says_nonsense(directory: str) -> object:
    mount_fuse(directory, NEGATIVE)

    async def main(server: ServerProcess) -> Body:
        async with client(server.url()) as feed:
            return await message(feed)

    with start_hub("--disk-path", directory) as server:
        return anyio.run(main, server)


@needs(files=[FUSE])
def test_a_disk_path_that_says_nonsense_is_an_error_with_the_value(tmp_path: Path) -> None:
    error = "Metric collection failed: disk: -48.5 must be bigger than or equal to 0"
    assert play(with_a_disk_path_that_says_nonsense, str(tmp_path))["error"] == error


def while_nobody_follows(directory: str) -> object:
    plain, over = Path(directory, "plain"), Path(directory, "over")
    for path in (plain, over):
        path.mkdir()
    mount("--bind", over, over)  # a place at which a disk is mounted, and over it a program's
    served = [mount_fuse(str(path), SOUND) for path in (plain, over)]

    async def main() -> object:
        hub = Hub(Settings(interval=0.2))
        async with hub.lifespan():
            await follow(hub, 4, "cpu", "network", "memory")
            unasked = [one.asked for one in served]
            bodies = await follow(hub, 2, "disks")
        return {"unasked": unasked, "asked": [one.asked for one in served], "last": bodies[-1]}

    return anyio.run(main)


@needs(files=[FUSE])
def test_while_nobody_follows_file_systems_no_program_is_asked(tmp_path: Path) -> None:
    seen = play(while_nobody_follows, str(tmp_path))
    assert seen["unasked"] == [0, 0]
    assert min(seen["asked"]) > 0
    assert seen["last"]["disks"][f"{tmp_path}/plain"] == 40.0
    assert seen["last"]["disks"][f"{tmp_path}/over"] == 40.0


def below_an_automounter(directory: str) -> object:
    _, requests = os.pipe()  # on which the kernel would ask for what is not mounted yet
    os.setpgid(0, 0)
    options = f"fd={requests},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect"
    run("mount", "-t", "autofs", "-o", options, "test", directory, keep=(requests,))
    share = f"{directory}/share"
    Path(share).mkdir()
    served = mount_fuse(share, SOUND)

    async def main() -> object:
        seen = []
        for devices in ((), (f"disks:{share}",)):
            hub = Hub(Settings(interval=0.2, devices=devices))
            async with hub.lifespan():
                bodies = await follow(hub, 2, "disks")
                seen.append([served.asked > 0, share in bodies[-1]["disks"]])
        return seen

    return anyio.run(main)


@needs(files=[FUSE], types=["autofs"])
def test_what_an_automounter_has_mounted_is_not_asked_unless_the_operator_says_so(
    tmp_path: Path,
) -> None:
    assert play(below_an_automounter, str(tmp_path)) == [[False, False], [True, True]]


def with_names_that_are_no_text(directory: str) -> object:
    names = (b"d\xe9j\xe0", b"d\xe8j\xe0", b"form\ffeed", "line\u2028separator".encode())
    for number, name in enumerate(names):
        path = os.fsencode(directory) + b"/" + name
        os.mkdir(path)  # noqa: PTH102 # of bytes
        mount_fuse(os.fsdecode(path), Size(100, 10 * number, 10 * number))

    async def main(server: ServerProcess) -> str:
        async with client(server.url("?metrics=disks,disks_bytes&partial=true")) as feed:
            return [await receive(feed) for _ in range(4)][-1]  # programs are asked from now on

    with start_hub() as server:
        return anyio.run(main, server)


@needs(files=[FUSE])
def test_mounts_whose_names_are_no_text_each_have_a_name_in_valid_json(tmp_path: Path) -> None:
    body = strict_json(play(with_names_that_are_no_text, str(tmp_path)))
    named = {
        f"{tmp_path}/d\\xe9j\\xe0": 100.0,
        f"{tmp_path}/d\\xe8j\\xe0": 90.0,
        f"{tmp_path}/form\ffeed": 80.0,
        f"{tmp_path}/line\u2028separator": 70.0,
    }
    assert named.items() <= body["disks"].items()
    assert named.keys() <= body["disks_bytes"].keys()


# Disks that /sys does not know

DISKS: Final = {
    "sda": True, "sda1": False, "sda2": False, "nvme0n1": True, "nvme0n1p1": False,
    "dm-0": False, "md127": False, "zram0": False, "loop0": False, "ram0": False, "vdb": True,
}  # fmt: skip
"""Names of disks, and whether they lie on no others."""


def list_disks(stats: Path, sectors: int) -> None:
    """Have each disk read and written so much, in one request of each."""
    lines = (f"8 {n} {name} 1 0 {sectors} 1 1 0 {sectors} 1 0 1 1" for n, name in enumerate(DISKS))
    stats.write_text("".join(f"{line}\n" for line in lines))  # in place: the file is mounted


def with_made_up_disks(directory: str) -> object:
    stats = Path(directory, "diskstats")
    list_disks(stats, 0)
    mount("--bind", stats, "/proc/diskstats")
    mount("-t", "tmpfs", "none", "/sys/class/block")

    async def main() -> Snapshot:
        metrics = [one for one in standard_metrics(Settings()) if one.name == "disk_io"]
        collector = ThreadCollector(timeout=DEADLINE, clock=SystemClock())
        await collector.collect(metrics)
        list_disks(stats, 1000)
        try:
            return Snapshot(0, 0, 0.0, await collector.collect(metrics))
        finally:
            collector.close()

    snapshot = anyio.run(main)
    return [snapshot.value("disk_io", chosen) for chosen in (USUAL, Selection(("*",)))]


@needs(files=["/proc/diskstats", "/sys/class/block"])
def test_disks_that_are_not_known_are_judged_by_name_and_counted_once(tmp_path: Path) -> None:
    usual, every = play(with_made_up_disks, str(tmp_path))
    assert every["devices"].keys() == DISKS.keys()
    assert usual["devices"].keys() == {"sda", "nvme0n1", "dm-0", "md127", "vdb"}
    for one in (usual, every):
        bottom = sum(one["devices"][name]["read_bytes_per_second"] for name in DISKS if DISKS[name])
        assert one["read_bytes_per_second"] == pytest.approx(bottom)


# Interfaces, very many and few

PAIRS: Final = 200


def with_very_many_interfaces(directory: str) -> object:
    batch = Path(directory, "batch")
    pairs = (f"link add veth{n}a type veth peer name veth{n}b\n" for n in range(PAIRS))
    batch.write_text("".join(pairs) + "link set lo up\nlink set veth7a up\nlink set veth7b up\n")
    mount("-t", "sysfs", "none", "/sys")  # which has the interfaces of this namespace
    run("ip", "-batch", batch)
    # Routes must be found although one leads to a name that is no text.
    odd = b"veth\xe9"
    run("ip", "link", "add", odd, "type", "veth", "peer", "name", "vethfar")
    run("ip", "link", "set", odd, "up")
    run("ip", "route", "add", "192.0.2.128/25", "dev", odd)
    return anyio.run(_with_very_many_interfaces)


async def _with_very_many_interfaces() -> object:
    counters, hub = Witness("net_io_counters"), Hub(Settings(interval=0.25))
    seen: list[Body] = []

    def note(body: Body) -> None:
        seen.append(
            {
                "chosen": body["network"],
                "all": counters.rate("bytes_recv"),
                "busy": counters.rate("bytes_recv", ["veth7b"]),
                "routed": counters.rate("bytes_sent", ["veth7a"]),
            }
        )

    async with hub.lifespan():
        with meanwhile(sending("veth7a")):
            await follow(hub, 4, "network", devices=["network:*"], each=note)
            usual = await follow(hub, 1, "network")
            run("ip", "addr", "add", "192.0.2.1/25", "dev", "veth7a")
            run("ip", "route", "add", "default", "via", "192.0.2.2")
            await follow(hub, 2, "network", devices=["network:*"])
            await follow(hub, 1, "network", devices=["network:*"], each=note)
            routed = await follow(hub, 1, "network")
    return {"seen": seen, "usual": usual[0]["network"], "routed": routed[0]["network"]}


@needs("ip")
def test_of_very_many_interfaces_the_busy_ones_are_shown_and_none_is_lost(tmp_path: Path) -> None:
    played = play(with_very_many_interfaces, str(tmp_path), network=True)
    *unrouted, routed = played["seen"]
    for tick in played["seen"]:
        members = tick["chosen"]["interfaces"]
        assert len(members) <= 64
        assert {"veth7a", "veth7b", "other"} <= members.keys()
        received = [one["received_bytes_per_second"] for one in members.values()]
        assert sum(received) == pytest.approx(tick["all"], rel=0.01)
        assert members["veth7b"]["received_bytes_per_second"] == pytest.approx(
            tick["busy"], rel=0.01
        )
        assert tick["busy"] > 10_000
    for tick in unrouted:
        assert tick["chosen"]["sent_bytes_per_second"] == 0, "nothing crosses the border"
    assert played["usual"]["interfaces"] == {}
    assert routed["chosen"]["sent_bytes_per_second"] == pytest.approx(routed["routed"], rel=0.01)
    assert played["routed"]["interfaces"].keys() == {"veth7a"}


def with_one_interface() -> object:
    """Add up what is said to have been received, and what the kernel counts, from rest to rest."""
    one_interface_to_the_world()
    counters, hub = Witness("net_io_counters"), Hub(Settings(interval=0.25))
    said: list[float] = []
    shown: set[str] = set()
    before = received_by("eth0")

    def note(body: Body) -> None:
        (began, _), (ended, _) = counters.answers[-2:]
        said.append(body["network"]["received_bytes_per_second"] * (ended - began))
        shown.update(body["network"]["interfaces"])
        if len(said) == 1:
            traffic.enter_context(meanwhile(sending("vethfar")))
        if len(said) == 8:
            traffic.close()

    async def main() -> None:
        async with hub.lifespan():
            await follow(hub, 11, "network", each=note)

    with ExitStack() as traffic:
        anyio.run(main)
    return {"said": sum(said), "counted": received_by("eth0") - before, "shown": sorted(shown)}


def received_by(interface: str) -> int:
    """Return how many bytes an interface has received, as the kernel has it."""
    lines = (line.split() for line in Path("/proc/net/dev").read_text().splitlines())
    return next(int(line[1]) for line in lines if line[0] == f"{interface}:")


@needs("ip")
def test_the_one_interface_with_a_default_route_is_the_total_and_as_the_kernel_counts() -> None:
    seen = play(with_one_interface, network=True)
    assert seen["counted"] > 50_000
    assert seen["said"] == pytest.approx(seen["counted"], rel=0.01)
    assert seen["shown"] == ["eth0"]


# What is slow


def with_a_slow_list_of_mounts(directory: str, mounts: str) -> object:
    """Follow families while psutil takes 0.8 s to list mounts, which may change all the time."""
    one_interface_to_the_world()
    _, counters = Witness("disk_partitions", seconds=0.8), Witness("net_io_counters")
    rates: list[Sequence[float]] = []

    def note(body: Body) -> None:
        rates.append(said_and_counted(body, counters))

    def change() -> None:
        if mounts == "changing":
            mount("-t", "tmpfs", "none", directory)  # one over the other
        time.sleep(0.1)

    async def main() -> list[Body]:
        async with (hub := Hub()).lifespan():
            rated = asyncio.create_task(follow(hub, 3, "network", each=note))
            bodies = await follow(hub, 3, "disks", "disks_bytes")
            await rated
        return bodies

    with meanwhile(change), meanwhile(sending("vethfar")):
        return {"disks": anyio.run(main), "rates": rates}


@needs("ip")
@pytest.mark.parametrize("mounts", ["steady", "changing"])
def test_a_slow_list_of_mounts_makes_file_systems_late_and_nothing_else(
    tmp_path: Path, mounts: str
) -> None:
    seen = play(with_a_slow_list_of_mounts, str(tmp_path), mounts, network=True)
    assert_exact(seen["rates"])
    late = "no answer within 0.5 s"
    for body in seen["disks"]:
        failed = {name: late for name in ("disks", "disks_bytes") if body[name] is None}
        assert body.get("errors", {}) == failed, "never silence"
    assert (seen["disks"][-1]["disks"] is None) == (mounts == "changing")


def beside_a_slow_metric() -> object:
    """Follow families beside one that takes 0.7 s each time, and is asked before them."""
    one_interface_to_the_world()
    counters, times = Witness("net_io_counters"), Witness("cpu_times")
    seen: list[Mapping[str, Any]] = []

    def note(body: Body) -> None:
        rates = said_and_counted(body, counters)
        seen.append({**body, "rates": rates, "busy": busy(*times.answers[-2:])})

    def collect() -> int:
        time.sleep(0.7)
        return 1

    standard = {metric.name: metric for metric in standard_metrics(Settings(relative_to="host"))}
    hub = Hub(metrics=[Metric("slow", collect), standard["cpu"], standard["network"]])

    async def main() -> None:
        async with hub.lifespan():
            await follow(hub, 5, "slow", "cpu", "network", each=note)

    with meanwhile(sending("vethfar")):
        anyio.run(main)
    return seen


def busy(before: tuple[float, Any], after: tuple[float, Any]) -> float:
    """Return the busy share between what processors had counted at two times, in percent."""
    modes = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    grown: dict[str, float] = {
        mode: sum(
            max(0.0, getattr(b, mode) - getattr(a, mode))
            for a, b in zip(before[1], after[1], strict=True)
        )
        for mode in modes
    }
    return 100 * (1 - (grown["idle"] + grown["iowait"]) / sum(grown.values()))


@needs("ip")
def test_a_slow_metric_of_an_application_s_own_is_late_and_nothing_else() -> None:
    seen = play(beside_a_slow_metric, network=True)
    assert_exact([body["rates"] for body in seen])
    for body in seen:
        assert body["slow"] == 1 or body["errors"] == {"slow": "no answer within 0.5 s"}
        assert body["cpu"] == pytest.approx(body["busy"], abs=0.1)


# What no client has asked for yet

POLLED: Final = "?metrics=cpu,network,temperatures&partial=true"


def assert_complete(body: Body) -> None:
    assert isinstance(body["cpu"], float)
    assert isinstance(body["network"], dict)
    assert isinstance(body["temperatures"], dict) or "temperatures" in body["errors"]


@asynccontextmanager
async def long_since_started() -> AsyncIterator[ServerProcess]:
    """Serve once a second, where all but what is seldom asked for has been sampled."""
    with start_hub(interval=None) as server:
        async with client(server.url()) as feed:
            for _ in range(2):
                await message(feed)
        yield server


async def test_a_first_poll_has_values_and_a_second_comes_at_once() -> None:
    async with long_since_started() as server, httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{server.port}{PATH}{POLLED}"
        assert_complete(strict_json((await http.get(url)).text))
        begun = anyio.current_time()
        assert_complete(strict_json((await http.get(url)).text))
        assert anyio.current_time() - begun < 0.5


async def test_the_first_message_of_a_partial_view_has_values() -> None:
    async with long_since_started() as server, client(server.url(POLLED)) as feed:
        assert_complete(await message(feed))


async def test_the_first_event_of_a_partial_view_has_values() -> None:
    async with long_since_started() as server, httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{server.port}{PATH}/stream{POLLED}"
        async with http.stream("GET", url) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    assert_complete(strict_json(line.removeprefix("data: ")))
                    return
    raise AssertionError("there was no event")
