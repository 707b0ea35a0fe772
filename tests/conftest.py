from __future__ import annotations

import pytest


@pytest.fixture(scope="module")  # so that an asynchronous fixture may last as long as its module
def anyio_backend() -> str:
    return "asyncio"
