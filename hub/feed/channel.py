"""A view's live side: its window, its newest message, and who receives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from hub.feed.catalog import Catalog
from hub.feed.delivery import Round
from hub.feed.demand import Demand
from hub.feed.history import History
from hub.feed.replay import read_windows
from hub.feed.subscriber import Backlog, Subscriber
from hub.feed.time_slicer import TimeSlicer
from hub.feed.view import Frame, View
from hub.feed.view_limit import ViewLimit
from hub.feed.window import Window
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot

__all__ = ["Channel", "Channels"]


class Channel:
    """A view that has subscribers.

    A new one first reads the window that is being filled, and the one before, out of the history,
    in slices. Subscribers that come meanwhile join when it has.

    Args:
        view: what they see.
        metrics: the view's, by name.
        history: what there was before.
        slicer: runs what takes long.
        resumed: whether the history reaches up to the present, so that the view begins with it.
    """

    def __init__(
        self,
        view: View,
        metrics: Mapping[str, Metric],
        history: History,
        slicer: TimeSlicer,
        *,
        resumed: bool,
    ) -> None:
        self.view = view
        self._metrics = metrics
        self._history = history
        self._slicer = slicer
        self._window = Window(view, metrics)
        self._latest: Frame | None = None  # of the newest window that is over
        self._number = 0  # the newest message's
        self._is_ready = not resumed  # whether it is up to the present
        # Groups of subscribers, each in the order in which they came.
        self._live: dict[Subscriber, None] = {}  # offered every new frame
        self._joining: dict[Subscriber, None] = {}  # wait until the channel is ready, or have ended
        self._replaying: dict[Subscriber, None] = {}  # still receive what was before
        self._awaiting_first: dict[Subscriber, None] = {}  # live, but had nothing to see as yet
        self._got_partial: dict[Subscriber, None] = {}  # have seen what the window holds by now
        if resumed:
            slicer.add(self._catch_up())

    def _catch_up(self) -> Iterator[None]:
        """Take in the window that is being filled and the one before, then let subscribers join."""
        first = self._history.newest_window(self.view.ticks)
        for ended in read_windows(self._history, self._window, first):
            if ended is not None:
                self._encode(ended)
            else:
                yield
        self._is_ready = True
        for subscriber in list(self._joining):
            self.join(subscriber)

    def update(self, snapshot: Snapshot) -> list[Round]:
        """Take in a snapshot; return the messages that it makes due, and to whom, oldest first.

        Subscribers that have seen nothing as yet see at once what the window holds so far.
        """
        if not self._is_ready:  # it will find the snapshot in the history
            return []
        partial, self._got_partial = self._got_partial, {}
        waiting, self._awaiting_first = self._awaiting_first, {}
        due: list[Round] = []
        is_served = False  # whether there is a message that a first one may be
        for ended in self._window.add(snapshot):
            # Where a window's last ticks were missed, some may have seen all of it before.
            known = partial if ended.tick != snapshot.tick else {}
            if (frame := self._encode(ended)) is not None:
                is_served = True
                due.append((frame, self._all_but(known)))
            elif (frame := self._encode_unfinished(ended)) is not None:
                due.append((frame, self._all_but({**known, **waiting})))
        if is_served or not waiting:
            return due
        if (frame := self._provisional()) is not None:
            due.append((frame, list(waiting)))
            self._got_partial = waiting
        else:
            self._awaiting_first = waiting
        return due

    def _all_but(self, known: Mapping[Subscriber, None]) -> list[Subscriber]:
        if not known:  # nearly always, and there may be thousands
            return list(self._live)
        return [one for one in self._live if one not in known]

    def _encode(self, ended: Snapshot) -> Frame | None:
        """Encode the message about a window that is over."""
        number = max(self._number + 1, ended.window_number(self.view.ticks))
        frame = self.view.encode(ended, number)
        if frame is not None:
            self._number = number
            self._latest = frame
        return frame

    def _encode_unfinished(self, ended: Snapshot) -> Frame | None:
        """Encode a message of which something has not been sampled yet.

        It is for those who have had the past, in which that is missing too: they miss no message.
        """
        number = max(self._number + 1, ended.window_number(self.view.ticks))
        frame = self.view.encode(ended, number, past=True)
        self._number = self._number if frame is None else number
        return frame

    def _provisional(self) -> Frame | None:
        """Encode a message about the window that is being filled, if it holds anything.

        It has the number of the window before, for the window's own is that of the whole of it.
        """
        so_far = self._window.so_far()
        if so_far is None:
            return None
        return self.view.encode(so_far, so_far.window_number(self.view.ticks) - 1)

    # Its subscribers

    def join(self, subscriber: Subscriber) -> None:
        """Offer a subscriber the newest message, and then every new one.

        While there is none yet, it is offered what the first window holds so far.
        """
        self._joining[subscriber] = None
        if not self._is_ready:
            return
        if self._go_live(subscriber) and (frame := self._initial_frame(subscriber)) is not None:
            subscriber.offer(frame)

    def _go_live(self, subscriber: Subscriber) -> bool:
        """Offer a subscriber what comes from now on; one that has ended waits to be let go."""
        if not subscriber.go_live():
            return False
        self._joining.pop(subscriber, None)
        self._replaying.pop(subscriber, None)
        self._live[subscriber] = None
        return True

    def _initial_frame(self, subscriber: Subscriber) -> Frame | None:
        if self._latest is not None:
            return self._latest
        frame = self._provisional()
        (self._awaiting_first if frame is None else self._got_partial)[subscriber] = None
        return frame

    def leave(self, subscriber: Subscriber) -> bool:
        """Let a subscriber go; say whether it was there."""
        if subscriber not in self:
            return False
        for group in (
            self._live, self._joining, self._replaying, self._awaiting_first, self._got_partial,
        ):  # fmt: skip
            group.pop(subscriber, None)
        return True

    def __contains__(self, subscriber: object) -> bool:
        return any(subscriber in one for one in (self._live, self._joining, self._replaying))

    def __len__(self) -> int:
        return len(self._live) + len(self._joining) + len(self._replaying)

    def __iter__(self) -> Iterator[Subscriber]:
        yield from self._live
        yield from self._joining
        yield from self._replaying

    def replay(self, subscriber: Subscriber, *, after: float, greet: bool) -> None:
        """Have a subscriber receive what the view said after a time in Unix seconds, then join.

        It joins at the moment when it has had all that the history holds, between two snapshots:
        no message comes twice or is left out. What has left the history before it was read counts
        as dropped. ``greet`` says whether a subscriber for which there is nothing to replay is
        offered an older message instead.
        """
        self._replaying[subscriber] = None
        first = self._history.begin(after, self.view.ticks)
        frames = self._read_frames(subscriber, first, after, greet=greet)
        subscriber.start_replay(Backlog(frames, self._slicer))

    def _read_frames(
        self, subscriber: Subscriber, position: int, after: float, *, greet: bool
    ) -> Iterator[Frame | None]:
        window, number = Window(self.view, self._metrics), 0
        windows = read_windows(
            self._history,
            window,
            position,
            expired=subscriber.expire,
            may_end=lambda: self._is_ready,
        )
        silent = True
        for ended in windows:
            if ended is None or ended.time <= after:
                yield None
                continue
            number = max(number + 1, ended.window_number(self.view.ticks))
            frame = self.view.encode(ended, number, past=True)
            if frame is not None:
                silent = False
            yield frame
        if not self._go_live(subscriber) or not silent:
            return
        frame = self._initial_frame(subscriber)
        if frame is not None and (greet or _time(frame) > after):
            subscriber.offer(frame)


class Channels:
    """The views that have subscribers, each with its channel.

    Args:
        limit: says whether there may be another.
        history: what there was before.
        demand: is told which families a view has shown that is gone.
        slicer: runs what takes long.
    """

    def __init__(
        self,
        limit: ViewLimit,
        history: History,
        demand: Demand,
        slicer: TimeSlicer,
    ) -> None:
        self._limit = limit
        self._history = history
        self._demand = demand
        self._slicer = slicer
        self._channels: dict[View, Channel] = {}

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def subscribers(self) -> list[Subscriber]:
        """All subscribers of all views."""
        return [one for channel in self._channels.values() for one in channel]

    @property
    def views(self) -> frozenset[View]:
        """All views."""
        return frozenset(self._channels)

    @property
    def wanted(self) -> set[str]:
        """The names of all metrics that any view shows, or has shown until a while ago."""
        return self._demand.names.union(*(view.metrics for view in self._channels))

    def check_capacity(self, view: View) -> None:
        """Raise AtCapacity if there is no room for a view."""
        self._limit.check(view, self._channels.keys())

    def open(self, view: View, catalog: Catalog, *, resumed: bool) -> Channel:
        """Return a view's channel, which is made if there is none.

        ``resumed`` says whether the history reaches up to the present.

        Raises:
            AtCapacity: there is no room for it.
        """
        channel = self._channels.get(view)
        if channel is None:
            self.check_capacity(view)
            metrics = catalog.named(view.metrics)
            channel = Channel(view, metrics, self._history, self._slicer, resumed=resumed)
            self._channels[view] = channel
            self._limit.opened(view)
            self._demand.changed()
        return channel

    def leave(self, subscriber: Subscriber) -> bool:
        """Let a subscriber go, and its channel with the last one; say whether it was there."""
        channel = self._channels.get(subscriber.view)
        if channel is None or not channel.leave(subscriber):
            return False
        if not channel:
            del self._channels[subscriber.view]
            self._limit.closed(subscriber.view)
            self._demand.want(subscriber.view.metrics)
        return True

    def update(self, snapshot: Snapshot) -> list[Round]:
        """Take in a snapshot; return the messages that it makes due, and to whom."""
        return [due for channel in self._channels.values() for due in channel.update(snapshot)]


def _time(frame: Frame) -> float:
    return datetime.fromisoformat(frame.timestamp).timestamp()
