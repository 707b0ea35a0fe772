"""The command line: ``python -m hub``, also installed as ``metrics-hub``."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from hub import Hub, Settings, __version__
from hub.errors import InvalidValue
from hub.names import check_host
from hub.server.listener import listen
from hub.server.logs import FORMATS, configure_logging
from hub.server.runner import serve
from hub.snapshot import one_line

__all__ = ["main"]

_PROGRAM: Final = "metrics-hub"
_LEVELS: Final = ("critical", "error", "warning", "info", "debug")
_TOKENS: Final = "HUB_TOKENS"
"""The variable that holds tokens themselves; there is no flag, which others could see."""

_SWITCH: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the feed until told to stop; return the exit status.

    0 after a signal to stop, 1 where the address cannot be had, 2 for a bad flag or variable.
    """
    parser = _parser()
    try:
        options = _options(vars(parser.parse_args(argv)), os.environ)
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


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag, which is also an environment variable: ``--log-level`` is ``HUB_LOG_LEVEL``.

    ``parse`` is given the label under which the user knows the flag, and the text.
    """

    name: str
    parse: Callable[[str, str], object]
    default: object
    help: str

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "HUB_" + self.name.upper()

    def resolve(self, given: object, environ: Mapping[str, str]) -> object:
        """Take the flag's value, else the variable's, else the default."""
        if isinstance(given, bool):
            return given
        if isinstance(given, list):  # given several times
            given = ",".join(given)
        if isinstance(given, str):
            return self.parse(self.option, given)
        text = environ.get(self.variable)
        return self.default if text is None else self.parse(self.variable, text)


def _options(given: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        flag.name: flag.resolve(given[flag.name], environ) for flag in _flags()
    }
    options["tokens"] = (*options["token_file"], *_tokens(environ.get(_TOKENS, "")))
    options["allow_host"] = (*options["allow_host"], *_own_name(options["host"]))
    return options


def _own_name(host: str) -> tuple[str, ...]:
    """Return the name that the hub is bound to, if it is one: under that it may be called."""
    try:
        return () if _is_address(host) else (check_host("--host", host),)
    except InvalidValue:  # it cannot be listened on either, which is said in due course
        return ()


def _tokens(text: str) -> tuple[str, ...]:
    tokens = tuple(_split(text.replace("\n", ",")))
    _check_tokens(_TOKENS, tokens, "tokens, separated by commas")
    return tokens


def _check_tokens(label: str, tokens: Sequence[str], what: str) -> None:
    """Follow what ``Settings`` says of tokens, without telling any."""
    for position, token in enumerate(tokens, 1):
        try:
            Settings(tokens=(token,))
        except InvalidValue as error:
            rule = f"{what}, of which each is {error.rule}"
            raise InvalidValue(label, rule, f"number {position}") from None


def _token_file(label: str, text: str) -> tuple[str, ...]:
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "it is not text"
        raise InvalidValue(label, f"a file that can be read ({cause})", text) from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens:
        raise InvalidValue(label, "a file with a token in each line", text)
    _check_tokens(label, tokens, "a file of tokens")
    return tuple(tokens)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _proxies(label: str, text: str) -> tuple[str, ...]:
    proxies = _split(text)
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            rule = "addresses or networks such as 10.0.0.0/8, separated by commas"
            raise InvalidValue(label, rule, proxy) from None
    return proxies


def _drain_seconds(label: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 3600:
        raise InvalidValue(label, "a number of seconds from 0 to 3600", text)
    return seconds


def _format(label: str, text: str) -> str:
    if text.lower() not in FORMATS:
        raise InvalidValue(label, f"one of {', '.join(FORMATS)}", text)
    return text.lower()


def _text(_label: str, text: str) -> str:
    return text


def _host(label: str, text: str) -> str:
    if not text or text.strip() != text:
        raise InvalidValue(label, "a host name or address", text)
    return text


def _port(label: str, text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not 0 <= port <= 65535:
        raise InvalidValue(label, "a whole number from 0 to 65535", text)
    return port


def _level(label: str, text: str) -> str:
    if text.lower() not in _LEVELS:
        raise InvalidValue(label, f"one of {', '.join(_LEVELS)}", text)
    return text.lower()


def _switch(label: str, text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise InvalidValue(label, f"one of {', '.join(_SWITCH)}", text)
    return _SWITCH[text.lower()]


def _setting(name: str, convert: Callable[[str], object]) -> Callable[[str, str], object]:
    """Make a parser that follows what ``Settings`` says of a field, under the user's label."""

    def parse(label: str, text: str) -> object:
        try:
            value = convert(text)
        except ValueError:
            value = text
        try:
            Settings(**{name: value})  # type: ignore[arg-type] # it checks types itself
        except InvalidValue as error:
            shown = error.value if isinstance(value, tuple) else text  # of many, the one
            raise InvalidValue(label, error.rule, shown) from None
        return value

    return parse


def _flags() -> tuple[_Flag, ...]:
    settings = Settings()
    setting: dict[str, tuple[Callable[[str], object], str]] = {  # name, and how text is read
        "interval": (float, "seconds between two samples, 0.1 to 60"),
        "disk_path": (str, "a path on the file system that the metric 'disk' is about"),
        "history": (float, "seconds of the past that are kept for clients that ask for it"),
        "views": (int, "different views that may be live at once"),
        "queue": (int, "frames held for a client that does not keep up"),
        "stall_timeout": (float, "seconds after which a client that takes nothing is cut off"),
        "max_clients": (int, "clients at once; by default the limit on open files less 256"),
        "max_clients_per_ip": (int, "clients at once from one address, IPv6 by /64"),
        "connect_rate": (str, "how often one address may come, such as 20/second"),
        "allow_host": (_split, "names by which the hub may be called, beside its address"),
        "allow_origin": (_split, "pages that may call it, such as https://example.com; * is any"),
    }
    return (
        _Flag("host", _host, "127.0.0.1", "address to listen on"),
        _Flag("port", _port, 54112, "port to listen on; 0 lets the system choose"),
        *(
            _Flag(name, _setting(name, convert), getattr(settings, name), text)
            for name, (convert, text) in setting.items()
        ),
        _Flag("token_file", _token_file, (), "file of the authenticated feed's tokens"),
        _Flag("trusted_proxies", _proxies, (), "addresses whose X-Forwarded-For is believed"),
        _Flag("drain_seconds", _drain_seconds, 0.0, "seconds over which clients are sent away"),
        _Flag("log_format", _format, "text", f"one of {', '.join(FORMATS)}"),
        _Flag("log_level", _level, "info", f"one of {', '.join(_LEVELS)}"),
        _Flag("access_log", _switch, False, "log every HTTP request and handshake"),
    )


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
    for flag in _flags():
        text = flag.help if flag.default in {None, ()} else f"{flag.help} (default: {flag.default})"
        if flag.default == ():
            parser.add_argument(
                flag.option, action="append", metavar=flag.name.split("_")[-1].upper(), help=text
            )
        elif flag.parse is _switch:
            parser.add_argument(flag.option, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(flag.option, metavar=flag.name.split("_")[-1].upper(), help=text)
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
