"""The fan-out: from snapshots to the frames that each subscriber is offered. Knows no server."""

__all__: list[str] = []
