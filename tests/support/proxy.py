"""Real proxies in front of a server, configured as hub/docs/operating.md tells operators to."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import pytest

from tests.support.documents import snippet
from tests.support.servers import DEADLINE, PATH, Log

__all__ = [
    "PROXIES",
    "Kind",
    "Proxy",
    "needs",
    "needs_nginx",
    "start_nginx",
    "start_proxy",
]

_NGINX_SERVER: Final = snippet("nginx", "map ")
_CADDY: Final = snippet("caddy", "metrics.example ")
_HAPROXY: Final = snippet("haproxy", "frontend ")

# Relative paths are under the prefix; nginx makes all temporary directories, used or not.
_NGINX: Final = """\
daemon off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
scgi_temp_path scgi;
uwsgi_temp_path uwsgi;
%(more)s
%(server)s
}
"""

# It compresses events, as some operators have it do with everything: what it does not pass on at
# once is then gathered for long.
_QUIET: Final = """\
access_log off;
gzip on;
gzip_types text/event-stream;
"""

# All proxies below write a line for each request that they have taken, and soon let go of a client
# that leaves one incomplete.
_LOGGED: Final = """\
log_format taken "taken $status $request_uri";
access_log /dev/stdout taken;
client_header_timeout 1s;
client_body_timeout 1s;
keepalive_timeout 1s;
"""

_UPSTREAM: Final = """\
upstream hub {
server 127.0.0.1:54112;
keepalive 4;
}
"""

_CADDYFILE: Final = """\
{
    admin off
    auto_https off
    servers {
        timeouts {
            read_header 1s
            read_body 1s
            idle 1s
        }
    }
}
"""

_HAPROXY_CFG: Final = """\
global
    nbthread 1
    log stdout format raw local0
defaults
    log global
    log-format "taken %ST %HU"
    http-reuse always
    timeout http-keep-alive 1s
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A program, and how it is configured."""

    name: str
    file: str
    configuration: str
    """``$PORT`` is where it listens, 54112 the port of the server behind it."""
    arguments: tuple[str, ...]
    ready: str
    """What it writes when it listens."""
    line: str
    """What it writes of a request that it has taken, once that has ended: see ``taken``."""

    def taken(self, status: str = r"-?\d+") -> str:
        """Return the pattern of what it writes, with the request's ``status`` and ``target``."""
        return self.line.replace("$STATUS", f"(?P<status>{status})")

    @property
    def program(self) -> str | None:
        # What users that are not root do not have in their PATH on many systems is found, too.
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
        return shutil.which(self.name, path=path)


def _nginx(more: str, server: str = _NGINX_SERVER) -> Kind:
    server = server.replace("listen 80;", "listen 127.0.0.1:$PORT;")
    return Kind(
        name="nginx",
        file="nginx.conf",
        configuration=_NGINX % {"more": more, "server": server},
        arguments=("-p", ".", "-c", "nginx.conf", "-e", "stderr"),
        ready=r"start worker process \d",
        line=r"^taken $STATUS (?P<target>\S*)",
    )


_PLAIN_NGINX: Final = _nginx(_QUIET)

PROXIES: Final = {
    "nginx": _nginx(_LOGGED),
    "nginx with kept connections": _nginx(
        _LOGGED,
        _UPSTREAM
        + _NGINX_SERVER.replace("''      close", "''      ''").replace(
            "//127.0.0.1:54112", "//hub"
        ),
    ),
    "caddy": Kind(
        name="caddy",
        file="Caddyfile",
        configuration=_CADDYFILE
        + _CADDY.replace("metrics.example {", "http://:$PORT {\n    bind 127.0.0.1\n    log"),
        arguments=("run", "--config", "Caddyfile", "--adapter", "caddyfile"),
        ready="serving initial configuration",
        line=r'"handled request".*"uri":"(?P<target>[^"]*)".*"status":$STATUS',
    ),
    "haproxy": Kind(
        name="haproxy",
        file="haproxy.cfg",
        configuration=_HAPROXY_CFG
        + _HAPROXY.replace("bind :80", "bind 127.0.0.1:$PORT")
        .replace("http-request 5s", "http-request 1s")
        .replace("client 75s", "client 1s"),
        arguments=("-W", "-db", "-f", "haproxy.cfg"),
        ready="Loading success",
        line=r"^taken $STATUS (?P<target>\S*)",
    ),
}


def needs(kind: Kind) -> pytest.MarkDecorator:
    """Skip a test where the program is missing."""
    reason = f"there is no {kind.name} on this system"
    return pytest.mark.skipif(kind.program is None, reason=reason)


needs_nginx = needs(_PLAIN_NGINX)


class Proxy:
    """A proxy in a process group of its own, on a port that was free a moment ago."""

    def __init__(self, kind: Kind, prefix: Path, upstream_port: int) -> None:
        assert kind.program is not None
        self.port = _free_port()
        self._ready = kind.ready
        configuration = kind.configuration.replace("$PORT", str(self.port))
        configuration = configuration.replace(":54112", f":{upstream_port}")
        (prefix / kind.file).write_text(configuration, encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603 # our own arguments
            [kind.program, *kind.arguments],
            cwd=prefix,
            env=os.environ
            | dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(prefix)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.log = Log(self._process.stdout)

    def url(self, path: str = PATH) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_until_it_listens(self) -> None:
        """Wait for what it writes then; fail if it has ended instead."""
        self.log.wait_for(self._ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.terminate()
            self._process.wait(DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(DEADLINE)
            self.log.join()


@contextlib.contextmanager
def start_proxy(kind: Kind, upstream_port: int) -> Iterator[Proxy]:
    """Run a proxy, which takes nothing but a port number, before a server on this machine."""
    with contextlib.ExitStack() as stack:
        for attempts_left in (2, 1, 0):
            prefix = Path(stack.enter_context(TemporaryDirectory(prefix="test-proxy-")))
            proxy = stack.enter_context(Proxy(kind, prefix, upstream_port))
            try:
                proxy.wait_until_it_listens()
            except AssertionError:
                if not attempts_left:
                    raise
            else:
                break
        yield proxy


def start_nginx(upstream_port: int) -> contextlib.AbstractContextManager[Proxy]:
    """Run nginx as an operator may have it who compresses everything."""
    return start_proxy(_PLAIN_NGINX, upstream_port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
