"""The command line: ``python -m hub``, also installed as ``metrics-hub``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from hub import Hub, Settings, __version__
from hub.errors import InvalidValue
from hub.flags import flags, resolve, switch
from hub.server.listener import listen
from hub.server.logs import configure_logging
from hub.server.runner import serve
from hub.snapshot import one_line

__all__ = ["main"]

_PROGRAM: Final = "metrics-hub"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the feed until told to stop; return the exit status.

    0 after a signal to stop, 1 where the address cannot be had, 2 for a bad flag or variable.
    """
    parser = _parser()
    try:
        options = resolve(vars(parser.parse_args(argv)), os.environ)
        settings = Settings(**{n: options[n] for n in Settings.__dataclass_fields__})
    except InvalidValue as error:
        parser.error(str(error))
    configure_logging(
        options["log_level"], access_log=options["access_log"], form=options["log_format"]
    )
    try:
        listeners = listen(options["host"], options["port"], stall_timeout=settings.stall_timeout)
    except (OSError, UnicodeError) as error:
        where = f"{options['host']} port {options['port']}"
        cause = getattr(error, "strerror", None) or error
        return _fail(f"cannot listen on {where}: {cause}", status=1)
    serve(
        Hub(settings),
        listeners,
        access_log=options["access_log"],
        drain_seconds=options["drain_seconds"],
        trusted_proxies=options["trusted_proxies"],
    )
    return 0


def _fail(message: str, *, status: int) -> int:
    print(one_line(f"{_PROGRAM}: {message}", 300), file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(_fail(message, status=2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Serve this machine's CPU, memory and disk usage, live, over WebSocket.",
        epilog="Every flag is also an environment variable: --stall-timeout is HUB_STALL_TIMEOUT.",
        allow_abbrev=False,
    )
    for flag in flags():
        text = flag.help if flag.default in {None, ()} else f"{flag.help} (default: {flag.default})"
        if flag.default == ():
            parser.add_argument(
                flag.option, action="append", metavar=flag.name.split("_")[-1].upper(), help=text
            )
        elif flag.parse is switch:
            parser.add_argument(flag.option, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(flag.option, metavar=flag.name.split("_")[-1].upper(), help=text)
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
