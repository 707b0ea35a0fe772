"""What opens the authenticated feed of the servers that tests start."""

from __future__ import annotations

from typing import Final

__all__ = ["TOKEN"]

TOKEN: Final = "canary-9f2c41d7"  # noqa: S105 # it opens nothing
