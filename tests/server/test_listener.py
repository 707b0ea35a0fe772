from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hub.server.listener import listen


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(
    opened: ExitStack, host: str = "127.0.0.1", *, stall_timeout: float = 20
) -> list[socket.socket]:
    return [opened.enter_context(s) for s in listen(host, 0, stall_timeout=stall_timeout)]


def option(sock: socket.socket, name: str) -> int:
    if not hasattr(socket, name):
        pytest.skip(f"the platform has no {name}")
    return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def taken(sock: socket.socket) -> int:
    """Write small frames until the kernel takes no more; return how many bytes it took."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while total < 1 << 20:
            total += sock.send(b"x" * 100)
    return total


def has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_the_system_chooses_port_0(opened: ExitStack) -> None:
    (listener,) = listening(opened)
    host, port = listener.getsockname()
    assert (host, port > 0) == ("127.0.0.1", True)


def test_a_client_can_connect_at_once(opened: ExitStack) -> None:
    (listener,) = listening(opened)
    with socket.create_connection(listener.getsockname(), timeout=10) as client:
        accepted, address = listener.accept()
        with accepted:
            assert address == client.getsockname()


def test_waiting_for_a_client_does_not_block(opened: ExitStack) -> None:
    (listener,) = listening(opened)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_what_a_stalled_client_piles_up_is_bounded_on_every_connection(opened: ExitStack) -> None:
    (listener,) = listening(opened, stall_timeout=7.5)
    with socket.create_connection(listener.getsockname(), timeout=10):
        accepted, _ = listener.accept()
        with accepted:
            # The kernel doubles what it is asked for.
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 16 * 1024
            assert option(accepted, "TCP_NODELAY") == 1
            assert option(accepted, "TCP_NOTSENT_LOWAT") == 4096
            assert option(accepted, "TCP_USER_TIMEOUT") == 7500


def test_a_stalled_client_takes_the_kernel_only_tens_of_kilobytes(opened: ExitStack) -> None:
    (listener,) = listening(opened)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(False)
            assert taken(accepted) < 100_000


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
def test_an_ipv6_address_is_listened_on_alone(opened: ExitStack) -> None:
    (listener,) = listening(opened, "::1")
    assert listener.family is socket.AF_INET6
    assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    with socket.create_connection(listener.getsockname()[:2], timeout=10):
        pass


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
def test_every_address_of_a_name_is_listened_on(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [_info("127.0.0.1"), _info("::1"), _info("127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    found = listening(opened, "both.example")
    assert [s.family for s in found] == [socket.AF_INET, socket.AF_INET6]


def test_a_port_that_was_just_in_use_can_be_had_again(opened: ExitStack) -> None:
    (listener,) = listening(opened)
    port: int = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        accepted, _ = listener.accept()
        accepted.close()  # this end first: its address lingers in TIME_WAIT
    listener.close()
    (again,) = listen("127.0.0.1", port, stall_timeout=20)
    again.close()


def test_a_port_in_use_is_an_error(opened: ExitStack) -> None:
    (listener,) = listening(opened)
    with pytest.raises(OSError, match="Address already in use"):
        listen("127.0.0.1", listener.getsockname()[1], stall_timeout=20)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        listen("no-such-host.invalid", 0, stall_timeout=20)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_nothing_stays_open_where_one_address_of_several_fails(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    (taken,) = listening(opened)
    free = _info("127.0.0.1")
    used = (*free[:4], taken.getsockname())
    made: list[socket.socket] = []

    class Watched(socket.socket):
        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [free, used])
    monkeypatch.setattr(socket, "socket", Watched)
    with pytest.raises(OSError, match="Address already in use"):
        listen("both.example", 0, stall_timeout=20)
    assert [s.fileno() for s in made] == [-1, -1]
    gc.collect()


Info = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str | int, ...]]


def _info(address: str) -> Info:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    name = (address, 0, 0, 0) if ":" in address else (address, 0)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", name
