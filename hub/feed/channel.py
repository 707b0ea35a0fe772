"""A view's live side: its window, its newest message, and who receives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from hub.feed.history import History
from hub.feed.subscriber import Subscriber
from hub.feed.view import Frame, View
from hub.feed.window import Window
from hub.sampling.metric import Kind
from hub.sampling.snapshot import Snapshot

__all__ = ["Channel"]


class Channel:
    """A view that somebody subscribes to.

    Args:
        view: what they see.
        kinds: of the view's metrics, by name.
        history: what there was before.
        resumed: whether the history reaches up to the present, so that the view begins with it.
    """

    def __init__(
        self, view: View, kinds: Mapping[str, Kind], history: History, *, resumed: bool
    ) -> None:
        self.view = view
        self.subscribers: dict[Subscriber, None] = {}
        """Those who are offered every new frame, in the order in which they came."""
        self.replaying: dict[Subscriber, None] = {}
        """Those who still receive what was before."""
        self._kinds = kinds
        self._history = history
        self._window = Window(view, kinds)
        self._latest: Frame | None = None
        self._awaiting_first: dict[Subscriber, None] = {}
        """Those to whom there was nothing to say when they joined."""
        self._got_partial: dict[Subscriber, None] = {}
        """Those who know already what the window holds, up to the newest snapshot."""
        self._number = history.end  # whatever the history has can be numbered below this
        if resumed:
            self._resume()

    def _resume(self) -> None:
        """Take in the window that is being filled, and the one before."""
        history, ticks = self._history, self.view.ticks
        first = history.window(history.end - 1, ticks)
        if ticks > 1 and first > history.start:
            first = history.window(first - 1, ticks)
        for position in range(first, history.end):
            for ended in self._window.add(history[position]):
                self._encode(ended)

    def update(self, snapshot: Snapshot) -> list[tuple[Frame, list[Subscriber]]]:
        """Take in a snapshot; return the messages that it makes due, and to whom, oldest first.

        Those who have heard nothing as yet hear at once what the window holds so far.
        """
        told, self._got_partial = self._got_partial, {}
        due: list[tuple[Frame, list[Subscriber]]] = []
        for ended in self._window.add(snapshot):
            frame = self._encode(ended)
            if frame is not None:
                # Where a window's last ticks were missed, some may have seen all of it before.
                known = told if ended.tick != snapshot.tick else {}
                due.append((frame, self._all_but(known)))
        silent, self._awaiting_first = self._awaiting_first, {}
        if silent and not due and (frame := self._provisional()) is not None:
            due.append((frame, list(silent)))
            self._got_partial = silent
        elif not due:
            self._awaiting_first = silent
        return due

    def _all_but(self, known: Mapping[Subscriber, None]) -> list[Subscriber]:
        if not known:  # nearly always, and there may be thousands
            return list(self.subscribers)
        return [one for one in self.subscribers if one not in known]

    def _encode(self, ended: Snapshot) -> Frame | None:
        """Encode the message about a window that has ended."""
        frame = self.view.encode(ended, self._number + 1)
        if frame is not None:
            self._number += 1
            self._latest = frame
        return frame

    def _provisional(self) -> Frame | None:
        """Encode a message about the window that is being filled, if it holds anything."""
        so_far = self._window.so_far()
        return None if so_far is None else self.view.encode(so_far, self._number)

    def initial_frame(self, subscriber: Subscriber) -> Frame | None:
        """Return what a subscriber is to see at once on joining: the newest message.

        While there is none yet, that is what the first window holds so far.
        """
        if self._latest is not None:
            return self._latest
        frame = self._provisional()
        (self._awaiting_first if frame is None else self._got_partial)[subscriber] = None
        return frame

    def join(self, subscriber: Subscriber) -> None:
        """Catalog a subscriber every frame from now on."""
        self.replaying.pop(subscriber, None)
        self.subscribers[subscriber] = None

    def leave(self, subscriber: Subscriber) -> bool:
        """Let a subscriber go; say whether it was there."""
        if subscriber not in self:
            return False
        for group in (self.subscribers, self.replaying, self._awaiting_first, self._got_partial):
            group.pop(subscriber, None)
        return True

    def __contains__(self, subscriber: object) -> bool:
        return subscriber in self.subscribers or subscriber in self.replaying

    def __len__(self) -> int:
        return len(self.subscribers) + len(self.replaying)

    def __iter__(self) -> Iterator[Subscriber]:
        yield from self.subscribers
        yield from self.replaying

    def replay(
        self, subscriber: Subscriber, *, after: float, initial_frame: bool
    ) -> Iterator[Frame]:
        """Return what the view said after a time in Unix seconds, then join the subscriber.

        It reads the history as it is asked for frames, and joins at the moment when it has
        reached the end, between two snapshots: nothing is said twice or left out. What has left
        the history before it was asked for counts as dropped. ``initial_frame``
        says whether a subscriber that finds nothing to replay gets an older message instead.
        """
        self.replaying[subscriber] = None
        position = self._history.begin(after, self.view.ticks)
        number = self._number - self._count(position, after)
        return self._replay(subscriber, position, number, after, initial_frame=initial_frame)

    def _replay(
        self,
        subscriber: Subscriber,
        position: int,
        number: int,
        after: float,
        *,
        initial_frame: bool,
    ) -> Iterator[Frame]:
        history, ticks = self._history, self.view.ticks
        window = Window(self.view, self._kinds)
        silent = True
        while position < history.end:
            if position < history.start:
                lost = (history.start - position) // ticks
                subscriber.skip(lost)
                number += lost
                position = history.window(history.start, ticks)
                window = Window(self.view, self._kinds)
                continue
            for ended in window.add(history[position]):
                frame = self.view.encode(ended, number + 1) if ended.time > after else None
                if frame is not None:
                    number += 1
                    silent = False
                    yield frame
            position += 1
        self.join(subscriber)
        greeting = self.initial_frame(subscriber) if silent else None
        if greeting is not None and (initial_frame or _time(greeting) > after):
            yield greeting

    def _count(self, position: int, after: float) -> int:
        """Return how many messages a replay from ``position`` begins with, if they are numbered."""
        if not self.view.seq:
            return 0
        window = Window(self.view, self._kinds)
        return sum(
            ended.time > after and self.view.content(ended) is not None
            for past in range(position, self._history.end)
            for ended in window.add(self._history[past])
        )


def _time(frame: Frame) -> float:
    return datetime.fromisoformat(frame.timestamp).timestamp()
