"""``metrics-hub sample``: samples for applications that run in several processes."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import anyio

from hub.cli.flags import Flag, Parser, fail, flags
from hub.cli.logs import configure_logging
from hub.clock import SystemClock
from hub.errors import InvalidValue
from hub.feed.hub import Hub
from hub.server.runner import tune_process
from hub.settings import Settings
from hub.workers.sharing import SharedSampler
from hub.workers.socket_file import listening

__all__ = ["sample", "sampling_flags"]

_logger = logging.getLogger("hub")

_PROGRAM: Final = "metrics-hub sample"

_SAMPLING: Final = (
    "interval", "disk_path", "history", "history_bytes", "devices", "relative_to",
)  # fmt: skip
_LOG: Final = ("log_format", "log_level")


def sample(arguments: Sequence[str]) -> int:
    """Sample for hubs that attach, until SIGTERM or SIGINT; return the exit status.

    0 after a signal to stop, 1 where the socket cannot be had, 2 for a bad flag or variable.
    """
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    if given["socket"] is None and "HUB_SOCKET" not in os.environ:
        parser.error("--socket must be given, as the path to listen on")
    try:
        options = {one.name: one.resolve(given[one.name], os.environ) for one in sampling_flags()}
        settings = Settings(**{name: options[name] for name in _SAMPLING})  # type: ignore[arg-type] # it checks types itself
        label = "HUB_DEVICES" if given["devices"] is None else "--devices"
        Hub(settings).catalog(restricted=True).check_devices(label)
    except InvalidValue as error:
        parser.error(str(error))
    form, level = (str(options[name]) for name in _LOG)
    path, mode = Path(str(options["socket"])), int(str(options["socket_mode"]), 8)
    with ExitStack() as stack:
        stack.enter_context(closing(configure_logging(level, access_log=False, form=form)))
        try:
            listener = stack.enter_context(listening(path, mode))
        except OSError as error:
            cause = error.strerror or error
            return fail(_PROGRAM, f"cannot listen on {path}: {cause}", status=1)
        tune_process()
        anyio.run(_run, SharedSampler(settings, SystemClock()), listener, path)
    return 0


async def _run(sampler: SharedSampler, listener: socket.socket, path: Path) -> None:
    """Sample until SIGTERM or SIGINT."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(sampler.run, listener)
            _logger.info("Sampling for hubs that attach to %s (Press CTRL+C to quit)", path)
            await anext(signals)
            group.cancel_scope.cancel()
    _logger.info("Sampling stopped")


def sampling_flags() -> tuple[Flag, ...]:
    """Return all flags, in the order in which they are shown."""
    known = {flag.name: flag for flag in flags()}
    return (
        Flag("socket", _path, None, "path of the Unix socket to listen on; it has to be given"),
        Flag("socket_mode", _mode, "0600", "who may attach, as the mode of a file, in octal"),
        *(known[name] for name in (*_SAMPLING, *_LOG)),
    )


def _path(label: str, text: str) -> str:
    if not hasattr(socket, "AF_UNIX"):
        raise InvalidValue(label, "left out, as this system has no such sockets", text)
    if not text or "\0" in text:
        raise InvalidValue(label, "the path of a socket", text)
    return text


def _mode(label: str, text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise InvalidValue(label, "an octal mode such as 0660", text)
    return text


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM,
        description="Sample this machine for applications that run in several processes, each of "
        "which has a hub attached to the socket.",
        epilog="Every flag is also an environment variable: --socket-mode is HUB_SOCKET_MODE.",
        allow_abbrev=False,
    )
    parser.add_flags(sampling_flags())
    return parser
