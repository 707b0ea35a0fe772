from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("hub", deadline=None)
settings.load_profile("hub")


@pytest.fixture(scope="module")  # so that an asynchronous fixture may last as long as its module
def anyio_backend() -> str:
    return "asyncio"
