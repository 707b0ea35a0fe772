"""All targets, by name."""

from __future__ import annotations

from typing import Final

from tests.fuzz import callers, heads, queries, wire
from tests.fuzz.target import Target

__all__ = ["TARGETS"]

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (*queries.TARGETS, *callers.TARGETS, *wire.TARGETS, *heads.TARGETS)
}
