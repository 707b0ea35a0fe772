"""A real nginx in front of a server, configured as README.md tells operators to."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import pytest

from tests.support.servers import DEADLINE, PATH, Log

__all__ = ["LOCATION", "MAP", "Nginx", "needs_nginx", "start_nginx"]

# Outside of what users that are not root have in their PATH on many systems.
_NGINX: Final = shutil.which(
    "nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
)

needs_nginx = pytest.mark.skipif(_NGINX is None, reason="there is no nginx on this system")

MAP: Final = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      close;
}
"""

LOCATION: Final = """\
location ~ ^/($|static/|openapi\\.json$|api/system/) {
    proxy_pass http://127.0.0.1:54112;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 75s;
}
"""

# Relative paths are under the prefix; nginx makes all temporary directories, used or not. It
# compresses events, as some operators have it do with everything: what it does not pass on at
# once is then gathered for long.
_CONFIGURATION: Final = """\
daemon off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
access_log off;
gzip on;
gzip_types text/event-stream;
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
scgi_temp_path scgi;
uwsgi_temp_path uwsgi;
%(map)s
server {
listen 127.0.0.1:%(port)d;
%(location)s
location / { return 404; }
}
}
"""


class Nginx:
    """nginx in a process group of its own, on a port that was free a moment ago."""

    def __init__(self, prefix: Path, upstream_port: int) -> None:
        assert _NGINX is not None
        self.port = _free_port()
        location = LOCATION.replace(":54112", f":{upstream_port}")
        values = {"map": MAP, "port": self.port, "location": location}
        (prefix / "nginx.conf").write_text(_CONFIGURATION % values)
        self._process = subprocess.Popen(  # noqa: S603 # our own arguments
            [_NGINX, "-p", str(prefix), "-c", "nginx.conf", "-e", "stderr"],
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
        """Wait for its worker, which it starts when it listens; fail if it has ended instead."""
        self.log.wait_for(r"start worker process \d")

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
def start_nginx(upstream_port: int) -> Iterator[Nginx]:
    """Run nginx, which takes nothing but a port number, before a server on this machine."""
    with contextlib.ExitStack() as stack:
        for attempts_left in (2, 1, 0):
            prefix = Path(stack.enter_context(TemporaryDirectory(prefix="test-nginx-")))
            nginx = stack.enter_context(Nginx(prefix, upstream_port))
            try:
                nginx.wait_until_it_listens()
            except AssertionError:
                if not attempts_left:
                    raise
            else:
                break
        yield nginx


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
