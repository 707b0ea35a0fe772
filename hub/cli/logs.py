"""What the process writes: one line for each event, on standard error."""

from __future__ import annotations

import logging
import pkgutil
import sys
import time
from collections.abc import Callable
from typing import Final

from hub.cli.log_handler import BackgroundHandler, stream_writer

__all__ = ["FORMATS", "LEVELS", "QueryFilter", "TextFormatter", "Throttle", "configure_logging"]

FORMATS: Final = ("text", "json")
LEVELS: Final = ("critical", "error", "warning", "info", "debug")

_JSON_FIELDS: Final = {"levelname": "level", "name": "logger"}


class QueryFilter(logging.Filter):
    """Cuts query strings out of uvicorn's lines, of requests and of handshakes alike."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record, which is always logged."""
        if record.name.startswith("uvicorn") and isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
            )
        return True


class Throttle(logging.Filter):
    """Lets ``LINES`` of uvicorn's warnings of a kind pass in ``SECONDS``, and counts the others.

    Clients that send nonsense could fill a disk otherwise. Access lines are not concerned.
    At most ``KINDS`` kinds are remembered.
    """

    LINES: Final = 10
    SECONDS: Final = 10.0
    KINDS: Final = 100

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        # By kind: when its present period began, and how many there were since.
        self._kinds: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged; the first of a period says how many were not."""
        if record.levelno < logging.WARNING or not record.name.startswith("uvicorn"):
            return True
        kind, now = str(record.msg), self._now()
        begun, count = self._kinds.get(kind, (now, 0))
        if now - begun >= self.SECONDS:
            if count > self.LINES:
                record.msg = f"{kind} ({count - self.LINES} more like it were left out)"
            begun, count = now, 0
        if len(self._kinds) >= self.KINDS:
            self._kinds.clear()
        self._kinds[kind] = (begun, count + 1)
        return count < self.LINES


class TextFormatter(logging.Formatter):
    """Writes a record as a line of printable characters, whatever a client has put into it.

    Addresses, paths and error texts are in part what clients have sent, and could command the
    terminal that shows the log, or forge a line. What is not printable is escaped as in Python.

    Args:
        worker: the number of the worker that each line names, if there are several.
    """

    def __init__(self, worker: int | None = None) -> None:
        named = "" if worker is None else f"[worker {worker}] "
        super().__init__(f"%(asctime)s %(levelname)-8s {named}%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; only a traceback adds others."""
        text = super().format(record)
        if text.isprintable():  # nearly always, and as cheap as it gets
            return text
        return "\n".join(map(_escaped, text.split("\n")))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # overrides
        """Return the line without the traceback."""
        text = super().formatMessage(record)
        return text if text.isprintable() else text.rstrip().replace("\n", r"\n")


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def configure_logging(
    level: str, *, access_log: bool, form: str = "text", worker: int | None = None
) -> BackgroundHandler:
    """Log to standard error, one line each, for the hub, for uvicorn, and what others warn of.

    uvicorn logs every handshake as INFO beside what its access log holds. So without an access
    log its loggers begin at WARNING, and lines that are not wanted are not even formatted. With
    one they begin at INFO: below it are the headers of handshakes, with tokens in them. The lines
    of a ``worker`` name its number.

    Returns:
        The handler of all of them, to be closed at the end; the interpreter does so too.
    """
    ordinary = "INFO" if access_log else "WARNING"
    quiet = ordinary if level in {"debug", "info"} else level.upper()
    handler = BackgroundHandler(stream_writer(sys.stderr))
    handler.setFormatter(_formatter(form, worker))
    handler.addFilter(Throttle())
    handler.addFilter(QueryFilter())
    others = "WARNING" if level in {"debug", "info"} else level.upper()
    for name, chosen in {"hub": level.upper(), "uvicorn": quiet, "": others}.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(chosen)
        logger.propagate = False
    return handler


def _formatter(form: str, worker: int | None) -> logging.Formatter:
    if form == "text":
        return TextFormatter(worker)
    # Imported only where it is asked for. It escapes all that is not ASCII.
    formatter: logging.Formatter = pkgutil.resolve_name("pythonjsonlogger.json:JsonFormatter")(
        "%(levelname)s %(name)s %(message)s",
        rename_fields=_JSON_FIELDS,
        static_fields={} if worker is None else {"worker": worker},
        timestamp="time",
    )
    return formatter
