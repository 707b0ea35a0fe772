"""The memory that worker processes share: what is where, and who may map it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.segment import WORD, Area, Layout, Segment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no workers")

LAYOUT = Layout(parts=3, table=64, views=5, windows=32)


@pytest.fixture(params=["memory", "file"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Segment]:
    """A segment, on a system that has memory without a name, and on one that does not."""
    if request.param == "file":
        monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    segment, fd = Segment.create(LAYOUT)
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)
    yield segment
    segment.close()


def refuse(*_: object) -> int:
    raise OSError(38, "Function not implemented")


@given(
    st.builds(
        Layout,
        parts=st.integers(1, 9),
        table=st.sampled_from([8, 64, 1024]),
        views=st.integers(1, 99),
        windows=st.sampled_from([8, 128]),
    )
)
def test_areas_follow_one_another_each_at_a_cache_line(layout: Layout) -> None:
    end = 0
    for area in Area:
        assert layout.offset(area) == end
        assert end % 8 == 0
        end += layout.words(area)
    assert end == layout.part
    assert layout.words(Area.VIEWS) >= layout.views
    assert layout.bytes % WORD == 0


def test_every_area_is_memory_of_its_own(made: Segment) -> None:
    for number, area in enumerate(Area):
        for index, part in enumerate(made.words(area)):
            assert not any(part)
            part[:] = memoryview(bytes([number, index] * 4 * len(part))).cast("Q")
    for number, area in enumerate(Area):
        for index, part in enumerate(made.words(area)):
            assert part.tobytes() == bytes([number, index] * 4 * len(part))


def test_a_part_is_cleared_of_its_clients_and_the_others_are_not(made: Segment) -> None:
    for area in Area:
        for part in made.words(area):
            part[0] = part[-1] = 7
    made.clear(1)
    for area in Area:
        left = [(part[0], part[-1]) for part in made.words(area)]
        assert left == [(7, 7), (0, 0) if area.is_of_clients else (7, 7), (7, 7)]
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"3 parts, and none is {index}"):
            made.clear(index)


def test_all_who_map_it_see_the_same_words_and_hash_alike() -> None:
    segment, fd = Segment.create(LAYOUT)
    other, (stranger, stranger_fd) = Segment(fd), Segment.create(LAYOUT)
    os.close(fd)
    os.close(stranger_fd)
    segment.times(Area.CONNECT_ENDS)[2][5] = 1.5
    assert other.layout == LAYOUT
    assert other.times(Area.CONNECT_ENDS)[2][5] == 1.5
    assert segment.hash("192.0.2.7") == other.hash("192.0.2.7") != other.hash("192.0.2.8")
    assert segment.hash("192.0.2.7") != stranger.hash("192.0.2.7")
    for one in (segment, other, stranger, stranger):
        one.close()


@pytest.mark.parametrize("kept", [0, 3, 200, LAYOUT.bytes - 1])
def test_what_is_no_segment_is_refused(kept: int) -> None:
    segment, fd = Segment.create(LAYOUT)
    segment.close()
    os.ftruncate(fd, kept)
    with pytest.raises(ValueError, match="no segment, or that of another version"):
        Segment(fd)
    os.ftruncate(fd, LAYOUT.bytes)
    if kept >= 200:  # the header is still there
        Segment(fd).close()
    os.pwrite(fd, b"hubseg0", 0)
    with pytest.raises(ValueError, match="another version"):
        Segment(fd)
    os.close(fd)


def test_a_segment_that_cannot_be_made_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    before = len(list(descriptors.iterdir()))
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError, match="not implemented"):
        Segment.create(LAYOUT)
    assert len(list(descriptors.iterdir())) == before
