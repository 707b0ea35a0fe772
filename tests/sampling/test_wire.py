from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Failure, Incomplete, Snapshot
from hub.sampling.value import Precision
from hub.sampling.wire import Parcel, SnapshotReader, UnreadableSnapshot, write_snapshot

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    numbers | texts,
    lambda inner: (
        st.lists(inner | st.none(), max_size=4)
        | st.dictionaries(texts, inner | st.none(), max_size=4)
    ),
    max_leaves=12,
)
seconds = st.floats(1e-9, 1e9)
counts = st.integers(0, 2**63 - 1) | st.floats(1e-9, 1e18)  # nothing is whole


@st.composite
def growths(draw: st.DrawFn) -> DeviceDeltas:
    names = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    deltas = st.builds(
        CounterDelta, seconds, st.tuples(*[counts] * len(names)) | st.just((0,) * len(names))
    )
    devices = draw(st.dictionaries(texts, deltas, max_size=6))
    usual = draw(st.none() | st.frozensets(texts, max_size=4))
    return DeviceDeltas(tuple(names), draw(texts), draw(deltas), devices, usual)


failures = st.builds(Failure, texts)
whole = values | growths()
readings = (
    whole
    | failures
    | st.builds(Incomplete, whole, st.dictionaries(texts, failures, min_size=1, max_size=3))
)
snapshots = st.builds(
    Snapshot,
    st.integers(-(2**62), 2**62),
    st.integers(-(2**62), 2**62),
    st.floats(0, 4e9),
    st.dictionaries(texts, readings, max_size=6),
    resting=st.frozensets(texts, max_size=3),
)


def reader() -> SnapshotReader:
    return SnapshotReader(lambda: {"cpu": Precision.TENTH})


def in_order(parcel: Parcel) -> bytes:
    return orjson.dumps(orjson.loads(write_snapshot(parcel)), option=orjson.OPT_SORT_KEYS)


@given(snapshots, texts)
def test_a_snapshot_is_read_as_it_was_written(snapshot: Snapshot, epoch: str) -> None:
    found = reader().read(write_snapshot(Parcel(epoch, snapshot)))
    assert found == Parcel(epoch, snapshot)
    assert in_order(found) == in_order(Parcel(epoch, snapshot)), "a number of another type"
    assert found.snapshot.precisions == {"cpu": Precision.TENTH}


@given(st.lists(snapshots, max_size=4))
def test_one_reader_confuses_no_two_snapshots(several: list[Snapshot]) -> None:
    own = reader()
    assert [own.read(write_snapshot(Parcel("e", one))).snapshot for one in several] == several


def test_what_many_snapshots_have_in_common_is_kept_once() -> None:
    idle = CounterDelta(1.0, (0, 0))
    devices = {f"eth{n}": CounterDelta(1.0, (0, 0)) for n in range(9)}
    growth = DeviceDeltas(("in", "out"), "interfaces", idle, devices, frozenset({"eth0"}))
    own = reader()
    first, second = (
        own.read(
            write_snapshot(
                Parcel("e", Snapshot(n, n, 1.0, {"network": growth}, resting=frozenset("a")))
            )
        )
        for n in (1, 2)
    )
    a, b = first.snapshot.readings["network"], second.snapshot.readings["network"]
    assert isinstance(a, DeviceDeltas)
    assert isinstance(b, DeviceDeltas)
    assert a.names is b.names
    assert a.usual is b.usual
    assert first.snapshot.resting is second.snapshot.resting
    assert len({id(delta) for delta in a.devices.values()}) == 1


def test_a_broken_counter_is_no_reason_to_lose_the_rest() -> None:
    growth = DeviceDeltas(("in",), "interfaces", CounterDelta(1.0, (2**65,)), {})
    found = reader().read(write_snapshot(Parcel("e", Snapshot(1, 1, 1.0, {"network": growth}))))
    read = found.snapshot.readings["network"]
    assert isinstance(read, DeviceDeltas)
    assert math.isclose(read.total.counts[0], 2**65)


def written(**changes: object) -> bytes:
    raw = orjson.loads(write_snapshot(Parcel("e", Snapshot(1, 1, 1.0, {"cpu": 1.0}))))
    return orjson.dumps({**raw, **changes})


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_version_is_refused_in_one_line(version: object) -> None:
    with pytest.raises(UnreadableSnapshot) as caught:
        reader().read(written(v=version))
    assert str(caught.value) == f"a snapshot of version {version!r}: this hub reads 1"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff", b"[]", b"null", b"{", b'"v"'),
        *(written(**{key: None}) for key in ("n", "tick", "time", "r", "g", "f", "m", "rest")),
        written(g={"network": {}}),
        written(
            g={"network": {"names": ["a"], "group": "b", "total": [], "devices": {}, "usual": 1}}
        ),
        written(m={"disks": {"/": "away"}}),
        written(f={"cpu": 1}, r=[1]),
        written(tick="x"),
    ],
)
def test_what_is_no_snapshot_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UnreadableSnapshot) as caught:
        reader().read(data)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=50) | st.builds(orjson.dumps, values))
def test_whatever_comes_is_a_snapshot_or_refused(data: bytes) -> None:
    with pytest.raises(UnreadableSnapshot):
        reader().read(data)
