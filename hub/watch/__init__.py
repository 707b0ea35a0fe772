"""The terminal view: ``python -m hub watch``."""

from hub.watch.command import watch

__all__ = ["watch"]
