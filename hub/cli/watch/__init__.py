"""The terminal view: ``python -m hub watch``."""

from hub.cli.watch.command import watch

__all__ = ["watch"]
