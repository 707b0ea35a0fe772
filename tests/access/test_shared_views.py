"""Which views are live at any worker, against what plain sets say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.access.shared_views import SharedViews

WORKERS = 3


def workers(room: int) -> list[SharedViews]:
    totals = [memoryview(bytearray(64)).cast("Q") for _ in range(WORKERS)]
    lists = [memoryview(bytearray(8 * room)).cast("Q") for _ in range(WORKERS)]
    return [SharedViews(totals, lists, index, int) for index in range(WORKERS)]


STEPS = st.lists(
    st.tuples(
        st.integers(0, WORKERS - 1),
        st.integers(1, 6),
        st.sampled_from(["add", "add", "discard", "discard", "clear"]),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_view_counts_once_however_many_workers_have_it(
    steps: list[tuple[int, int, str]],
) -> None:
    shared = workers(8)
    live: list[set[int]] = [set() for _ in range(WORKERS)]
    for worker, view, step in steps:
        if step == "clear":
            shared[worker].clear()
            live[worker].clear()
        else:
            getattr(shared[worker], step)(view)
            getattr(live[worker], step)(view)
        everywhere = set[int]().union(*live)
        for most in range(1, 8):
            for asked in (1, 6, 7):
                fits = asked in everywhere or len(everywhere) < most
                assert [one.fits(asked, most) for one in shared] == [fits] * WORKERS


def test_a_full_list_takes_no_more_and_loses_nothing() -> None:
    mine, other, _ = workers(2)
    for view in (1, 2, 3):
        mine.add(view)
    mine.discard(3)
    assert not other.fits(4, 2)
    mine.discard(1)
    mine.add(4)
    assert [other.fits(view, 2) for view in (1, 2, 3, 4)] == [False, True, False, True]
