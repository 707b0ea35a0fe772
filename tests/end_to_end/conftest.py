from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.browser import shared_browser


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[None]:
    async with shared_browser():
        yield
