"""A request's target in absolute form is judged by the host that it names (RFC 9112, 3.2.2)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.server.test_http_body import spoken
from tests.support.clients import handshake
from tests.support.entry import Entry
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub


def request(target: str, *hosts: str, version: str = "1.1") -> bytes:
    headers = "".join(f"Host: {host}\r\n" for host in hosts)
    return f"GET {target} HTTP/{version}\r\n{headers}\r\n".encode()


SAME: Final = {
    "with a path": ("http://localhost/livez", "localhost", "/livez", b""),
    "with a query": ("http://localhost/livez?a=b", "localhost", "/livez", b"a=b"),
    "with a port": ("http://localhost:54112/livez", "localhost:54112", "/livez", b""),
    "without a path": ("http://localhost", "localhost", "/", b""),
    "with nothing but a query": ("http://localhost?a=/b", "localhost", "/", b"a=/b"),
    "in capitals": ("HTTP://LOCALHOST/livez", "localhost", "/livez", b""),
    "of an address": ("http://[::1]:80/livez", "[::1]:80", "/livez", b""),
    "with a URL as its path": ("http://localhost/http://a/", "localhost", "/http://a/", b""),
    "of another host": ("http://other.example/livez", "other.example", "/livez", b""),
    "encrypted": ("https://localhost/livez", "localhost", "/livez", b""),
}


@pytest.mark.parametrize(("target", "host", "path", "query"), SAME.values(), ids=SAME)
def test_what_is_judged_is_the_host_of_the_target(
    entry: Entry, target: str, host: str, path: str, query: bytes
) -> None:
    transport = entry.connect()
    transport.receive(request(target, host))
    assert spoken(transport).statuses == [200]
    (scope,) = entry.scopes
    assert (scope["path"], scope["raw_path"]) == (path, path.encode())
    assert scope["query_string"] == query
    assert scope["headers"] == [(b"host", host.encode())]


@pytest.mark.parametrize(("target", "host", "path", "query"), SAME.values(), ids=SAME)
def test_of_a_handshake_as_well(
    entry: Entry, target: str, host: str, path: str, query: bytes
) -> None:
    transport = entry.connect()
    head = handshake(target).replace(b"Host: 127.0.0.1", f"Host: {host}".encode())
    transport.receive(head)
    (handed,) = entry.switched
    whole = path + ("?" + query.decode() if query else "")
    assert handed.splitlines()[:2] == [f"GET {whole} HTTP/1.1".encode(), f"host: {host}".encode()]


REFUSED: Final = {
    "another host": ("http://other.example/livez", "localhost"),
    "another port": ("http://localhost:80/livez", "localhost:81"),
    "a port and none": ("http://localhost:80/livez", "localhost"),
    "no host": ("http:///livez", ""),
    "a user": ("http://me@localhost/livez", "localhost"),
    "a user who looks like a host": ("http://localhost:80@other.example/", "localhost:80"),
    "another scheme": ("ftp://localhost/livez", "localhost"),
    "the scheme of a WebSocket": ("ws://localhost/livez", "localhost"),
    "a fragment": ("http://localhost/livez#x", "localhost"),
    "a fragment instead of a path": ("http://localhost#x", "localhost"),
    "no scheme": ("localhost/livez", "localhost"),
    "an authority alone": ("localhost:80", "localhost:80"),
    "one slash": ("http:/localhost/livez", "localhost"),
}


@pytest.mark.parametrize(("target", "host"), REFUSED.values(), ids=REFUSED)
def test_a_mismatch_and_nonsense_are_refused(entry: Entry, target: str, host: str) -> None:
    for head in (
        request(target, host),
        handshake(target).replace(b"Host: 127.0.0.1", f"Host: {host}".encode()),
    ):
        transport = entry.connect()
        transport.receive(head)
        assert spoken(transport).statuses == [400]
        assert transport.is_closing()
    assert entry.served == []
    assert entry.switched == []


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("other.example", "localhost")])
def test_there_is_one_host(entry: Entry, hosts: tuple[str, ...]) -> None:
    transport = entry.connect()
    transport.receive(request("http://localhost/livez", *hosts))
    assert spoken(transport).statuses == [400]


def test_an_older_client_need_not_name_it_twice(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request("http://localhost/livez", version="1.0"))
    assert spoken(transport).statuses == [200]
    assert entry.scopes[0]["headers"] == [(b"host", b"localhost")]


@pytest.mark.parametrize("target", ["//other.example/livez", "/livez?http://other.example/"])
def test_a_target_that_begins_with_a_slash_is_a_path(entry: Entry, target: str) -> None:
    transport = entry.connect()
    transport.receive(request(target, "localhost"))
    assert entry.scopes[0]["path"] == target.partition("?")[0]


def test_a_server_as_a_whole_may_be_meant(entry: Entry) -> None:
    transport = entry.connect()
    transport.receive(request("*", "localhost").replace(b"GET", b"OPTIONS"))
    assert entry.served == [("OPTIONS", "*")]


# At a hub


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub() as server:
        yield server


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("http://localhost/livez", "localhost", 200),
        ("http://127.0.0.1/livez", "127.0.0.1", 200),
        ("http://localhost/nothing", "localhost", 404),
        (f"http://other.example{PATH}", "other.example", 403),
        ("http://other.example/livez", "localhost", 400),
        ("http://localhost/livez", "other.example", 400),
        ("*", "localhost", 404),
    ],
)
def test_a_hub_answers(server: ServerProcess, target: str, host: str, expected: int) -> None:
    assert status(server, request(target, host)) == expected


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (f"http://localhost{PATH}", "localhost", 101),
        (f"http://other.example{PATH}", "other.example", 403),
        (f"http://other.example{PATH}", "localhost", 400),
    ],
)
def test_a_hub_opens(server: ServerProcess, target: str, host: str, expected: int) -> None:
    head = handshake(target).replace(b"Host: 127.0.0.1", f"Host: {host}".encode())
    assert status(server, head) == expected


def status(server: ServerProcess, head: bytes) -> int:
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        sock.sendall(head)
        read = b""
        while b"\r\n\r\n" not in read:
            more = sock.recv(4096)
            assert more, read
            read += more
    return int(read.split()[1])
