"""Asking a hub what machine it is on and what it offers, and choosing what to follow by that."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.watch.families import Families
from hub.cli.watch.machine import Machine, ask_machine
from tests.support.servers import start_hub

INFO: Final = {
    "name": "web-7",
    "system": "Linux",
    "kernel": "6.1.0",
    "cores": 64,
    "memory": 270_000_000_000,
    "boot_time": "2025-11-01T05:00:00+00:00",
    "version": "0.1",
    "families": ["cpu", "memory", "queue_depth"],
}


def response(body: bytes, head: str = "HTTP/1.1 200 OK") -> bytes:
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Server:
    """A server that answers each request with some bytes, and remembers the requests."""

    def __init__(self, answer: bytes, *, closes: bool = True) -> None:
        self._answer = answer
        self._closes = closes
        self.requests: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        if not self._closes:
            await reader.read()  # until the client goes
        writer.close()

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0, ssl=context)
        scheme = "ws" if context is None else "wss"
        async with server:
            yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(answer: bytes) -> Machine | None:
    async with Server(answer).running() as url:
        return await ask_machine(url)


async def test_a_hub_tells_what_machine_it_is_on() -> None:
    server = Server(response(json.dumps(INFO).encode()))
    async with server.running() as url:
        machine = await ask_machine(f"{url}/monitor/ü")
    assert machine == Machine(
        "web-7",
        "Linux 6.1.0",
        64,
        datetime(2025, 11, 1, 5, tzinfo=UTC),
        ("cpu", "memory", "queue_depth"),
    )
    (request,) = server.requests
    assert request.startswith(b"GET /monitor/%C3%BC/api/system/info HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Connection: close\r\n" in request


async def test_an_answer_in_chunks_is_an_answer() -> None:
    body = json.dumps({"name": "web-7"}).encode()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    machine = await asked(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert machine == Machine("web-7")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 60_000,
        response(b"[]"),
        response(b'{"cores":NaN}'),
        response(b"{}", "HTTP/1.1 404 Not Found"),
        response(b"{}", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/"),
        response(b"{" + b" " * 70_000 + b"}"),
    ],
    ids=lambda answer: repr(answer[:40]),
)
async def test_what_is_no_answer_is_none(answer: bytes) -> None:
    assert await asked(answer) is None


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_hub_behind_tls_is_asked_by_tls_and_only_if_it_is_trusted(
    trusted: bool,  # noqa: FBT001 # parametrized
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority, file = trustme.CA(), tmp_path / "authority.pem"
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Server(response(b'{"name":"web-7"}')).running(context) as url:
        machine = await ask_machine(url)
    assert machine == (Machine("web-7") if trusted else None)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "ws://a..b", "wss://127.0.0.1:1"])
async def test_where_nobody_answers_there_is_none(url: str) -> None:
    assert await ask_machine(url) is None


async def test_no_answer_is_not_waited_for_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.cli.watch.machine._SECONDS", 0.05)
    async with Server(b"HTTP/1.1 200 OK\r\n", closes=False).running() as url:
        assert await ask_machine(url) is None


ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**99), 10**99) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*INFO]), ANYTHING))
def test_whatever_a_server_says_of_its_machine_is_read(content: dict[str, Any]) -> None:
    machine = Machine.read(json.dumps(content).encode())
    assert 0 <= machine.cores <= 65536
    assert all(name.isascii() and name.isprintable() for name in machine.families)


def test_names_that_cannot_be_families_are_passed_over() -> None:
    names = ["cpu", "", 1, None, "\ud800", "a\nb", "x" * 101, "é", ["cpu"], *["memory"] * 200]
    machine = Machine.read(json.dumps({"families": names}).encode())
    assert machine.families[0] == "cpu"
    assert set(machine.families) == {"cpu", "memory"}
    assert len(machine.families) <= 100


# What to follow


class Hub:
    """A hub that tells what it offers, or does not, and accepts some families."""

    def __init__(self, *families: str) -> None:
        self._families = families
        self.asked = 0

    async def __call__(self) -> Machine | None:
        self.asked += 1
        return Machine(families=self._families) if self._families else None


async def choices(families: Families, count: int) -> list[str]:
    found = []
    for _ in range(count):
        found.append(await families.choose())
        families.refuse()
    return found


async def test_all_that_a_hub_offers_is_followed() -> None:
    families = Families(Hub("cpu", "gpu", "queue_depth"))
    assert await choices(families, 3) == ["cpu,gpu,queue_depth", "", ""]


async def test_what_needs_a_token_is_followed_with_one() -> None:
    families = Families(Hub("cpu", "gpu"), restricted=True)
    assert await choices(families, 3) == ["cpu,gpu,processes", "cpu,gpu", ""]


async def test_a_hub_that_does_not_tell_is_asked_for_what_hubs_offer() -> None:
    most, all_, before, none = await choices(Families(Hub()), 4)
    assert most == f"{all_},gpu"
    assert "cpu_times" in all_.split(",")
    assert before.split(",")[:4] == ["cpu", "memory", "disk", "swap"]
    assert "cpu_times" not in before.split(",")
    assert none == ""


async def test_it_is_asked_anew_for_each_connection() -> None:
    hub = Hub("cpu")
    families = Families(hub)
    await choices(families, 2)
    families.accept()
    assert await families.choose() == "cpu"
    assert hub.asked == 3


@pytest.mark.parametrize("flags", [[], ["--no-identity"]])
async def test_a_real_hub_tells_or_does_not(flags: list[str]) -> None:
    with start_hub(*flags) as server:
        machine = await ask_machine(f"ws://127.0.0.1:{server.port}")
    if flags:
        assert machine is None
    else:
        assert machine is not None
        assert machine.name
        assert machine.cores > 0
        assert machine.boot_time is not None
        assert {"cpu", "uptime", "disks_bytes"} <= set(machine.families)
        assert "processes" not in machine.families
