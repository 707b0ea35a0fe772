"""Strangers who hold on to what comes before the feed, beside clients who do not feel it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

import anyio
import anyio.to_thread
import pytest

from benchmarks.http_attack import HTTP_ATTACKS, attack_http
from tests.support.clients import assert_nothing_lost, client, message
from tests.support.servers import ServerProcess, start_hub

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub() as server:
        yield server


# Those that bide their time all take theirs; one attacker does nothing that twenty do not.
TRIED: Final = [name for name, kind in HTTP_ATTACKS.items() if not kind.pause or kind.attackers > 1]


@pytest.mark.parametrize("name", TRIED)
async def test_they_are_cut_off_or_refused_and_nobody_else_loses_anything(
    server: ServerProcess, name: str
) -> None:
    kind, over = HTTP_ATTACKS[name], threading.Event()
    ticks = 75 if kind.pause else 15  # more than they have time for
    received: list[list[str]] = [[], []]
    ends: dict[str, int] = {}
    done = anyio.Event()

    async def misbehave() -> None:
        ends.update(await anyio.to_thread.run_sync(attack_http, kind, server.port, over))
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
    assert ends
    assert set(ends) <= kind.ends
    assert_nothing_lost(received)
    server.assert_tidy()
