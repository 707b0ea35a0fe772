"""Windows that workers have in common, against those of one process alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.access.rate_limit import RateLimiter, parse_rate
from hub.access.shared_windows import SharedWindows

WORKERS = 3


def workers(slots: int = 64) -> list[SharedWindows]:
    counts = [memoryview(bytearray(8 * slots)).cast("Q") for _ in range(WORKERS)]
    ends = [memoryview(bytearray(8 * slots)).cast("d") for _ in range(WORKERS)]
    return [SharedWindows(counts, ends, index, hashed) for index in range(WORKERS)]


def hashed(text: str) -> int:
    """Return a word that is another for each text of one letter; all begin at the same slot."""
    return ord(text.rpartition("LIMITER/")[2][0]) << 20


EIGHTHS = st.integers(0, 24).map(lambda count: count / 8)  # seconds whose sums are exact
CALLS = st.lists(st.tuples(EIGHTHS, st.integers(0, 2), st.sampled_from("abc")), max_size=80)


@given(CALLS, st.integers(1, 5))
def test_a_limit_is_kept_over_all_workers_as_one_process_keeps_it(
    calls: list[tuple[float, int, str]], amount: int
) -> None:
    now = 100.0
    limit = parse_rate("rate", f"{amount}/5 second")
    alone = RateLimiter(limit, lambda: now)
    shared = [RateLimiter(limit, lambda: now, windows) for windows in workers()]
    for gap, worker, key in calls:
        now += gap
        assert shared[worker].hit(key) == alone.hit(key)


def test_a_window_ends_for_all_when_it_ends_for_the_first_who_came() -> None:
    one, two, three = workers()
    assert one.add("a", 1, 10.0, 100.0) == 1
    assert two.add("a", 1, 10.0, 107.0) == 2
    assert three.window("a", 109.0) == (2, 110.0)
    assert three.window("a", 110.0) == (0, 110.0)
    assert two.add("a", 1, 10.0, 110.0) == 1


def test_where_two_begin_at_the_same_moment_both_count_and_the_later_end_is_adopted() -> None:
    ends = [memoryview(bytearray(512)).cast("d") for _ in range(2)]
    counts = [memoryview(bytearray(512)).cast("Q") for _ in range(2)]
    for index, now in ((0, 100.0), (1, 100.5)):  # neither sees the other
        blind = SharedWindows(counts[index : index + 1], ends[index : index + 1], 0, hashed)
        blind.add("a", 1, 10.0, now)
    both = [SharedWindows(counts, ends, index, hashed) for index in range(2)]
    assert both[0].window("a", 101.0) == (2, 110.5)
    assert both[0].add("a", 1, 10.0, 101.0) == 3
    assert both[0].window("a", 110.25) == (1, 110.5)


def test_where_all_slots_are_taken_the_window_that_ends_first_gives_way() -> None:
    one, two, _ = workers()
    for number, key in enumerate("abcdefgh"):
        one.add(key, 1, 100.0 if key == "c" else 200.0, 10.0 + number)
    one.add("i", 1, 200.0, 20.0)
    assert [two.window(key, 20.0)[0] for key in "abcdefghi"] == [1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_a_slot_whose_window_is_over_serves_the_next() -> None:
    one, two, _ = workers()
    for number, key in enumerate("abcdefgh"):
        one.add(key, 1, 1.0 if key == "f" else 200.0, 10.0 + number)
    one.add("i", 1, 200.0, 20.0)
    assert [two.window(key, 20.0)[0] for key in "abcdefghi"] == [1, 1, 1, 1, 1, 0, 1, 1, 1]


def test_a_count_stays_within_its_bits() -> None:
    one, two, _ = workers()
    one.add("b", (1 << 20) - 2, 100.0, 1.0)
    for _ in range(4):
        one.add("b", 1, 100.0, 1.0)
    assert two.window("b", 2.0) == ((1 << 20) - 1, 101.0)
    assert two.window("c", 2.0) == (0, 2.0)
