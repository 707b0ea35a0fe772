"""What one run of the load against one server has found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one server with one number of clients.

    `cpu_us` is server CPU time in microseconds per frame received in the window, `load_us` the
    load generator's own; `others` is how many cores anything else kept busy. Lags are milliseconds
    from a message's timestamp to its arrival. `rss_kib` is resident memory in KiB per client,
    `grown_mib` by how many MiB it grew within the window, `handshakes` are per second. `drops`
    counts messages owed but not received, `lost` clients that the server disconnected, `failed`
    error messages, `cut` stalled clients that the server no longer holds. `ends` are how an
    attacker's connections ended, and how often, and `loop_lag_ms` what the hub's event loop was
    never later than, by its own figures.
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


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ascending values that at least `share` (0 to 1) do not exceed."""
    if not ordered:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is not a share between 0 and 1")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
