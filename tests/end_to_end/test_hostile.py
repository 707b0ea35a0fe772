"""Clients that mean no good, beside others who do not feel it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from benchmarks.attack import ATTACKS, attack
from tests.support.clients import assert_nothing_lost, client, message
from tests.support.servers import ServerProcess, start_hub

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub() as server:
        yield server


@pytest.mark.parametrize("name", ATTACKS)
async def test_whoever_floods_is_cut_off_with_the_right_code_and_nobody_else_loses_anything(
    server: ServerProcess, name: str
) -> None:
    kind, over = ATTACKS[name], threading.Event()
    received: list[list[str]] = [[], []]
    ends: dict[str, int] = {}
    done = anyio.Event()

    async def misbehave() -> None:
        ends.update(await anyio.to_thread.run_sync(attack, kind, server.port, over))
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
            if len(received[0]) == 10:
                over.set()
    expected = {str(code) for code in kind.codes} if kind.reads else {"reset"}
    assert set(ends) == expected
    assert_nothing_lost(received)
    server.assert_tidy()
