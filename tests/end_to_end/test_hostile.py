"""Clients that mean no good, beside others that do not feel it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import pytest

from benchmarks.attack import ATTACKS, attack
from benchmarks.http_attack import HTTP_ATTACKS, attack_http
from tests.support.clients import assert_nothing_lost, client, message
from tests.support.servers import ServerProcess, start_hub

pytestmark = pytest.mark.long

# Those that bide their time all take theirs; one attacker does nothing that twenty do not.
TRIED: Final = [name for name, kind in HTTP_ATTACKS.items() if not kind.pause or kind.attackers > 1]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub() as server:
        yield server


async def ends_of(
    server: ServerProcess, attacker: Callable[[threading.Event], Mapping[str, int]], ticks: int
) -> Mapping[str, int]:
    """Attack for so many ticks; return how the attacker's connections ended, and how often.

    Two others follow the feed meanwhile, and must miss nothing.
    """
    over, done = threading.Event(), anyio.Event()
    received: list[list[str]] = [[], []]
    ends: dict[str, int] = {}

    async def misbehave() -> None:
        ends.update(await anyio.to_thread.run_sync(attacker, over))
        done.set()

    async with (
        client(server.url()) as one,
        client(server.url()) as other,
        anyio.create_task_group() as group,
    ):
        group.start_soon(misbehave)
        while not done.is_set():
            for bystander, seen in zip((one, other), received, strict=True):
                seen.append((await message(bystander))["timestamp"])
            if len(received[0]) == ticks:
                over.set()
    assert_nothing_lost(received)
    server.assert_tidy()
    return ends


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_client_that_floods_the_feed_is_cut_off_with_the_right_code(
    server: ServerProcess, name: str
) -> None:
    kind = ATTACKS[name]
    ends = await ends_of(server, partial(attack, kind, server.port), ticks=10)
    assert set(ends) == ({str(code) for code in kind.codes} if kind.reads else {"reset"})


@pytest.mark.parametrize("name", TRIED)
async def test_clients_that_hold_on_to_what_comes_before_the_feed_are_cut_off_or_refused(
    server: ServerProcess, name: str
) -> None:
    kind = HTTP_ATTACKS[name]
    ticks = 75 if kind.pause else 15  # more than they have time for
    ends = await ends_of(server, partial(attack_http, kind, server.port), ticks)
    assert ends
    assert set(ends) <= kind.ends
