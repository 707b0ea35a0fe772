"""The command line of the terminal view."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from io import TextIOWrapper
from typing import Final, TextIO

import anyio
from rich.console import Console

from hub.cli.flags import Flag, Parser, fail, read_tokens, switch
from hub.cli.watch.follower import FeedOptions, FeedRefused, Follower, feed_url
from hub.cli.watch.lines import Lines, OutputClosed
from hub.cli.watch.screen import Screen
from hub.cli.watch.terminal import terminal
from hub.clock import SystemClock
from hub.errors import InvalidValue

__all__ = ["watch"]

_PROGRAM: Final = "metrics-hub watch"
_URL: Final = "ws://127.0.0.1:54112"
_SHOWN: Final = (
    "cpu", "memory", "swap", "disk", "cores", "load", "disks", "disk_io", "network",
)  # fmt: skip
"""What there is to see unless somebody wants something else, as on the page."""

_POINTS: Final = 120
"""Messages of the past to begin with: as many as a wide terminal can show."""

_LONGEST_HISTORY: Final = 3600


def watch(arguments: Sequence[str]) -> int:
    """Show a feed until told to stop; return the exit status.

    0 when somebody quits, 1 where the hub refuses, 2 for a bad flag or variable.
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
        return _cut_short(error)
    except KeyboardInterrupt:
        pass
    return 0


def _url(given: str | None) -> str:
    if given is not None:
        return feed_url("URL", given)
    return feed_url("HUB_WATCH_URL", os.environ.get("HUB_WATCH_URL", _URL))


def _cut_short(error: OutputClosed) -> int:
    """End without the interpreter's trying to write the rest; a reader may well have had enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error.__cause__, BrokenPipeError):
        return 0
    return fail(_PROGRAM, f"cannot write: {error}", status=1)


def _options(url: str, options: dict[str, object], *, plain: bool) -> FeedOptions:
    """Make out what to ask for: as a screen what there is to see, as lines what there is."""
    metrics, interval, tokens = options["metrics"], options["interval"], options["token_file"]
    token = str(tokens[0]) if isinstance(tokens, tuple) and tokens else ""
    parameters = {} if interval is None else {"interval": str(interval)}
    if metrics:
        parameters["metrics"] = str(metrics)
    elif not plain:
        parameters["metrics"] = ",".join((*_SHOWN, *(["processes"] if token else [])))
    if plain:
        return FeedOptions(url, parameters, token=token)
    history = min(_LONGEST_HISTORY, round(_POINTS * float(str(interval or 1))))
    return FeedOptions(url, {**parameters, "partial": "true"}, history, token)


async def _follow(options: FeedOptions, plain: bool) -> None:  # noqa: FBT001 # anyio gives no names
    clock = SystemClock()
    if plain:
        await Follower(options, Lines(_PROGRAM), clock=clock).run()
    with (
        anyio.CancelScope() as scope,
        Screen(options.url, clock=clock, console=Console(file=_tolerant())) as screen,
        terminal(leave=scope.cancel, resized=screen.draw),
    ):
        await Follower(options, screen, clock=clock).run()


def _tolerant() -> TextIO:
    """Return standard output, which from now on shows what it has no letter for as a ``?``."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return sys.stdout


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM,
        description="Show a hub's feed in the terminal; q quits. Where standard output is no "
        "terminal, each message is a line of JSON.",
        epilog="Every flag is also an environment variable: --token-file is HUB_WATCH_TOKEN_FILE.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help=f"address of the hub, or of its page (default: {_URL})",
    )
    parser.add_flags(_flags())
    return parser


def _flags() -> tuple[Flag, ...]:
    prefix = "HUB_WATCH_"
    return (
        Flag("metrics", _metrics, None, "families to show, separated by commas", prefix),
        Flag("interval", _interval, None, "seconds between messages", prefix),
        Flag("token_file", read_tokens, None, "file whose first token opens all families", prefix),
        Flag("json", switch, False, "write each message as a line of JSON", prefix),
    )


def _metrics(label: str, text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InvalidValue(label, "names of families, separated by commas", text)
    return ",".join(names)


def _interval(label: str, text: str) -> str:
    """Leave the rule to the hub, which knows its own interval."""
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = Decimal(0)
    if not seconds.is_finite() or not 0 < seconds <= 3600:
        raise InvalidValue(label, "a number of seconds from 0.1 to 3600", text)
    return f"{seconds:f}"
