"""Another host, in a network namespace of this machine's, that can vanish without a word."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

__all__ = ["Host", "another_host", "needs_hosts"]

_IP: Final = shutil.which("ip") or ""

needs_hosts = pytest.mark.skipif(
    not _IP or os.geteuid() != 0, reason="network namespaces take root and iproute2"
)


@dataclass(frozen=True, slots=True)
class Host:
    """Another host.

    Attributes:
        namespace: its name.
        here: this machine's address on the link between the two.
    """

    namespace: str
    here: str

    @property
    def command(self) -> Sequence[str]:
        """What a command begins with that is to be run there."""
        return (_IP, "netns", "exec", self.namespace)

    def vanish(self) -> None:
        """Cut the link: from now on nothing that is sent there is answered."""
        _ip("-n", self.namespace, "link", "set", "there", "down")


@contextmanager
def another_host() -> Iterator[Host]:
    """Make a host with a link to this one; it is gone afterwards. Skips where that is forbidden."""
    number = os.getpid()
    name, link = f"hub-{number}", f"hub{number}"
    net = f"10.{200 + number % 50}.{number // 50 % 250}"
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces cannot be made here")
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", "there", "netns", name)
        _ip("addr", "add", f"{net}.1/24", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", name, "addr", "add", f"{net}.2/24", "dev", "there")
        _ip("-n", name, "link", "set", "there", "up")
        yield Host(name, f"{net}.1")
    finally:
        _ip("netns", "del", name)  # and the link with it


def _ip(*arguments: str) -> None:
    subprocess.run([_IP, *arguments], check=True, capture_output=True)  # noqa: S603 # our own
