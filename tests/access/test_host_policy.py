"""Which Host and Origin come in: decisions by table, and that nothing odd slips through."""

from __future__ import annotations

import ipaddress
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.access.host_policy import HostPolicy, check_host, check_origin
from hub.errors import InvalidValue, RefusalReason, Refused

LOOPBACK: Final = "127.0.0.1"
LAN: Final = "192.0.2.7"


def verdict(
    names: HostPolicy, *headers: tuple[str, str], local: str = LOOPBACK
) -> RefusalReason | None:
    """Return why a request is refused, or None; the second time must be as the first."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    first, second = (_refusal(names, raw, local) for _ in range(2))
    assert str(first) == str(second)
    assert str(first).isprintable()
    return first.reason if first else None


def _refusal(names: HostPolicy, headers: list[tuple[bytes, bytes]], local: str) -> Refused | None:
    try:
        names.check(headers, local)
    except Refused as error:
        return error
    return None


DEFAULT: Final = HostPolicy((), ())
LISTED: Final = HostPolicy(
    ("metrics.example", "2001:db8::1"), ("https://dash.example", "http://dash.example:8080", "any")
)
OPEN: Final = HostPolicy(("*",), ("*",))

HOSTS_AT_LOOPBACK: Final = {
    "localhost": True,
    "localhost:54112": True,
    "localhost:1": True,
    "localhost:": True,
    "LOCALHOST:54112": True,
    "LocalHost": True,
    "localhost.": True,
    "localhost.:54112": True,
    "127.0.0.1": True,
    "127.0.0.1:54112": True,
    "127.0.0.2:54112": True,
    "[::1]": True,
    "[::1]:54112": True,
    "[0:0:0:0:0:0:0:1]:54112": True,
    "[::ffff:127.0.0.1]:54112": True,
    "": False,
    ".": False,
    ":54112": False,
    "localhost:99999": False,
    "localhost:-1": False,
    "localhost:5x": False,
    "localhost:54112:1": False,
    "localhost..": False,
    "local host": False,
    "localhost/": False,
    "localhost/x": False,
    "localhost#": False,
    "localhost?": False,
    "localhost,evil.example": False,
    "user@localhost": False,
    "user:pass@localhost": False,
    "evil.example@localhost": False,
    "localhost@evil.example": False,
    "evil.example": False,
    "evil.example:54112": False,
    "localhost.evil.example": False,
    "127.0.0.1.evil.example": False,
    "127.0.0.1.nip.example": False,
    "evil.localhost": False,
    "notlocalhost": False,
    "localhos": False,
    "0.0.0.0": False,  # noqa: S104 # nothing is bound
    "0.0.0.0:54112": False,
    "[::]": False,
    "192.0.2.7": False,
    "169.254.169.254": False,
    "127.1": False,
    "127.0.1": False,
    "0x7f.0.0.1": False,
    "0x7f000001": False,
    "2130706433": False,
    "0177.0.0.1": False,
    "127.0.0.01": False,
    "::1": False,
    "[::1": False,
    "::1]": False,
    "[::1]x": False,
    "[::1%lo]": False,
    "[::1%25lo]:54112": False,
    "[127.0.0.1]": False,
    "[localhost]": False,
    "127.0.0.1\t": False,
    "locälhost": False,
    "xn--loclhost-0za": False,
    "-localhost": False,
    "a" * 300: False,
}


@pytest.mark.parametrize(("host", "allowed"), HOSTS_AT_LOOPBACK.items())
def test_bound_to_loopback_only_its_own_names_come_in(host: str, *, allowed: bool) -> None:
    assert verdict(DEFAULT, ("host", host)) == (None if allowed else RefusalReason.HOST)


ORIGINS_AT_LOOPBACK: Final = {
    "http://localhost:54112": True,
    "http://localhost": True,
    "http://localhost:3000": True,
    "https://localhost": True,
    "HTTP://LOCALHOST:3000": True,
    "http://localhost.:3000": True,
    "http://127.0.0.1:54112": True,
    "http://127.9.9.9": True,
    "http://[::1]:54112": True,
    "http://[0::1]": True,
    "null": False,
    "": False,
    "*": False,
    "localhost": False,
    "//localhost": False,
    "http:localhost": False,
    "http://": False,
    "http://localhost/": False,
    "http://localhost/x": False,
    "http://localhost?": False,
    "http://localhost:99999": False,
    "http://user@localhost": False,
    "http://localhost@evil.example": False,
    "http://evil.example#localhost": False,
    "http://evil.example": False,
    "https://evil.example:54112": False,
    "http://localhost.evil.example": False,
    "http://127.0.0.1.evil.example": False,
    "http://evil.localhost": False,
    "http://0.0.0.0": False,
    "http://2130706433": False,
    "http://192.0.2.7": False,
    "file://localhost": False,
    "file://": False,
    "ftp://localhost": False,
    "javascript://localhost": False,
    "chrome-extension://localhost": False,
    "moz-extension://0a1b2c3d": False,
    "http://localhost http://evil.example": False,
    "http://localhost, http://evil.example": False,
    "http://[::1%25lo]": False,
    "http://locälhost": False,
}


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS_AT_LOOPBACK.items())
@pytest.mark.parametrize("host", ["localhost:54112", "127.0.0.1", "[::1]:80"])
def test_bound_to_loopback_only_pages_of_this_machine_come_in(
    host: str, origin: str, *, allowed: bool
) -> None:
    found = verdict(DEFAULT, ("host", host), ("origin", origin))
    assert found == (None if allowed else RefusalReason.ORIGIN)


@pytest.mark.parametrize(
    ("names", "local", "host", "origin", "expected"),
    [
        # Called by the address at which it was reached.
        (DEFAULT, LAN, "192.0.2.7:54112", None, None),
        (DEFAULT, LAN, "192.0.2.8:54112", None, RefusalReason.HOST),
        (DEFAULT, "2001:db8::7", "[2001:DB8:0::7]:54112", None, None),
        (DEFAULT, "fe80::7%eth0", "[fe80::7]:54112", None, None),
        (DEFAULT, "::ffff:192.0.2.7", "192.0.2.7", None, None),
        (DEFAULT, "testserver", "testserver", None, None),
        # What is reached from elsewhere has no loopback names, as a page could not mean it.
        (DEFAULT, LAN, "localhost", None, RefusalReason.HOST),
        (DEFAULT, LAN, "127.0.0.1", None, RefusalReason.HOST),
        (DEFAULT, LAN, "192.0.2.7", "http://localhost", RefusalReason.ORIGIN),
        (DEFAULT, LAN, "192.0.2.7", "http://192.0.2.7:3000", None),
        (DEFAULT, LAN, "192.0.2.7", "https://192.0.2.7", None),
        (DEFAULT, LAN, "192.0.2.7", "http://192.0.2.8", RefusalReason.ORIGIN),
        (DEFAULT, LAN, "metrics.example", None, RefusalReason.HOST),
        # A Unix socket is on this machine.
        (DEFAULT, "", "localhost", "http://127.0.0.1", None),
        (DEFAULT, "/run/hub.sock", "localhost", None, None),
        (DEFAULT, "", "metrics.example", None, RefusalReason.HOST),
        # HostPolicy and pages that are listed, in every way to write them.
        (LISTED, LAN, "metrics.example", None, None),
        (LISTED, LAN, "METRICS.example.:443", None, None),
        (LISTED, LAN, "[2001:db8:0:0::1]", None, None),
        (LISTED, LAN, "www.metrics.example", None, RefusalReason.HOST),
        (LISTED, LAN, "metrics.example.evil.example", None, RefusalReason.HOST),
        (LISTED, LAN, "metrics.example", "https://metrics.example", None),
        (LISTED, LAN, "metrics.example", "http://metrics.example:8080", None),
        (LISTED, LAN, "metrics.example", "https://www.metrics.example", RefusalReason.ORIGIN),
        (LISTED, LAN, "metrics.example", "https://dash.example", None),
        (LISTED, LAN, "metrics.example", "https://dash.example:443", None),
        (LISTED, LAN, "metrics.example", "HTTPS://Dash.Example", None),
        (LISTED, LAN, "metrics.example", "http://dash.example:8080", None),
        (LISTED, LAN, "metrics.example", "http://dash.example", RefusalReason.ORIGIN),
        (LISTED, LAN, "metrics.example", "https://dash.example:8443", RefusalReason.ORIGIN),
        (LISTED, LAN, "metrics.example", "ftp://any", RefusalReason.ORIGIN),
        (LISTED, LAN, "metrics.example", "http://any:99", None),
        (LISTED, LAN, "metrics.example", "null", RefusalReason.ORIGIN),
        (LISTED, LOOPBACK, "localhost", "https://dash.example", None),
        (LISTED, LOOPBACK, "localhost", "https://metrics.example", RefusalReason.ORIGIN),
        # All is open, but not to what is no name at all.
        (OPEN, LAN, "evil.example", "https://other.example", None),
        (OPEN, LAN, "evil.example", "null", None),
        (OPEN, LAN, "user@localhost", None, RefusalReason.HOST),
    ],
)
def test_decisions(
    names: HostPolicy, local: str, host: str, origin: str | None, expected: RefusalReason | None
) -> None:
    page = [("origin", origin)] if origin is not None else []
    assert verdict(names, ("host", host), *page, local=local) == expected


@pytest.mark.parametrize("names", [DEFAULT, OPEN])
def test_headers_that_come_twice_or_not_at_all_are_refused(names: HostPolicy) -> None:
    host, page = ("host", "localhost"), ("origin", "http://localhost")
    assert verdict(names) == RefusalReason.HOST
    assert verdict(names, page) == RefusalReason.HOST
    assert verdict(names, host, host) == RefusalReason.HOST
    assert verdict(names, host, page, page) == RefusalReason.ORIGIN
    assert verdict(names, host, page) is None


def test_what_is_remembered_has_a_bound() -> None:
    names = HostPolicy(("*",), ())
    for number in range(3000):
        assert verdict(names, ("host", f"host{number}.example")) is None
    assert len(names._known) <= HostPolicy._REMEMBERED


def test_nothing_long_is_remembered() -> None:
    assert verdict(OPEN, ("host", "a.example"), ("origin", "x" * 10_000)) is None
    assert not [key for key in OPEN._known if len(key[1] or b"") > 1000]


def test_what_is_remembered_of_one_address_says_nothing_of_another() -> None:
    names = HostPolicy((), ())
    assert verdict(names, ("host", "localhost")) is None
    assert verdict(names, ("host", "localhost"), local=LAN) == RefusalReason.HOST


@given(st.text(st.characters(max_codepoint=255), max_size=40))
@example("[::1]:\u00b2")
def test_any_text_is_judged(text: str) -> None:
    verdict(DEFAULT, ("host", text), ("origin", f"http://{text}"))
    verdict(OPEN, ("host", text), ("origin", text))


@given(st.ip_addresses())
def test_an_address_is_served_where_it_is_the_own_one(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    assert verdict(DEFAULT, ("host", f"{host}:54112"), local=str(address)) is None
    loopback = address.is_loopback or (
        isinstance(address, ipaddress.IPv6Address)
        and address.ipv4_mapped is not None
        and address.ipv4_mapped.is_loopback
    )
    assert (verdict(DEFAULT, ("host", host)) is None) == loopback


@pytest.mark.parametrize(
    "text", ["", "http://a.example", "a.example:80", "a b", "*.a.example", "a/b", "127.1", "::g"]
)
def test_a_host_that_is_none_cannot_be_allowed(text: str) -> None:
    with pytest.raises(InvalidValue, match="allow_host must be a host name or address"):
        check_host("allow_host", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https://a.example/",
        "ws://a.example",
        "https://a.example:x",
        "null",
        "Null",
        "null.",
    ],
)
def test_a_page_that_is_none_cannot_be_allowed(text: str) -> None:
    with pytest.raises(InvalidValue, match="allow_origin must be an origin such as"):
        check_origin("allow_origin", text)
