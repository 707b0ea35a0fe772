"""What to follow: addresses of hubs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.watch.options import feed_url
from hub.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:54112", "ws://127.0.0.1:54112"),
        ("metrics.example", "ws://metrics.example"),
        ("http://127.0.0.1:54112/", "ws://127.0.0.1:54112"),
        ("https://metrics.example/monitor/", "wss://metrics.example/monitor"),
        ("ws://[::1]:80/api/system/metrics", "ws://[::1]:80"),
        ("wss://metrics.example/m/api/system/ws", "wss://metrics.example/m"),
    ],
)
def test_a_hub_is_known_by_its_page_its_feed_or_its_host(text: str, url: str) -> None:
    assert feed_url("URL", text) == url


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://x", "ws://x?metrics=cpu", "ws://x#y", "ws://u:p@x", "ws://x:99999",
     "ws://x:0", "ws://[::1", "ws://" + "a" * 70 + ".example"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="URL must be an address"):
        feed_url("URL", text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    with suppress(InvalidValue):
        assert feed_url("URL", text).startswith(("ws://", "wss://"))
