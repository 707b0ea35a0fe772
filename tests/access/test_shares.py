from __future__ import annotations

import pytest

from hub.access.shares import ClientShares, ViewShares
from hub.errors import RefusalReason, Refused


def test_an_address_has_so_many_clients_and_others_have_theirs() -> None:
    shares = ClientShares(2)
    for _ in range(2):
        shares.acquire("192.0.2.7")
    with pytest.raises(Refused, match=r"^2 clients of one address") as refused:
        shares.acquire("192.0.2.7")
    assert refused.value.reason is RefusalReason.ADDRESS
    shares.acquire("192.0.2.8")
    shares.release("192.0.2.7")
    shares.acquire("192.0.2.7")


def test_an_address_follows_so_many_views_with_any_number_of_clients() -> None:
    shares = ViewShares(2)
    for view in ("a", "b", "a"):
        shares.acquire("2001:db8::1", view)
    with pytest.raises(Refused, match=r"^2 different views are followed from one") as refused:
        shares.acquire("2001:db8::2", "c")
    assert refused.value.reason is RefusalReason.VIEW_SHARE
    shares.acquire("192.0.2.7", "c")
    shares.release("2001:db8::1", "a")
    with pytest.raises(Refused):
        shares.acquire("2001:db8::1", "c")
    shares.release("2001:db8::1", "a")
    shares.acquire("2001:db8::1", "c")


def test_nothing_is_kept_of_clients_that_have_gone() -> None:
    clients, views = ClientShares(1), ViewShares(1)
    for _ in range(2):
        clients.acquire("192.0.2.7")
        views.acquire("192.0.2.7", "a")
        with pytest.raises(Refused):
            clients.acquire("192.0.2.7")
        with pytest.raises(Refused):
            views.acquire("192.0.2.7", "b")
        clients.release("192.0.2.7")
        views.release("192.0.2.7", "a")
        assert not clients._clients
        assert not views._followers


@pytest.mark.parametrize(("limit", "address"), [(None, "192.0.2.7"), (1, "")])
def test_without_a_limit_or_an_address_there_is_no_share(limit: int | None, address: str) -> None:
    clients, views = ClientShares(limit), ViewShares(limit)
    for number in range(3):
        clients.acquire(address)
        views.acquire(address, number)
    clients.release(address)
    views.release(address, 0)
