"""Memory that runs out at a call of a test's choice."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

from tests.support import transport

__all__ = ["Shortage"]


_SPARED: Final = (transport.__file__, logging.__file__)


class Shortage:
    """Raises a MemoryError once, at the n-th Python function that is entered inside an action.

    Transports are spared: what stands for them here does not stand for their allocations. So is
    logging, which would keep its lock, and every other thread that logs would wait for ever.

    Attributes:
        struck: whether there were as many.
    """

    def __init__(self, number: int) -> None:
        self.struck = False
        self._remaining = number
        self._action: object = None

    def during(self, action: Callable[..., object], *arguments: object) -> None:
        """Perform an action, a Python function, within which memory runs out."""
        if self.struck:
            action(*arguments)
            return
        self._action = getattr(action, "__code__", None) or action.__func__.__code__  # type: ignore[attr-defined] # a method's
        previous = sys.getprofile()
        sys.setprofile(self._count)
        try:
            action(*arguments)
        finally:
            sys.setprofile(previous)

    def _count(self, frame: FrameType, event: str, _argument: object) -> None:
        """Count what is called; raising ends the counting, as the interpreter has it."""
        code = frame.f_code
        if event != "call" or code is self._action or code.co_filename in _SPARED:
            return
        if self._remaining == 0:
            self.struck = True
            raise MemoryError
        self._remaining -= 1
