from __future__ import annotations

import logging
import os
import shutil
import sys

import pytest

from hub import Settings
from hub.clock import SystemClock
from hub.server.listener import listen
from hub.server.runner import ServerOptions
from hub.workers.letters import Setup
from hub.workers.supervisor import Supervisor

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system cannot share a port")


async def run() -> int:
    listeners = listen("127.0.0.1", 0, stall_timeout=15, shared=True)
    setup = Setup(Settings(), ServerOptions(), ("info", False, "text"))
    try:
        return await Supervisor(setup, [listeners], SystemClock()).run()
    finally:
        for one in listeners:
            one.close()


async def test_a_worker_that_ends_before_it_serves_ends_the_hub(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", str(shutil.which("false")))
    with caplog.at_level(logging.INFO):
        assert await run() == 1
    found = [one.message for one in caplog.records if one.name == "hub"]
    assert found == ["Worker 1 did not start (status 1)", "Hub stopping", "Hub stopped"]
