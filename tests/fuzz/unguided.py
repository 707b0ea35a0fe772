"""Inputs by hypothesis: what is kept, altered, and what is made of a target's words."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import Target

__all__ = ["inputs", "search"]

_BATCH = 500


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return a strategy for the inputs of a target."""
    words = st.one_of(st.sampled_from(list(target.words)), st.binary(min_size=1, max_size=4))
    made = st.lists(words, max_size=12).map(b"".join)
    seeds = st.sampled_from(list(target.seeds().values()) or [b""])
    altered = st.builds(_altered, seeds, st.integers(0), st.integers(0, 8), words)
    return st.one_of(made, altered)


def _altered(seed: bytes, at: int, dropped: int, word: bytes) -> bytes:
    start = at % (len(seed) + 1)
    return seed[:start] + word + seed[start + dropped :]


def search(target: Target, seconds: float) -> int:
    """Run a target for a time; return how many inputs it was given. Raises what it raises."""
    count = 0

    @settings(max_examples=_BATCH, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs(target))
    def run(data: bytes) -> None:
        nonlocal count
        count += 1
        target.run(data)

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run()
    return count
