"""Counts and sets that workers tell each other, against what a plain dictionary says."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hub.access.shared_table import LOAD, SharedCounts, SharedSets

WORKERS = 3
SLOTS = 64
WORKER = st.integers(0, WORKERS - 1)
# Keys that all begin their search at one of two lines, of which one is the last of the table.
KEY = st.sampled_from(["7", "15", "23", "8", "16"])


def parts(slots: int = SLOTS) -> list[memoryview]:
    return [memoryview(bytearray(8 * slots)).cast("Q") for _ in range(WORKERS)]


def hashed(text: str) -> int:
    """Return a word whose upper half is the number that the text is."""
    return int(text.strip("'")) << 32


@given(st.lists(st.tuples(WORKER, KEY, st.booleans()), max_size=80))
def test_counts_are_those_of_all_workers_in_any_order(
    steps: list[tuple[int, str, bool]],
) -> None:
    tables = parts()
    shared = [SharedCounts(tables, index, hashed) for index in range(WORKERS)]
    counts: list[Counter[str]] = [Counter() for _ in range(WORKERS)]
    for worker, key, comes in steps:
        counts[worker][key] = max(0, counts[worker][key] + (1 if comes else -1))
        shared[worker].write(key, counts[worker][key])
        for one in ("7", "15", "23", "8", "16", "99"):
            everywhere = sum(count[one] for count in counts)
            for own, table in zip(counts, shared, strict=True):
                assert own[one] + table.elsewhere(one) == everywhere
    for worker, count in enumerate(counts):
        assert sum(map(bool, tables[worker])) == len(+count)


@given(st.lists(st.tuples(WORKER, KEY, st.integers(1, 6), st.booleans()), max_size=80))
def test_a_member_counts_once_however_many_workers_have_it(
    steps: list[tuple[int, str, int, bool]],
) -> None:
    tables = parts(256)
    shared = [SharedSets(tables, index, hashed) for index in range(WORKERS)]
    known: list[set[tuple[str, int]]] = [set() for _ in range(WORKERS)]
    for worker, key, member, comes in steps:
        if comes:
            shared[worker].add(key, member)
            known[worker].add((key, member))
        else:
            shared[worker].discard(key, member)
            known[worker].discard((key, member))
        members = {one for own in known for key_of, one in own if key_of == key}
        for most in range(1, 8):
            for asked in (1, 6, 7):
                fits = asked in members or len(members) < most
                assert [table.fits(key, asked, most) for table in shared] == [fits] * WORKERS
    for worker, own in enumerate(known):
        assert sum(map(bool, tables[worker])) == len(own)


def test_what_a_full_table_has_no_room_for_stays_with_its_worker() -> None:
    tables = parts(8 * LOAD)
    mine, other = (SharedCounts(tables, index, hashed) for index in (0, 1))
    for number in range(1, 13):
        mine.write(str(number), 1)
    assert [other.elsewhere(str(number)) for number in range(1, 13)] == [1] * 8 + [0] * 4
    mine.write("9", 2)
    mine.write("3", 2)
    mine.write("12", 0)
    assert [other.elsewhere(number) for number in ("9", "3", "12")] == [0, 2, 0]
    mine.write("3", 0)
    mine.write("9", 2)
    assert [other.elsewhere(number) for number in ("9", "3")] == [2, 0]
    for number in range(1, 13):
        mine.write(str(number), 0)
    assert not any(tables[0])


def test_a_search_ends_even_where_no_slot_is_free() -> None:
    tables = parts(16)
    other = SharedCounts(tables, 1, hashed)
    tables[0][:] = memoryview(bytes([255] * 128)).cast("Q")  # as none that is at work has it
    assert other.elsewhere("7") == 0


def test_a_key_whose_mark_would_be_no_mark_has_another() -> None:
    tables = parts()
    mine, other = (SharedSets(tables, index, hashed) for index in (0, 1))
    mine.add("0", 0)
    assert not other.fits("0", 1, 1)
    assert other.fits("0", 0, 1)
    mine.discard("0", 0)
    assert other.fits("0", 1, 1)
