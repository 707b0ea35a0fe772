"""Reading the windows of a view out of the history, a snapshot at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hub.feed.history import History
from hub.feed.view import View
from hub.feed.window import Window
from hub.sampling.metric import Kind
from hub.sampling.snapshot import Snapshot

__all__ = ["read_windows", "replay_snapshots"]


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


def replay_snapshots(
    history: History, view: View, kinds: Mapping[str, Kind], seconds: float
) -> Iterator[Snapshot | None]:
    """Iterate over a view's last ``seconds``, reduced as it wants it; None is a pause.

    Args:
        history: the past.
        view: says how it is reduced.
        kinds: of the view's metrics, by name.
        seconds: how far back from the newest snapshot.
    """
    after = history.ago(seconds)
    first = history.begin(after, view.ticks)
    for ended in read_windows(history, Window(view, kinds), first):
        yield ended if ended is not None and ended.time > after else None
