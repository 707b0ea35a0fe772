"""What a hub has kept."""

from __future__ import annotations

from hub import Hub
from hub.sampling.snapshot import Snapshot

__all__ = ["kept_snapshots"]


def kept_snapshots(hub: Hub, seconds: float) -> list[Snapshot]:
    """Return the snapshots of the last seconds, oldest first."""
    history = hub.history
    return [history[at] for at in range(history.after(history.ago(seconds)), history.end)]
