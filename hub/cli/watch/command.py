"""The command line of the terminal view."""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation
from io import TextIOWrapper
from typing import Final, TextIO

import anyio
from rich.console import Console

from hub.cli.flags import Flag, Parser, fail, read_tokens, switch
from hub.cli.watch.disconnection import FeedRefused
from hub.cli.watch.families import Families
from hub.cli.watch.follower import Follower
from hub.cli.watch.lines import Lines, OutputClosed
from hub.cli.watch.machine import Machine, ask_machine
from hub.cli.watch.options import FeedOptions, feed_url
from hub.cli.watch.screen import Screen
from hub.cli.watch.terminal import has_keys, terminal
from hub.clock import SystemClock
from hub.devices import parse_devices
from hub.errors import InvalidValue

__all__ = ["watch"]

_PROGRAM: Final = "metrics-hub watch"
_DEFAULT_URL: Final = "ws://127.0.0.1:54112"
_HISTORY_POINTS: Final = 120
"""Messages of the past to begin with: as many as a wide terminal can show."""

_MAX_HISTORY: Final = 3600
"""Seconds of the past to ask for at the most: what a hub keeps by default."""


def watch(arguments: Sequence[str]) -> int:
    """Show a feed until the user quits; return the exit status.

    0 after q, Ctrl-C or a signal to stop, 1 where the hub refuses or the output cannot be written,
    2 for a bad flag or variable.
    """
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    try:
        options = {flag.name: flag.resolve(given[flag.name], os.environ) for flag in _flags()}
        url = _url(given["url"])
    except InvalidValue as error:
        parser.error(str(error))
    plain = bool(options["json"]) or not sys.stdout.isatty() or Console().is_dumb_terminal
    try:
        anyio.run(_follow, _options(url, options, plain=plain), plain)
    except FeedRefused as error:
        return fail(_PROGRAM, str(error), status=1)
    except OutputClosed as error:
        return _end_without_output(error.__cause__ or error)
    except OSError as error:  # of the terminal: the hub's are reasons to try again
        return _end_without_output(error)
    except KeyboardInterrupt:
        pass
    return 0


def _url(given: str | None) -> str:
    if given is not None:
        return feed_url("URL", given)
    return feed_url("HUB_WATCH_URL", os.environ.get("HUB_WATCH_URL", _DEFAULT_URL))


def _end_without_output(error: BaseException) -> int:
    """Return the exit status; keep the interpreter from trying to write the rest as it ends.

    A reader that has read enough, as ``head`` does, is no error.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    reason = getattr(error, "strerror", None) or str(error)
    return fail(_PROGRAM, f"cannot write: {reason}", status=1)


def _options(url: str, options: dict[str, object], *, plain: bool) -> FeedOptions:
    """Ask for what the screen can show, or where messages become lines, for the hub's default."""
    metrics, interval, tokens = options["metrics"], options["interval"], options["token_file"]
    token = str(tokens[0]) if isinstance(tokens, tuple) and tokens else ""
    parameters = {} if interval is None else {"interval": str(interval)}
    if options["devices"]:
        parameters["devices"] = str(options["devices"])
    if metrics:
        parameters["metrics"] = str(metrics)
    if plain:
        return FeedOptions(url, parameters, token=token)
    history = min(_MAX_HISTORY, round(_HISTORY_POINTS * float(str(interval or 1))))
    return FeedOptions(url, {**parameters, "partial": "true"}, history, token)


async def _follow(options: FeedOptions, plain: bool) -> None:  # noqa: FBT001 # anyio gives no names
    if plain:
        await Follower(options, Lines(_PROGRAM), clock=SystemClock()).run()
    failures: list[Exception] = []
    with anyio.CancelScope() as scope:

        def fail_with(error: Exception) -> None:
            failures.append(error)
            scope.cancel()

        console = Console(file=_lossy_stdout())
        clock, keys = SystemClock(), has_keys()
        screen = Screen(
            options.url, clock=clock, console=console, keys=keys, on_failure=fail_with
        )  # fmt: skip
        families = Families(_asking(options.url, screen), restricted=bool(options.token))
        with terminal(screen, leave=scope.cancel), screen:
            await Follower(options, screen, clock=clock, families=families).run()
    if failures:
        raise failures[0]


def _asking(url: str, screen: Screen) -> Callable[[], Awaitable[Machine | None]]:
    """Return what asks a hub for its machine, and has it shown."""

    async def ask() -> Machine | None:
        machine = await ask_machine(url)
        if machine is not None:
            screen.on_machine(machine)
        return machine

    return ask


def _lossy_stdout() -> TextIO:
    """Return standard output as the locale has it, made to write ``?`` for what it lacks.

    Python takes UTF-8 in the locale C; a terminal there may show nothing but ASCII.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        windows = sys.platform == "win32"  # whose terminal takes all of Unicode in any locale
        encoding = sys.stdout.encoding if windows else locale.getencoding()
        sys.stdout.reconfigure(encoding=encoding, errors="replace")
    return sys.stdout


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM,
        description="Show a hub's feed in the terminal; q quits, ? lists the keys. Where standard "
        "output is no terminal, each message is a line of JSON.",
        epilog="Every flag is also an environment variable: --token-file is HUB_WATCH_TOKEN_FILE.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help=f"address of the hub, or of its page (default: {_DEFAULT_URL})",
    )
    parser.add_flags(_flags())
    return parser


def _flags() -> tuple[Flag, ...]:
    prefix = "HUB_WATCH_"
    return (
        Flag("metrics", _metrics, None, "families to show, separated by commas", prefix),
        Flag("devices", _devices, None, "members to show, such as network:eth*,!docker*", prefix),
        Flag("interval", _interval, None, "seconds between messages", prefix),
        Flag("token_file", read_tokens, None, "file whose first token opens all families", prefix),
        Flag("json", switch, False, "write each message as a line of JSON", prefix),
    )


def _metrics(label: str, text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InvalidValue(label, "names of families, separated by commas", text)
    return ",".join(names)


def _devices(label: str, text: str) -> str:
    parse_devices(label, text)
    return text


def _interval(label: str, text: str) -> str:
    """Read a number of seconds; whether it is a multiple of the hub's own is for the hub to say."""
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = Decimal(0)
    if not seconds.is_finite() or not 0 < seconds <= 3600:
        raise InvalidValue(label, "a number of seconds from 0.1 to 3600", text)
    return f"{seconds:f}"
