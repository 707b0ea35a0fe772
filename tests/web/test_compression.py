"""What is sent compressed: to whom, once, and under a tag of its own."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp

from hub import Hub, Settings, create_app
from hub.web import compression
from hub.web.compression import accepts_gzip, compress
from hub.web.document import Documents
from hub.web.page import Page, _Files

GZIPPED: Final = ("/", "/static/page.js", "/static/page.css", "/openapi.json", "/asyncapi.json")
BOTH: Final = pytest.mark.parametrize("path", GZIPPED)


@asynccontextmanager
async def visiting(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """Ask an application without a server between."""
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with visiting(create_app(hub=Hub(Settings()))) as http:
        yield http


async def raw(
    http: httpx2.AsyncClient, path: str, accept: str = "gzip", method: str = "GET", **headers: str
) -> tuple[httpx2.Response, bytes]:
    """Return an answer and its body as it was sent."""
    headers = {"Accept-Encoding": accept, **headers}
    async with http.stream(method, path, headers=headers) as response:
        return response, b"".join([piece async for piece in response.aiter_raw()])


# Who takes it


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br, GZip ; q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("deflate, *;q=0.1", True),
        ("identity, gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=nan", False),
        ("gzip;q=2", False),
        ("gzip;level=9", False),
        ("not gzip", False),
    ],
)
def test_who_takes_gzip_is_told_by_the_weights(accepted: str, taken: bool) -> None:  # noqa: FBT001 # a parameter of the test
    assert accepts_gzip(Headers({"Accept-Encoding": accepted})) == taken


def test_who_says_nothing_takes_nothing() -> None:
    assert not accepts_gzip(Headers({}))


def test_several_lines_are_one_list() -> None:
    lines = [(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")]
    assert accepts_gzip(Headers(raw=lines))


@given(
    st.text(st.characters(max_codepoint=255))
    | st.from_regex(r"([a-z*]+;q=[0-9.]+,?)*", fullmatch=True)
)
def test_no_header_breaks_it_and_what_forbids_gzip_holds(accepted: str) -> None:
    accepts_gzip(Headers({"Accept-Encoding": accepted}))
    assert not accepts_gzip(Headers({"Accept-Encoding": f"{accepted},gzip;q=0"}))


# What is worth it


@given(st.binary(max_size=4000))
def test_what_is_compressed_is_shorter_and_the_same(body: bytes) -> None:
    compressed = compress(body)
    assert compressed is None or (
        len(compressed) < len(body) and gzip.decompress(compressed) == body
    )


def test_what_is_small_or_gains_nothing_stays_plain() -> None:
    assert compress(b"a" * 400) is None
    assert compress(os.urandom(4000)) is None
    assert compress(b"a" * 4000) == compress(b"a" * 4000)


async def test_small_files_go_plain(http: httpx2.AsyncClient) -> None:
    response, body = await raw(http, "/static/icon.svg")
    assert "content-encoding" not in response.headers
    assert body.startswith(b"<svg")


# The two forms of an answer


@BOTH
async def test_it_is_sent_in_the_form_that_the_client_takes(
    http: httpx2.AsyncClient, path: str
) -> None:
    zipped, small = await raw(http, path)
    plain, large = await raw(http, path, "gzip;q=0")
    assert gzip.decompress(small) == large
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-length"] == str(len(small))
    assert plain.headers["content-length"] == str(len(large))
    assert zipped.headers["etag"] != plain.headers["etag"]
    kept = ("content-type", "cache-control", "vary", "last-modified", "content-security-policy")
    for name in kept:
        assert zipped.headers.get(name) == plain.headers.get(name)
    assert zipped.headers["vary"] == "Accept-Encoding"
    assert zipped.headers["cache-control"] == "no-cache"


@BOTH
@pytest.mark.parametrize("accept", ["gzip", "identity"])
async def test_a_head_request_has_the_headers_of_the_form(
    http: httpx2.AsyncClient, path: str, accept: str
) -> None:
    asked, _ = await raw(http, path, accept)
    head, _ = await raw(http, path, accept, method="HEAD")
    assert dict(head.headers) == dict(asked.headers)


@BOTH
async def test_each_form_is_not_sent_again_to_who_has_it(
    http: httpx2.AsyncClient, path: str
) -> None:
    tags = {accept: (await raw(http, path, accept))[0].headers["etag"] for accept in ("gzip", "br")}
    for accept, tag in tags.items():
        (other,) = set(tags.values()) - {tag}
        for wanted, status in ((tag, 304), (f"W/{tag}", 304), ("*", 304), (other, 200)):
            again, body = await raw(http, path, accept, **{"If-None-Match": wanted})
            assert again.status_code == status
            assert again.headers["etag"] == tag
            assert again.headers["vary"] == "Accept-Encoding"
            assert bool(body) == (status == 200)


async def test_what_has_not_changed_since_a_date_is_not_sent_again(
    http: httpx2.AsyncClient,
) -> None:
    first, _ = await raw(http, "/static/page.js")
    since = {"If-Modified-Since": first.headers["last-modified"]}
    again, body = await raw(http, "/static/page.js", **since)
    assert (again.status_code, body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_part_is_one_of_the_plain_form(http: httpx2.AsyncClient) -> None:
    _, whole = await raw(http, "/static/page.js", "identity")
    part, body = await raw(http, "/static/page.js", Range="bytes=10-29")
    assert (part.status_code, body) == (206, whole[10:30])
    assert "content-encoding" not in part.headers
    assert part.headers["content-range"] == f"bytes 10-29/{len(whole)}"
    zipped, _ = await raw(http, "/static/page.js")
    assert "accept-ranges" not in zipped.headers
    stale = {"Range": "bytes=10-29", "If-Range": zipped.headers["etag"]}
    other, body = await raw(http, "/static/page.js", **stale)
    assert (other.status_code, body) == (200, whole)


async def test_a_page_of_another_origin_is_named_beside_the_coding() -> None:
    hub = Hub(Settings(allow_origin=("https://dash.example",)))
    async with visiting(create_app(hub=hub)) as http:
        response, _ = await raw(http, "/static/metrics-feed.js", Origin="https://dash.example")
    assert response.headers["vary"] == "Accept-Encoding, Origin"


# Once


class Counted:
    """Counts how often something is compressed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies: list[bytes] = []
        for place in ("hub.web.page.compress", "hub.web.document.compress"):
            monkeypatch.setattr(place, self)

    def __call__(self, body: bytes) -> bytes | None:
        self.bodies.append(body)
        return compression.compress(body)


async def test_each_is_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    async with visiting(create_app(hub=Hub(Settings()))) as http:
        for _ in range(3):
            for path in GZIPPED:
                await raw(http, path)
    assert len(counted.bodies) == len(set(counted.bodies)) == len(GZIPPED)


def test_documents_under_many_names_take_no_more_room() -> None:
    documents = Documents()
    request = Request({"type": "http", "headers": [(b"accept-encoding", b"gzip")]})
    for number in range(1000):
        text = f"host{number}.example " * 100
        response = documents.answer(request, {"host": text})
        assert text.encode() in gzip.decompress(bytes(response.body))
    assert documents._compressed.cache_info().currsize < 10


async def test_a_changed_file_is_compressed_anew(tmp_path: Path) -> None:
    file = tmp_path / "page.js"
    async with visiting(_Files(tmp_path, {})) as http:
        tags: list[str] = []
        for text in (b"first " * 200, b"other " * 200, b"longer " * 200):
            file.write_bytes(text)
            os.utime(file, ns=(0, len(tags) * 10**9))
            response, body = await raw(http, "/page.js")
            assert gzip.decompress(body) == text
            tags.append(response.headers["etag"])
    assert len(set(tags)) == 3


async def test_the_files_take_no_more_room_whatever_is_asked_for() -> None:
    files = Page().static
    assert isinstance(files, _Files)
    async with visiting(Starlette(routes=[Mount("/", files)])) as http:
        for path in ("/page.js", "/./page.js", "/nothing.js", "/", "/x/../page.js", "/%00"):
            await raw(http, path)
    assert len(files._compressed) == 1


async def test_beside_a_host_s_own_compression_nothing_is_compressed_twice() -> None:
    app = Starlette(
        routes=[Mount("/monitor", create_app(hub=Hub(Settings())))],
        middleware=[Middleware(GZipMiddleware, minimum_size=10)],
    )
    async with visiting(app) as http:
        for path in GZIPPED:
            zipped, small = await raw(http, f"/monitor{path}")
            _, large = await raw(http, f"/monitor{path}", "identity")
            assert zipped.headers.get_list("content-encoding") == ["gzip"]
            assert gzip.decompress(small) == large
            assert zipped.headers["vary"] == "Accept-Encoding"
            assert zipped.headers["content-length"] == str(len(small))
