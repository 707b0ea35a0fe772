"""One feed on several cores: a process that samples, and workers that serve what it finds."""

from __future__ import annotations

__all__: list[str] = []
