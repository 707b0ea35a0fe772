"""The result of one run of the load against one server."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one server with one number of clients.

    Attributes:
        clients: clients that read all they were sent.
        stalled: clients that read nothing after their handshake.
        frames: frames received in the window.
        cpu_us: server CPU time in microseconds per frame received in the window.
        load_us: the load generator's own CPU time in microseconds per such frame.
        others: how many cores other processes kept busy.
        lag_p50_ms: median of the milliseconds from a message's timestamp to its arrival.
        lag_p99_ms: their 99th percentile.
        lag_max_ms: their maximum.
        rss_kib: growth of the server's resident memory while clients connected, in KiB per client.
        grown_mib: further growth within the window, in MiB.
        handshakes: handshakes per second.
        drops: messages that clients were owed and did not receive.
        lost: clients that the server disconnected.
        failed: error messages among those received.
        cut: stalled clients whose connections the server has closed.
        ends: an attacker's connections, counted by how they ended.
        loop_lag_ms: the smallest bound of the hub's own loop-lag histogram that covers all samples.
        livez_p99_ms: 99th percentile of the milliseconds that a request for `/livez` takes.
        frame_bytes: bytes of a WebSocket frame as it came, its header included; their mean.
    """

    clients: int
    stalled: int
    frames: int
    cpu_us: float
    load_us: float
    others: float
    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float
    rss_kib: float
    grown_mib: float
    handshakes: float
    drops: int
    lost: int
    failed: int
    cut: int
    ends: Mapping[str, int] = field(default_factory=dict)
    loop_lag_ms: float = math.nan
    livez_p99_ms: float = math.nan
    frame_bytes: float = math.nan


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ascending values that at least `share` (0 to 1) do not exceed."""
    if not ordered:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is not a share between 0 and 1")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
