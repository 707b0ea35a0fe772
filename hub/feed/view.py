"""What a client wants to see, and how a snapshot becomes its message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson

from hub.devices import USUAL, Selection
from hub.feed.deflate import deflate
from hub.sampling.snapshot import Failure, Incomplete, Snapshot
from hub.text import one_line

__all__ = ["DEFAULT_METRICS", "Aggregate", "Frame", "View"]

DEFAULT_METRICS: Final = ("cpu", "memory", "disk")

_ERROR_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, encoded once for every subscriber of its view.

    Attributes:
        payload: the JSON text as UTF-8, in one line.
        timestamp: the message's own; a client that has lost its connection resumes after it.
        text: the payload as ``str``, for interfaces that take text.
        wire: the complete WebSocket frame, ready for a socket. A server's frames are not
            masked, so they are the same bytes for everyone.
    """

    payload: bytes
    timestamp: str = ""
    text: str = field(init=False, repr=False, compare=False)
    wire: bytes = field(init=False, repr=False, compare=False)
    _compressed: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.payload.decode())
        object.__setattr__(self, "wire", _text_frame_header(len(self.payload)) + self.payload)

    @property
    def compressed(self) -> bytes:
        """``wire`` for all who have agreed to compression, made when the first of them needs it.

        It is ``wire`` itself where that is not worth compressing.
        """
        found = self._compressed
        if found is None:
            found = _compressed_frame(self.payload) or self.wire
            object.__setattr__(self, "_compressed", found)
        return found

    @property
    def event(self) -> bytes:
        """The message as a server-sent event (HTML standard, section 9.2.5)."""
        return b"id: %b\ndata: %b\n\n" % (self.timestamp.encode(), self.payload)


def _compressed_frame(payload: bytes) -> bytes | None:
    deflated = deflate(payload)
    if deflated is None:
        return None
    return _text_frame_header(len(deflated), b"\xc1") + deflated  # RSV1: it is compressed


def _text_frame_header(length: int, first: bytes = b"\x81") -> bytes:
    """Return the header of one unfragmented, unmasked text frame (RFC 6455, section 5.2).

    ``first`` is its first byte: FIN, opcode 1.
    """
    if length < 126:
        return first + length.to_bytes(1)
    if length < 1 << 16:
        return first + b"\x7e" + length.to_bytes(2)
    return first + b"\x7f" + length.to_bytes(8)


class Aggregate(StrEnum):
    """How the gauges of a longer interval are reduced to one value."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class View:
    """What to see of the feed. Equal views are aggregated and encoded once for all who share them.

    Attributes:
        metrics: the names chosen, in the order in which the hub knows them, each once.
        ticks: how many ticks one message stands for.
        aggregate: how the gauges of that many ticks are reduced; with one tick it is ``MEAN``.
        partial: whether a message has what could be measured although something could not.
        seq: whether each message has the view's own counter.
        devices: of families of which not the usual members are shown, by name: which are.
    """

    metrics: tuple[str, ...]
    ticks: int = 1
    aggregate: Aggregate = Aggregate.MEAN
    partial: bool = False
    seq: bool = False
    devices: tuple[tuple[str, Selection], ...] = ()

    def __post_init__(self) -> None:
        if self.ticks == 1:  # all rules come to the same
            object.__setattr__(self, "aggregate", Aggregate.MEAN)

    def encode(self, snapshot: Snapshot, number: int = 0, *, past: bool = False) -> Frame | None:
        """Encode this view's message: the values, or else one error that names what failed.

        Args:
            snapshot: what the message is about.
            number: the message's own, for views that show it.
            past: whether nothing more is to be expected of that time, so that a partial view is
                content with any reading.

        Returns:
            None where the snapshot has no reading of a chosen metric yet, or not all of it.
        """
        content = self.content(snapshot, past=past)
        if content is None:
            return None
        timestamp = snapshot.timestamp
        counter = {"seq": number} if self.seq else {}
        body = {**content, "timestamp": timestamp, **counter}
        return Frame(orjson.dumps(body), timestamp)

    def content(self, snapshot: Snapshot, *, past: bool = False) -> Mapping[str, object] | None:
        """Return what this view's message says, but for its time and number; see ``encode``."""
        readings = snapshot.readings
        present = [name for name in self.metrics if name in readings]
        if len(present) < len(self.metrics) and not (past and self.partial and present):
            return None
        if not past and not snapshot.resting.isdisjoint(self.metrics):
            return None
        failures = {n: r.cause for n in present if isinstance(r := readings[n], Failure)}
        if failures and not self.partial:
            return _error(failures)
        selections = dict(self.devices)
        values = {name: snapshot.value(name, selections.get(name, USUAL)) for name in self.metrics}
        if self.partial:
            failures.update(self._member_failures(snapshot, selections))
        return {**values, "errors": failures} if failures else values

    def _member_failures(
        self, snapshot: Snapshot, selections: Mapping[str, Selection]
    ) -> Iterator[tuple[str, str]]:
        for name in self.metrics:
            reading = snapshot.readings.get(name)
            if isinstance(reading, Incomplete):
                selection = selections.get(name, USUAL)
                for member, failure in reading.failures.items():
                    if selection.shows(member):
                        yield f"{name}/{member}", failure.cause


def _error(failures: Mapping[str, str]) -> Mapping[str, str]:
    causes = "; ".join(f"{name}: {cause}" for name, cause in failures.items())
    return {"error": one_line(f"Metric collection failed: {causes}", _ERROR_LENGTH)}
