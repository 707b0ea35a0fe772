"""The live page's files: which of them are served, and under which headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from hub import Hub, Settings, create_app
from tests.support.servers import ServerProcess, serve_here, start_hub

PARTS: Final = (
    *("page.css", "page.js", "panel.js", "chart.js", "charts.js", "devices.js", "bars.js"),
    *("format.js", "series.js", "metrics-feed.js", "offer.js", "storage.js", "status.js"),
    *("look.js", "tab.js", "chart.css", "crosshair.js", "past.js", "scale.js"),
    *("theme.js", "print.js", "reload.js", "trace.js", "elements.js", "address.js"),
    *("heat-map.js", "members.js", "lists.js", "token.js", "ranges.js", "png.js"),
)
ICONS: Final = ("icon.svg", "icon-stale.svg", "icon-critical.svg")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub() as server:
        yield server


def get(server: ServerProcess, path: str, **headers: str) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{server.port}{path}", headers=headers, trust_env=False)


class Links(HTMLParser):
    """Collects the links of a page, and the inline styles and scripts that its policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("href", "src", "action") if name in given]
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name[:2] == "on"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def test_the_page_refers_to_nothing_but_its_own_parts(server: ServerProcess) -> None:
    links = Links(get(server, "/").text)
    assert sorted(set(links.found)) == sorted(f"static/{name}" for name in (*PARTS, ICONS[0]))
    assert not links.inline


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in (*PARTS, *ICONS))])
def test_every_part_is_served_under_a_strict_policy(server: ServerProcess, path: str) -> None:
    response = get(server, path)
    assert response.status_code == 200
    policy = dict(
        rule.strip().split(" ", 1)
        for rule in response.headers["content-security-policy"].split(";")
    )
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", response.text)


def test_pages_that_may_call_the_hub_may_show_its_page_in_a_frame() -> None:
    given = "https://dash.example, wiki.example, ::1"
    with start_hub("--allow-origin", given) as server:
        policy = get(server, "/").headers["content-security-policy"]
    hosts = "http://wiki.example:* https://wiki.example:*"
    assert f"; frame-ancestors 'self' https://dash.example {hosts};" in policy


def test_what_has_not_changed_is_not_sent_again(server: ServerProcess) -> None:
    first = get(server, "/static/page.js")
    assert first.headers["cache-control"] == "no-cache"
    again = get(server, "/static/page.js", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"]


def test_all_of_it_weighs_less_than_60_kib_on_its_way_and_175_unpacked(
    server: ServerProcess,
) -> None:
    paths = ["/", "/openapi.json", *(f"/static/{name}" for name in (*PARTS, *ICONS))]
    found = [get(server, path, **{"Accept-Encoding": "gzip"}) for path in paths]
    sent = [int(response.headers["content-length"]) for response in found]
    unpacked = [len(response.content) for response in found]
    assert sum(sent) < 60 * 1024
    assert sum(unpacked) < 175 * 1024


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/index.html",
        "/static/nothing.js",
        "/static/../__init__.py",
        "/static/%2e%2e/__init__.py",
        "/static/..%2f__init__.py",
        "/static/%00",
        "/static//etc/passwd",
        "/index.html",
        "/__init__.py",
    ],
)
def test_nothing_else_is_served(server: ServerProcess, path: str) -> None:
    response = get(server, path)
    assert response.status_code == 404, response.text


def test_the_page_is_not_shown_under_a_name_that_the_hub_does_not_serve(
    server: ServerProcess,
) -> None:
    for path in ("/", "/static/page.js"):
        assert get(server, path, Host="rebound.example").status_code == 403


async def test_a_mounted_page_is_found_with_and_without_its_last_slash() -> None:
    app = Starlette(routes=[Mount("/monitor", create_app(hub=Hub(Settings(interval=0.1))))])
    async with serve_here(app) as local, httpx2.AsyncClient(trust_env=False) as http:
        origin = f"http://127.0.0.1:{local.port}"
        redirect = await http.get(f"{origin}/monitor")
        assert redirect.headers["location"] == f"{origin}/monitor/"
        page = await http.get(redirect.headers["location"])
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for link in Links(page.text).found:
            assert (await http.get(f"{origin}/monitor/{link}")).status_code == 200
