"""Limits on how often somebody may come."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.rate_limit import RateLimiter, _Windows, parse_rate
from hub.errors import InvalidValue
from tests.support.fakes import FakeClock


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("20/second", 20, 1),
        ("100/minute", 100, 60),
        ("5 per 10 second", 5, 10),
        (" 1/HOUR ", 1, 3600),
    ],
)
def test_a_rate_is_so_many_in_so_long(text: str, amount: int, seconds: int) -> None:
    limit = parse_rate("connect_rate", text)
    assert (limit.amount, limit.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize(
    "text", ["", "20", "20/", "/second", "0/second", "-1/second", "1.5/second", "20/fortnight",
             "1/year", "9999999/second", "20/second;30/minute", 20, None]
)  # fmt: skip
def test_what_is_no_rate_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(InvalidValue, match="connect_rate must be a rate such as 20/second") as told:
        parse_rate("connect_rate", text)
    assert len(str(told.value).splitlines()) == 1


async def test_more_than_the_limit_has_to_wait_for_the_window_s_end() -> None:
    clock = FakeClock()
    limiter = RateLimiter(parse_rate("rate", "2/10 second"), clock.monotonic)
    assert [limiter.hit("a") for _ in range(3)] == [0, 0, 10]
    await clock.advance(7.5)
    assert limiter.hit("a") == 3
    await clock.advance(2.5)
    assert [limiter.hit("a") for _ in range(3)] == [0, 0, 10]


def test_each_key_has_its_own_window() -> None:
    limiter = RateLimiter(parse_rate("rate", "1/minute"), FakeClock().monotonic)
    assert limiter.hit("a") == 0
    assert limiter.hit("b") == 0
    assert limiter.hit("a") == 60


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    limiter = RateLimiter(parse_rate("rate", "1/second"), FakeClock().monotonic)
    limiter.hit("a")
    assert threading.active_count() == before


def test_what_is_kept_has_a_bound_and_the_one_unused_for_longest_goes() -> None:
    windows = _Windows(FakeClock().monotonic)
    for number in range(windows._KEYS + 50):
        windows.incr("always there", 60)
        windows.incr(f"attacker {number}", 60)
    assert len(windows._windows) == windows._KEYS
    assert windows.get("always there") == windows._KEYS + 50
    assert windows.get("attacker 0") == 0


EIGHTHS = st.integers(0, 24).map(lambda count: count / 8)  # seconds whose sums are exact


@given(st.lists(EIGHTHS, max_size=60), st.integers(1, 5))
def test_never_more_than_the_limit_within_one_window(gaps: list[float], amount: int) -> None:
    now = 0.0
    limiter = RateLimiter(parse_rate("rate", f"{amount}/5 second"), lambda: now)
    opened, admitted = 0.0, 0
    for gap in gaps:
        now += gap
        if admitted == 0 or now >= opened + 5:
            opened, admitted = now, 0
        wait = limiter.hit("a")
        assert (wait == 0) == (admitted < amount or now >= opened + 5)
        if wait:
            assert opened + 5 <= now + wait < opened + 6
        admitted += 1
