"""The command line: ``python -m hub``, also installed as ``metrics-hub``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hub import Hub, Settings, __version__
from hub.cli.flags import Parser, fail, flags, resolve
from hub.cli.logs import configure_logging
from hub.errors import InvalidValue
from hub.server.listener import listen
from hub.server.runner import ServerOptions, serve

__all__ = ["main"]

_PROGRAM: Final = "metrics-hub"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the feed until told to stop, ``sample`` for others or ``watch`` one; return the status.

    0 after a signal to stop, 1 where the address cannot be had, 2 for a bad flag or variable.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["watch"]:
        from hub.cli.watch import watch  # noqa: PLC0415 # a server has no use for what it draws with

        return watch(arguments[1:])
    if arguments[:1] == ["sample"]:
        from hub.workers.sample import sample  # noqa: PLC0415 # only if asked for

        return sample(arguments[1:])
    parser = _parser()
    try:
        given = vars(parser.parse_args(arguments))
        options = resolve(given, os.environ)
        settings = Settings(**{n: options[n] for n in Settings.__dataclass_fields__})
        hub = Hub(settings)
        hub.catalog(restricted=True).check_devices(
            "HUB_DEVICES" if given["devices"] is None else "--devices"
        )
    except InvalidValue as error:
        parser.error(str(error))
    log = configure_logging(
        options["log_level"], access_log=options["access_log"], form=options["log_format"]
    )
    with contextlib.closing(log):
        return _serve(hub, options)


def _serve(hub: Hub, options: Mapping[str, Any]) -> int:
    how = ServerOptions(options["access_log"], options["drain_seconds"], options["trusted_proxies"])
    log = (options["log_level"], options["access_log"], options["log_format"])
    where = (options["host"], options["port"])
    try:
        if options["workers"] != 1:
            from hub.workers.command import serve_with_workers  # noqa: PLC0415 # only if asked for
            from hub.workers.letters import Setup  # noqa: PLC0415

            return serve_with_workers(options["workers"], Setup(hub.settings, how, log), *where)
        listeners = listen(*where, stall_timeout=hub.settings.stall_timeout)
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or error
        text = f"cannot listen on {options['host']} port {options['port']}: {cause}"
        return fail(_PROGRAM, text, status=1)
    serve(hub, listeners, how)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM,
        description="Serve this machine's CPU, memory, disk, network and other figures, live.",
        epilog="Every flag is also an environment variable: --stall-timeout is HUB_STALL_TIMEOUT. "
        f"To show a feed in the terminal: {_PROGRAM} watch --help. To sample for applications "
        f"that run in several processes: {_PROGRAM} sample --help",
        allow_abbrev=False,
    )
    parser.add_flags(flags())
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
