"""Reading the windows of a view out of the history, a snapshot at each step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from hub.feed.history import History
from hub.feed.window import Window
from hub.sampling.snapshot import Snapshot

__all__ = ["collect", "read_windows", "reduce_windows"]


def read_windows(
    history: History,
    window: Window,
    position: int,
    *,
    expired: Callable[[int], object] = int,  # of no consequence
    may_end: Callable[[], bool] = lambda: True,
) -> Iterator[Snapshot | None]:
    """Iterate over the windows that end from a position on, as far as the history reaches.

    It yields each window that is over, and None wherever it has read a snapshot, so that the
    caller may pause; when it ends, nothing is missing up to the newest snapshot.

    Args:
        history: may grow meanwhile, and forget.
        window: is filled on the way, and at the end holds what is not over yet.
        position: where to begin, at the beginning of a window.
        expired: told how many windows the history has forgotten before they were read.
        may_end: asked at the newest snapshot; while it says no, the reading waits for others.
    """
    while position < history.end or not may_end():
        if position == history.end:
            yield None
            continue
        if position < history.start:
            expired((history.start - position) // window.ticks)
            position = history.window(history.start, window.ticks)
            window.clear()
            continue
        yield from window.add(history[position])
        position += 1
        yield None


def collect(
    history: History, ticks: int, after: float
) -> Generator[None, None, Sequence[Snapshot]]:
    """Return the snapshots of all windows of ``ticks`` that end after a time in Unix seconds.

    They are the history's own: keeping them costs no more than the list. It pauses often.
    """
    past: list[Snapshot] = []
    position, end = history.begin(after, ticks), history.end
    while position < end:
        if position < history.start:  # forgotten meanwhile
            position = history.window(history.start, ticks)
            past.clear()
            continue
        past.append(history[position])
        position += 1
        yield
    return past


def reduce_windows(
    past: Iterable[Snapshot], window: Window, after: float
) -> Iterator[Snapshot | None]:
    """Iterate over the windows that end after a time in Unix seconds; None is a pause."""
    for snapshot in past:
        for ended in window.add(snapshot):
            if ended.time > after:
                yield ended
        yield None
