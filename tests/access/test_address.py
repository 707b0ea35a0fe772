from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.address import client_address, network, peer_name


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9.9.9.9", "9.9.9.9"),
        ('"9.9.9.9"', "9.9.9.9"),
        (" 9.9.9.9", "9.9.9.9"),
        ("9.9.9.9:4711", "9.9.9.9"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:DB8:0::1]:4711"', "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("009.9.9.9", ""),
        ("unknown", ""),
        ("_hidden", ""),
        ("9.9.9", ""),
        ("", ""),
        ("9.9.9.9, 8.8.8.8", ""),
        ("9.9.9.9\x1b[2J", ""),
        ("fe80::1%\x1b[2J", ""),
        ("9.9.9.9\0", ""),
        ("\u0669.9.9.9", ""),
    ],
)
def test_an_address_is_written_in_one_way_or_is_none(text: str, address: str) -> None:
    assert client_address({"client": (text, 4711)}) == (address, 4711)


@given(st.text() | st.ip_addresses().map(str) | st.from_regex(r"[0-9.:\[\]%a-f]{1,40}"))
def test_any_text_is_one_address_or_none(text: str) -> None:
    found, _ = client_address({"client": (text, None)})
    if found:
        assert str(ipaddress.ip_address(found)) == found
        assert client_address({"client": (found, None)}) == (found, 0)
    assert network(found).isprintable()
    assert peer_name((text, 1)).isprintable()


@pytest.mark.parametrize("client", [None, (), ("", 0), ["unknown", 0]])
def test_a_client_may_have_no_address(client: Sequence[object] | None) -> None:
    assert client_address({"client": client}) == ("", 0)
    assert peer_name(client) == "of unknown address"
    assert network("") == ""


@pytest.mark.parametrize("port", [0, None, "4711", 65536, -1, 10**40])
def test_a_port_that_is_none_is_not_known(port: object) -> None:
    assert client_address({"client": ("192.0.2.7", port)}) == ("192.0.2.7", 0)
    assert peer_name(("192.0.2.7", port)) == "192.0.2.7"
