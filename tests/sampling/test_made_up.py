"""Whatever psutil says, each message is strict JSON, as the contract for machines has it.

All families are read through the collecting thread, from a psutil that has gone mad: its answers
are of other types, lack attributes, are no numbers or are too large, or it raises.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import anyio
import psutil
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from hub import Metric, Settings
from hub.devices import Selection
from hub.feed.catalog import Catalog
from hub.feed.history import History
from hub.feed.view import Aggregate, View
from hub.feed.window import Window
from hub.sampling.snapshot import MOST_MEMBERS, Failure, Snapshot
from hub.sampling.system import standard_metrics
from hub.settings import RELATIVE_TO
from hub.web.asyncapi import asyncapi
from hub.web.columns import encode_columns
from tests.support.clients import strict_json
from tests.support.made_up import ASKED, Answers, MadeUp, sample

# What psutil says

MISSING: Final = object()
"""Stands for an attribute that is not there."""

PLAIN: Final = (0, 1, 5.5, 42, 99.96, 100.0)
ODD: Final[tuple[Any, ...]] = (
    None, MISSING, math.nan, math.inf, -math.inf, -1, -48.5, 130.0, -1e300, 1e300, 2**63, 2**64,
    10**400, Fraction(10) ** 400, True, "full", "a\udcff\ud800", b"x", (), [1.5], {},
    {"a": math.nan},
)  # fmt: skip
NAMES: Final = (
    "eth0", "lo", "sda", "sda1", "loop0", "other", "é", "a\nb\x1b", "", "\ud800", "x" * 200,
    "d\udce9j\udce0", "d\udce8j\udce0", "\\xe9",
)  # fmt: skip
ERRORS: Final[tuple[BaseException, ...]] = (
    OSError(5, "Input/output error", "d\udce9\n" + "x" * 300),
    OSError(5, None),
    PermissionError(13, "Permission denied"),
    FileNotFoundError(2, "No such file or directory"),
    psutil.NoSuchProcess(7),
    psutil.AccessDenied(7),
    ValueError("a\udcffb\n" * 100),
    ZeroDivisionError(),
    RecursionError("too deep"),
)

SANE = st.sampled_from(PLAIN)
MIXED = st.sampled_from([*(3 * PLAIN), *ODD])
MAD = st.sampled_from([*ERRORS, *ODD, {None: None}, {5: SimpleNamespace()}, [None], [[]], "x"])
STEPS = st.sampled_from([0, 1, 1000, 2**40, 2**60])
TEXTS = st.sampled_from([*NAMES, None, 5])
TICKS: Final = 4


def record(values: st.SearchStrategy[Any], *names: str) -> st.SearchStrategy[SimpleNamespace]:
    return st.tuples(*[values] * len(names)).map(lambda drawn: _record(names, drawn))


def _record(names: Iterable[str], values: Iterable[object]) -> SimpleNamespace:
    drawn = zip(names, values, strict=True)
    return SimpleNamespace(**{name: value for name, value in drawn if value is not MISSING})


def answers(
    plain: st.SearchStrategy[Any], mixed: st.SearchStrategy[Any] = MAD
) -> st.SearchStrategy[Any]:
    return st.one_of(plain, mixed, MAD)


def records(*names: str) -> st.SearchStrategy[Any]:
    return answers(record(SANE, *names), record(MIXED, *names))


def counters(number: int, *names: str) -> st.SearchStrategy[Any]:
    """Few devices or very many, whose counters have grown evenly to a tick, or make no sense."""
    grown = record(STEPS.map(lambda step: number * step), *names)
    few = st.dictionaries(st.sampled_from(NAMES), grown, max_size=4)
    mixed = st.dictionaries(TEXTS, record(MIXED, *names) | grown, max_size=4)
    counts = st.integers(MOST_MEMBERS - 2, 2 * MOST_MEMBERS)
    many = st.builds(Many, counts, st.integers(0, 99), grown)
    return st.one_of(few, mixed, many, MAD)


class Many(dict[str, Any]):
    """Very many devices that say the same."""

    def __init__(self, count: int, first: int = 0, said: object = None) -> None:
        super().__init__({f"d{number:03}": said for number in range(first, first + count)})

    def __repr__(self) -> str:
        return f"Many({len(self)}, {next(iter(self))}, {next(iter(self.values()))})"


def processors(number: int) -> st.SearchStrategy[Any]:
    names = ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal")
    grown = record(STEPS.map(lambda step: number * min(step, 1000) / 3), *names)
    plain = st.lists(grown, min_size=2, max_size=2)
    return answers(plain, st.lists(record(MIXED, *names) | grown, max_size=3))


def partitions() -> st.SearchStrategy[Any]:
    types = st.sampled_from(["ext4", "ext4", "fuse.x", "autofs", "nfs4", "squashfs", None])
    one = st.builds(
        lambda *values: _record(("mountpoint", "device", "fstype"), values),
        TEXTS, TEXTS.map(str), types,
    )  # fmt: skip
    many = st.integers(MOST_MEMBERS - 2, 2 * MOST_MEMBERS).map(
        lambda count: [
            SimpleNamespace(mountpoint=name, device=name, fstype="ext4") for name in Many(count)
        ]
    )
    sane = st.lists(one.filter(lambda mount: isinstance(mount.mountpoint, str)), max_size=4)
    return st.one_of(sane, sane.map(tuple), st.lists(one, max_size=4), many, MAD)


def sensors() -> st.SearchStrategy[Any]:
    one = st.builds(SimpleNamespace, label=st.just("x"), current=SANE)
    odd = st.builds(lambda *values: _record(("label", "current"), values), TEXTS, MIXED)
    chips = st.sampled_from(NAMES)
    plain = st.dictionaries(chips, st.lists(one, max_size=2), max_size=3)
    return answers(plain, st.dictionaries(chips, st.lists(odd | one, max_size=3), max_size=3))


def processes(number: int) -> st.SearchStrategy[Any]:
    times = record(STEPS.map(lambda step: number * min(step, 1000) / 3), "user", "system")
    plain = st.fixed_dictionaries(
        {
            "cpu_times": times,
            "name": st.sampled_from(NAMES),
            "memory_percent": SANE,
            "is_running": st.booleans(),
            "memory_info": record(SANE, "rss"),
            "num_threads": SANE,
            "num_fds": SANE,
            "num_handles": SANE,
        }
    )
    mixed = st.fixed_dictionaries(
        {
            "cpu_times": times | records("user", "system"),
            "name": TEXTS | MAD,
            "memory_percent": MIXED,
            "is_running": st.booleans() | MAD,
            "memory_info": records("rss"),
            "num_threads": MIXED,
            "num_fds": MIXED | MAD,
            "num_handles": MIXED,
        }
    )
    return plain | mixed


def tick(number: int) -> st.SearchStrategy[Answers]:
    """What psutil says at a tick."""
    disk = ("read_bytes", "write_bytes", "read_count", "write_count")
    interface = ("bytes_recv", "bytes_sent", "packets_recv", "packets_sent")
    said = {
        "boot_time": answers(SANE),
        "cpu_count": answers(st.integers(1, 4)),
        "cpu_times": processors(number),
        "disk_io_counters": counters(number, *disk),
        "disk_partitions": partitions(),
        "disk_usage": st.lists(records("total", "used", "free", "percent"), min_size=3, max_size=3),
        "getloadavg": answers(st.tuples(SANE, SANE, SANE), st.lists(MIXED, max_size=4)),
        "net_io_counters": counters(number, *interface),
        "pids": answers(st.lists(st.integers(1, 20), max_size=12)),
        "sensors_temperatures": sensors(),
        "swap_memory": records("percent"),
        "virtual_memory": records("total", "available", "percent", "used", "free"),
        "Process": processes(number),
    }
    assert said.keys() == {*ASKED, "disk_usage", "Process"}
    return st.fixed_dictionaries(said)


MACHINES = st.tuples(*map(tick, range(TICKS)))

# What is made of it


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let what is said to be a mount point be a directory, where the system has such names."""
    root = tmp_path_factory.mktemp("places")
    for name in (*NAMES, *Many(2 * MOST_MEMBERS)):
        with suppress(OSError, ValueError):
            (root / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield


class _Strict(logging.Handler):
    """A log in which each entry must be a line that can be written."""

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        assert line.isprintable()
        line.encode()


@pytest.fixture(scope="module", autouse=True)
def strict_log() -> Iterator[None]:
    logger = logging.getLogger("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger, "handlers", [_Strict()])
        patch.setattr(logger, "propagate", False)
        yield


class Contract:
    """The schemas of messages that the hub publishes.

    What was valid is remembered, as to validate it takes longer than all the rest.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        catalog = Catalog(tuple(metrics), 1.0, 60.0)
        document: Any = asyncapi(catalog.public(), catalog, "localhost")
        schemas = document["components"]["schemas"]
        families = schemas["Sample"]["properties"]
        self._validators = {name: _validator(one) for name, one in (schemas | families).items()}
        # That a family's values are checked on their own:
        bare = {**schemas["Sample"], "properties": dict.fromkeys(families, True)}
        self._validators["Sample"] = _validator(bare)
        self._valid: set[tuple[str, str]] = set()  # names of schemas, and text

    def check(self, text: str) -> Mapping[str, Any]:
        """Return what a message says, once it is known to be one."""
        body = strict_json(text)
        if "error" in body:
            self._check("Failure", body)
            return body
        self._check("Sample", body)
        for name, value in body.items():
            self.check_value(name, value)
        return body

    def check_value(self, family: str, value: object) -> None:
        known = family, json.dumps(value)
        if known not in self._valid:
            self._check(family, value)
            self._valid.add(known)

    def _check(self, name: str, value: Any) -> None:  # noqa: ANN401 # any JSON
        errors = self._validators[name].iter_errors(value)
        assert not [f"{name} {error.json_path}: {error.message}" for error in errors]


def _validator(schema: Mapping[str, Any]) -> Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


METRICS: Final = standard_metrics(Settings())
CONTRACT: Final = Contract(METRICS)
FAMILIES: Final = tuple(metric.name for metric in METRICS)
CHOSEN: Final = (
    ("disks", Selection((), ("*j*",))),
    ("disk_io", Selection(("*",))),
    ("network", Selection(("*",), ("lo",))),
    ("temperatures", Selection(("*e*",))),
)


def metrics_by_name() -> dict[str, Metric]:
    return {metric.name: metric for metric in METRICS}


def messages(view: View, snapshots: Iterable[Snapshot]) -> Iterator[Mapping[str, Any]]:
    """Iterate over what a view says as a channel has it, each message once known to be one."""
    window = Window(view, metrics_by_name())
    for snapshot in snapshots:
        for seen in window.add(snapshot) or (window.so_far(),):
            frame = None if seen is None else view.encode(seen, seen.window_number(view.ticks))
            if frame is not None:
                yield CONTRACT.check(frame.text)


def check(snapshots: Sequence[Snapshot]) -> None:
    for body in messages(View(FAMILIES, partial=True), snapshots):
        check_members(body)
        assert all(body[name] is not None or name in body["errors"] for name in FAMILIES)
    for view in (
        View(FAMILIES),
        View(FAMILIES, partial=True, seq=True, devices=CHOSEN),
        *(View(FAMILIES, TICKS - 1, rule, partial=True) for rule in Aggregate),
        *(View((name,)) for name in FAMILIES),
    ):
        for _ in messages(view, snapshots):
            continue
    check_columns(snapshots)


def check_members(body: Mapping[str, Any]) -> None:
    for metric in METRICS:
        value = body[metric.name]
        if metric.has_members and value is not None:
            group = {"disk_io": "devices", "network": "interfaces"}.get(metric.name)
            assert len(value if group is None else value[group]) <= MOST_MEMBERS


def check_columns(snapshots: Iterable[Snapshot]) -> None:
    history = History(TICKS)
    for snapshot in snapshots:
        history.append(snapshot)
    view = View(FAMILIES, devices=CHOSEN)
    pieces = encode_columns(history, view, metrics_by_name(), 60.0)
    columns = strict_json(b"".join(filter(None, pieces)).decode())
    for family in FAMILIES:
        assert len(columns[family]) == len(columns["timestamp"])
        for value in columns[family]:
            CONTRACT.check_value(family, value)


def run(ticks: Sequence[Answers], relative_to: str = "auto", **patience: float) -> list[Snapshot]:
    """Sample a machine, with all families in the thread of the rest."""
    machine = MadeUp(ticks)
    with pytest.MonkeyPatch.context() as patch:
        machine.patch(patch)
        metrics = standard_metrics(Settings(relative_to=relative_to))
        near = [replace(one, background=False) for one in metrics]
        return anyio.run(partial(sample, near, machine, TICKS, **patience))


@given(MACHINES, st.sampled_from(RELATIVE_TO))
@settings(max_examples=60, derandomize=True, phases=[Phase.generate])  # to shrink takes minutes
def test_whatever_psutil_says_each_message_keeps_the_contract(
    ticks: Sequence[Answers], relative_to: str
) -> None:
    check(run(ticks, relative_to))


SOUND: Final[Answers] = {
    "boot_time": 0.0,
    "cpu_count": 1,
    "cpu_times": [SimpleNamespace(user=1.0, system=1.0, idle=1.0)],
    "disk_io_counters": {},
    "disk_partitions": [SimpleNamespace(mountpoint="lo", device="lo", fstype="ext4")],
    "disk_usage": [SimpleNamespace(total=4, used=1, free=3, percent=25.0)],
    "getloadavg": (0.0, 0.0, 0.0),
    "net_io_counters": {},
    "pids": [],
    "sensors_temperatures": {},
    "swap_memory": SimpleNamespace(percent=0.0),
    "virtual_memory": SimpleNamespace(total=4, available=3, percent=25.0, used=1, free=3),
    "Process": {},
}


@pytest.mark.parametrize(
    ("call", "families"),
    [
        ("net_io_counters", {"network"}),
        ("disk_partitions", {"disks", "disks_bytes"}),
        ("disk_usage", {"disk"}),
    ],
)
def test_what_never_answers_is_said_to_be_late_and_the_contract_is_kept(
    call: str, families: set[str]
) -> None:
    never = threading.Event()
    try:
        snapshots = run([{**SOUND, call: never}], patience=0.3)
    finally:
        never.set()
    check(snapshots)
    late = Failure("no answer within 1 s")
    for snapshot in snapshots:
        assert families <= {name for name, one in snapshot.failures.items() if one == late}
