"""The listening sockets, with the options that every accepted connection inherits."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any, Final

__all__ = ["limit_kernel_buffers", "listen", "listen_again"]

_BACKLOG: Final = 4096  # the kernel lowers it to net.core.somaxconn
_SEND_BUFFER: Final = 16 * 1024  # bytes; the kernel doubles it, for its own bookkeeping
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_NOT_SENT: Final = 4 * 1024  # bytes not yet on their way before the socket counts as full


def listen(
    host: str, port: int, *, stall_timeout: float, shared: bool = False
) -> list[socket.socket]:
    """Open a listening socket for every address of ``host``.

    Args:
        host: a name or an address.
        port: 0 lets the system choose.
        stall_timeout: seconds after which a peer that takes nothing is given up; see
            ``limit_kernel_buffers``.
        shared: whether further sockets of this process may listen on the same addresses.

    Raises:
        OSError: the name is unknown, or an address cannot be bound; none is left open. An
            address that this machine does not have is no error if the name has another one.
        UnicodeError: the name cannot be one of a host.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    with contextlib.ExitStack() as opened:
        for family, _, _, _, address in dict.fromkeys(infos):
            try:
                listeners.append(_open(family, address, stall_timeout, shared=shared))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
            else:
                opened.enter_context(listeners[-1])
        if absent is not None and not listeners:
            raise absent
        opened.pop_all()
    return listeners


def listen_again(listener: socket.socket, *, stall_timeout: float) -> socket.socket:
    """Open one more socket on the address of one that was opened as ``shared``.

    The kernel gives each new connection to one of them, by its addresses and ports.
    """
    return _open(listener.family, listener.getsockname(), stall_timeout, shared=True)


def _open(
    family: int, address: tuple[Any, ...], stall_timeout: float, *, shared: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        _configure(listener)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        limit_kernel_buffers(listener, stall_timeout)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _configure(listener: socket.socket) -> None:
    listener.setblocking(False)
    if os.name == "posix":  # elsewhere it would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def limit_kernel_buffers(sock: socket.socket, stall_timeout: float) -> None:
    """Bound what the kernel keeps for a peer that takes nothing, and for how long.

    Small messages are gathered in the kernel without the program seeing that none is taken, so
    that only the kernel can tell in time. Where the platform can, it is told to keep little,
    and to give the connection up when nothing is acknowledged, or the peer's window stays
    closed, for ``stall_timeout`` seconds. On a listening socket this holds for every
    connection that is accepted from then on; sockets other than TCP's have only the first.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    for option, value in (
        ("TCP_NOTSENT_LOWAT", _NOT_SENT),
        ("TCP_USER_TIMEOUT", int(stall_timeout * 1000)),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
