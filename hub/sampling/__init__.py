"""What psutil finds, once a tick: metrics, snapshots, and the clock that drives them."""

__all__: list[str] = []
