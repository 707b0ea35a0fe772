"""Whether the protocol classes work with the installed uvicorn: tried once in a process.

A version number says neither that what the classes lean on has changed nor that it has not. So
they serve a few connections within the process first, and the outcome decides.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from hub.server.trial_client import Mismatch
from hub.server.trial_scenario import Scenario
from hub.server.uvicorn_compat import incompatibilities

__all__ = ["is_supported", "run"]

_logger = logging.getLogger("hub")

_SECONDS: Final = 5.0  # a trial takes milliseconds; this is for code that does not return
_LONGEST: Final = 200
_LOGGERS: Final = ("uvicorn.error", "uvicorn.access", "asyncio", "hub")


@functools.cache
def is_supported() -> bool:
    """Say whether the protocol classes work; warn, once, if not.

    The first call runs the trial, which takes some milliseconds. An event loop may be running.
    """
    failure = run()
    if failure is None:
        return True
    found = [f"version {uvicorn.__version__}", *(incompatibilities() or [failure])]
    _logger.warning("Unexpected uvicorn (%s): serving more slowly", ", ".join(found))
    return False


def run(scenario: type[Scenario] = Scenario, *, seconds: float = _SECONDS) -> str | None:
    """Try the protocol classes. Never raises.

    It runs in a thread and an event loop of its own, because the caller's thread may be running
    one, and leaves neither behind, nor a line in the log. Only a thread whose code blocks for more
    than ``seconds`` is left; it does not keep the process from ending.

    Returns:
        None if they work, else one line: the step that failed and the error.
    """
    trial = _Trial(scenario)
    thread = threading.Thread(target=trial.run, name="hub-trial", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the system allows no more threads
        trial.note(error)
    else:
        thread.join(seconds)
    if thread.is_alive():
        return f"{trial.step}: no end within {seconds:g} s"
    return f"{trial.step}: {trial.complaints[0]}" if trial.complaints else None


class _Trial(logging.Filter):
    """Plays a scenario in the thread that calls ``run``, and keeps its log lines out of the log.

    Attributes:
        step: the step that is under way, or that has failed.
        complaints: what has gone wrong, in one line each; the first is the cause.
    """

    def __init__(self, scenario: type[Scenario]) -> None:
        super().__init__()
        self.step = "start"
        self.complaints: list[str] = []
        self._scenario = scenario
        self._thread = 0  # the identity of its thread, while it runs

    def run(self) -> None:
        """Play the scenario to its end, or until something goes wrong. Never raises."""
        try:
            with (
                self._listening(),
                asyncio.Runner(debug=False, loop_factory=asyncio.SelectorEventLoop) as runner,
            ):
                runner.get_loop().set_exception_handler(self._on_error)
                runner.run(self._play())
        except BaseException as error:  # a library's SystemExit would be lost in this thread
            self.note(error)

    async def _play(self) -> None:
        try:
            await self._scenario(self).play()
        except Exception as error:  # before its tasks are cancelled, which may add complaints
            self.note(error)

    def note(self, complaint: object) -> None:
        """Write down an exception or a text, without keeping a reference to it."""
        text = str(complaint)
        if isinstance(complaint, BaseException) and not isinstance(complaint, Mismatch):
            text = f"{type(complaint).__name__}: {text}"
        self.complaints.append(" ".join(text.split())[:_LONGEST])

    def check(self) -> None:
        """Raise what has been noted, if anything has."""
        if self.complaints:
            raise Mismatch(self.complaints[0])

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the lines of other threads pass; note the errors of this one."""
        if threading.get_ident() != self._thread:
            return True
        if record.levelno >= logging.ERROR:
            self.note((record.exc_info and record.exc_info[1]) or record.getMessage())
        return False

    def _on_error(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.note(context.get("exception") or context["message"])

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._thread = threading.get_ident()
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        for logger in loggers:
            logger.addFilter(self)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(self)
