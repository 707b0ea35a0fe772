"""The flags of the command line, each of which is also an environment variable."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from hub.access.host_policy import check_host
from hub.cli.logs import FORMATS, LEVELS
from hub.errors import InvalidValue
from hub.settings import RELATIVE_TO, Settings
from hub.text import one_line

__all__ = [
    "Flag", "Parser", "fail", "flags", "read_tokens", "resolve", "switch", "usable_cores",
]  # fmt: skip

_TOKENS: Final = "HUB_TOKENS"
"""The variable that holds tokens themselves. A flag would show them in the list of processes."""

_MOST_WORKERS: Final = 256

_SWITCH: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, which is also an environment variable: ``--log-level`` is ``HUB_LOG_LEVEL``.

    ``parse`` is given the label under which the user knows the flag, and the text. ``prefix``
    begins the variable's name.
    """

    name: str
    parse: Callable[[str, str], object]
    default: object
    help: str
    prefix: str = "HUB_"

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return self.prefix + self.name.upper()

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


class Parser(argparse.ArgumentParser):
    """A parser of a command line whose errors are one line each, without the usage."""

    def add_flags(self, flags: Iterable[Flag]) -> None:
        """Accept these flags; a flag that is not given is None."""
        for flag in flags:
            shown = "" if flag.default in {None, ()} else f" (default: {flag.default})"
            options: dict[str, Any] = {"help": flag.help + shown}
            if flag.parse is switch:
                options["action"] = argparse.BooleanOptionalAction
            else:
                options["metavar"] = flag.name.split("_")[-1].upper()
            if flag.default == ():
                options["action"] = "append"
            self.add_argument(flag.option, **options)

    def error(self, message: str) -> NoReturn:
        """End the process with one line and status 2."""
        self.exit(fail(self.prog, message, status=2))


def fail(program: str, message: str, *, status: int) -> int:
    """Write in one line on standard error why a program ends; return its exit status."""
    sys.stderr.write(one_line(f"{program}: {message}", 300) + "\n")
    return status


def resolve(given: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of every flag by its name, and under ``tokens`` those of all sources.

    Args:
        given: values of the command line by a flag's name; None where it is not given.
        environ: the environment.

    Raises:
        InvalidValue: a value breaks its flag's rule.
    """
    options: dict[str, Any] = {
        flag.name: flag.resolve(given[flag.name], environ) for flag in flags()
    }
    options["tokens"] = (*options["token_file"], *_tokens(environ.get(_TOKENS, "")))
    options["allow_host"] = (*options["allow_host"], *_own_name(options["host"]))
    return options


def _own_name(host: str) -> tuple[str, ...]:
    """Return the name that the hub is bound to, unless it is an address: clients may use it."""
    try:
        return () if _is_address(host) else (check_host("--host", host),)
    except InvalidValue:  # it cannot be listened on either, which is its own error later
        return ()


def _tokens(text: str) -> tuple[str, ...]:
    tokens = tuple(_split(text.replace("\n", ",")))
    _check_tokens(_TOKENS, tokens, "tokens, separated by commas")
    return tokens


def _check_tokens(label: str, tokens: Sequence[str], what: str) -> None:
    """Apply the rule of ``Settings`` for tokens; the error does not repeat the token."""
    for position, token in enumerate(tokens, 1):
        try:
            Settings(tokens=(token,))
        except InvalidValue as error:
            rule = f"{what}, of which each is {error.rule}"
            raise InvalidValue(label, rule, f"number {position}") from None


def read_tokens(label: str, text: str) -> tuple[str, ...]:
    """Read a file of tokens, one in each line.

    Raises:
        InvalidValue: there are none, or the file cannot be read.
    """
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "it is not text"
        raise InvalidValue(label, f"a file that can be read ({cause})", text) from None
    tokens = [token for line in lines if (token := line.strip()) and not token.startswith("#")]
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


def _one_of(words: Sequence[str]) -> Callable[[str, str], str]:
    def parse(label: str, text: str) -> str:
        if text.lower() not in words:
            raise InvalidValue(label, f"one of {', '.join(words)}", text)
        return text.lower()

    return parse


def _host(label: str, text: str) -> str:
    if not text or text.strip() != text:
        raise InvalidValue(label, "a host name or address", text)
    return text


def _workers(label: str, text: str) -> int:
    if text == "auto":
        count = usable_cores()
    else:
        count = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
    if sys.platform == "win32" and count > 1:
        raise InvalidValue(label, "1, as this system cannot share a port", text)
    if not 1 <= count <= _MOST_WORKERS:
        raise InvalidValue(label, f"a whole number from 1 to {_MOST_WORKERS}, or auto", text)
    return count


def usable_cores() -> int:
    """Return on how many cores this process may run; where several cannot share, it is one."""
    if sys.platform == "win32":
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _port(label: str, text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not 0 <= port <= 65535:
        raise InvalidValue(label, "a whole number from 0 to 65535", text)
    return port


def switch(label: str, text: str) -> bool:
    """Read a switch.

    Raises:
        InvalidValue: the text is neither yes nor no.
    """
    if text.lower() not in _SWITCH:
        raise InvalidValue(label, f"one of {', '.join(_SWITCH)}", text)
    return _SWITCH[text.lower()]


def _setting(name: str, convert: Callable[[str], object]) -> Callable[[str, str], object]:
    """Make a parser that applies the rule of ``Settings`` for a field, under the user's label."""

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


def flags() -> tuple[Flag, ...]:
    """Return all flags, in the order in which they are shown."""
    defaults = Settings()
    # By name: how its text is read, and the help.
    setting: dict[str, tuple[Callable[[str], object], str]] = {
        "interval": (float, "seconds between two samples, 0.1 to 60"),
        "disk_path": (str, "a path on the file system that 'disk' measures"),
        "history": (float, "seconds of history to keep in memory"),
        "history_bytes": (int, "bytes of memory for the history; when full, it loses its oldest"),
        "devices": (_split, "members of families to show, such as network:eth*,!docker*"),
        "name": (str, "what the machine is called; by default its own name"),
        "relative_to": (str, f"what 100 percent of cpu and memory is: {', '.join(RELATIVE_TO)}"),
        "views": (int, "how many different views clients may follow at the same time"),
        "queue": (int, "messages held for a slow client; then its oldest are dropped"),
        "stall_timeout": (float, "seconds after which a client that reads nothing is cut off"),
        "max_clients": (int, "clients at the same time; by default the open files limit less 256"),
        "max_clients_per_ip": (int, "clients at the same time from one address (IPv6: one /64)"),
        "connect_rate": (str, "how often one address may connect to the feed, such as 20/second"),
        "allow_host": (_split, "host names by which to call the hub, besides its address"),
        "allow_origin": (_split, "pages that may use it, such as https://example.com; * is any"),
    }
    return (
        Flag("host", _host, "127.0.0.1", "address to listen on"),
        Flag("port", _port, 54112, "port to listen on; 0 lets the system choose"),
        *(
            Flag(name, _setting(name, convert), getattr(defaults, name), text)
            for name, (convert, text) in setting.items()
        ),
        Flag("identity", switch, True, "describe this machine at /api/system/info"),
        Flag("compression", switch, True, "compress large messages for clients that offer it"),
        Flag("token_file", read_tokens, (), "file of the authenticated feed's tokens"),
        Flag("workers", _workers, 1, "processes that serve clients; auto is one for each core"),
        Flag("trusted_proxies", _proxies, (), "proxies whose X-Forwarded-For is trusted"),
        Flag("drain_seconds", _drain_seconds, 0.0, "seconds over which to disconnect clients"),
        Flag("log_format", _one_of(FORMATS), "text", f"one of {', '.join(FORMATS)}"),
        Flag("log_level", _one_of(LEVELS), "info", f"one of {', '.join(LEVELS)}"),
        Flag("access_log", switch, False, "log every HTTP request and handshake"),
    )
