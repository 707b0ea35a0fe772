from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.link import Letter, Link, LinkLost
from tests.support.fakes import settle


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Link, Link]]:
    here, there = socket.socketpair()
    first, second = await Link.over(here), await Link.over(there)
    try:
        yield first, second
    finally:
        first.close()
        second.close()
        await settle()


@given(st.lists(st.tuples(st.sampled_from(Letter), st.binary(max_size=300)), max_size=6))
def test_letters_come_as_they_were_sent(sent: list[tuple[Letter, bytes]]) -> None:
    async def exchange() -> list[tuple[Letter, bytes]]:
        async with pair() as (here, there):
            for letter, body in sent:
                here.send(letter, body)
            letters = there.letters()
            return [await anext(letters) for _ in sent]

    assert asyncio.run(exchange()) == sent


async def test_an_end_that_is_gone_is_told_from_silence() -> None:
    async with pair() as (here, there):
        here.send(Letter.PRESENT)
        await here.flush()
        here.close()
        letters = there.letters()
        assert await anext(letters) == (Letter.PRESENT, b"")
        with pytest.raises(LinkLost):
            await anext(letters)
        with pytest.raises(LinkLost):
            await fill(there)


async def fill(link: Link) -> None:
    for _ in range(100):  # the first may still find room
        link.send(Letter.DEMAND, bytes(10**6))
        await link.flush()


async def test_a_letter_of_a_later_version_is_passed_over() -> None:
    here, there = socket.socketpair()
    link = await Link.over(there)
    here.sendall(b"\0\0\0\2\xfahi" + b"\0\0\0\0\2")
    assert await anext(link.letters()) == (Letter.PRESENT, b"")
    here.close()
    link.close()
    await settle()


async def test_a_letter_beyond_all_measure_ends_the_link() -> None:
    here, there = socket.socketpair()
    link = await Link.over(there)
    here.sendall(b"\xff\xff\xff\xff\2")
    with pytest.raises(LinkLost, match="4294967295 bytes"):
        await anext(link.letters())
    here.close()
    link.close()
    await settle()


async def test_a_link_is_full_while_the_other_end_takes_nothing() -> None:
    async with pair() as (here, there):
        assert not here.is_full
        here.send(Letter.SNAPSHOT, bytes(2**20))
        assert here.is_full
        await anext(there.letters())
        await here.flush()
        assert not here.is_full
