"""Asking psutil once a tick: metrics, their readings as snapshots, and the schedule."""

__all__: list[str] = []
