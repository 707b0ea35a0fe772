"""Clients of others that offer compression: Chromium with the page, and node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from hub.feed.deflate import THRESHOLD
from hub.sampling.system import standard_metrics
from hub.settings import Settings
from tests.support.browser import eventually, needs_chromium, open_page
from tests.support.clients import strict_json
from tests.support.servers import DEADLINE, PATH, ServerProcess, start_hub

pytestmark = pytest.mark.long

AGREED: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
FAMILIES: Final = tuple(
    metric.name for metric in standard_metrics(Settings()) if not metric.restricted
)
NODE: Final = shutil.which("node") or ""
FLAG: Final = "--experimental-websocket"  # what is needed before Node 22
SCRIPT: Final = """
const feed = new WebSocket(process.argv[1]);
const got = [];
feed.onmessage = (event) => {
  got.push(event.data);
  if (got.length === 1) feed.send("hello ".repeat(50));
  if (got.length < 3) return;
  feed.onclose = (event) => {
    console.log(JSON.stringify({ got, extensions: feed.extensions, code: event.code }));
  };
  feed.close(1000);
};
feed.onerror = () => process.exit(1);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub("--interval", "0.2") as server:
        yield server


@needs_chromium
async def test_the_page_is_live_over_compression(server: ServerProcess) -> None:
    answers: list[str | None] = []
    texts: list[str] = []

    def answered(event: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in event["response"]["headers"].items()}
        answers.append(headers.get("sec-websocket-extensions"))

    def received(event: dict[str, Any]) -> None:
        texts.append(event["response"]["payloadData"])

    async def newest() -> Sequence[str]:
        return [text for text in texts if len(text) >= THRESHOLD]

    async with open_page(f"http://127.0.0.1:{server.port}/") as page:
        network = await page.context.new_cdp_session(page)
        network.on("Network.webSocketHandshakeResponseReceived", answered)
        network.on("Network.webSocketFrameReceived", received)
        await network.send("Network.enable")
        await page.reload()
        await eventually(newest, lambda found: len(found) >= 5)
        assert {*answers} == {AGREED}
        assert all("timestamp" in strict_json(text) for text in texts)


@pytest.mark.skipif(not NODE, reason="there is no node on this system")
def test_node_reads_large_messages(server: ServerProcess) -> None:
    url = f"ws://127.0.0.1:{server.port}{PATH}?metrics={','.join(FAMILIES)}"
    ended = subprocess.run(  # noqa: S603 # our own script
        [NODE, FLAG, "-e", SCRIPT, url],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["code"] == 1000
    assert found["extensions"] in {AGREED, ""}  # older ones offer nothing
    for text in found["got"]:
        message = strict_json(text)
        assert [*message] == [*FAMILIES, "timestamp"]


@pytest.mark.parametrize(
    ("flags", "environ", "answer"),
    [
        ([], {}, AGREED),
        (["--no-compression"], {}, None),
        ([], {"HUB_COMPRESSION": "no"}, None),
        (["--compression"], {"HUB_COMPRESSION": "no"}, AGREED),
    ],
    ids=["default", "flag", "variable", "both"],
)
async def test_an_operator_may_turn_it_off(
    flags: list[str], environ: dict[str, str], answer: str | None
) -> None:
    factory = ClientPerMessageDeflateFactory()
    with start_hub(*flags, environ=environ) as hub:
        async with connect(hub.url(), extensions=[factory], compression=None, proxy=None) as client:
            assert client.response is not None
            assert client.response.headers.get("Sec-WebSocket-Extensions") == answer
            assert "timestamp" in strict_json(str(await client.recv()))
