from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("hub", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hub")


@pytest.fixture(scope="module")  # so that an asynchronous fixture may last as long as its module
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that share a browser, in one process, while others run the rest.

    They take the longest; spread over several processes at the end, each would start a browser.
    """
    items.sort(key=lambda item: "browser" not in getattr(item, "fixturenames", ()))
