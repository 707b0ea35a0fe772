"""The examples of the documents, run as they are written: only the port is another."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx2
import pytest
from playwright.async_api import Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from websockets.sync.client import connect

from tests.support.browser import LOST, eventually, needs_chromium, open_page
from tests.support.clients import strict_json
from tests.support.documents import DOCS, ROOT, Snippet, commands, snippets
from tests.support.servers import DEADLINE, Log, ServerProcess, serve_here, start_hub
from tests.support.shell import Shell

pytestmark = pytest.mark.long

TOKEN: Final = "TOKEN"  # noqa: S105 # as the documents have it
AUTHORIZED: Final = {"Authorization": f"Bearer {TOKEN}"}

CURLRC: Final = "fail\nsilent\nshow-error\nnoproxy = *\n"
SHIM: Final = f'#!/bin/sh\nexec "{sys.executable}" -m hub "$@"\n'
PORT: Final = ":54112"
SOCKET: Final = "/run/app/metrics.sock"

RUN: Final = {
    "curl": r"curl ",
    "websocat": r"websocat ",
    "watch": r"metrics-hub watch",
    "uvicorn": r"uvicorn ",
    "served": r"metrics-hub --",
    "sampled": r"metrics-hub sample ",
    "made": r"make (run|test)$",
    "installed": r"(sudo \S+|python3) -m (pip|venv) |(pipx|pip|sudo \S+/pip) install ",
}
"""By kind: the commands of it."""


def every(kind: str) -> pytest.MarkDecorator:
    found = [one for one in commands() if re.match(RUN[kind], one)]
    assert found
    return pytest.mark.parametrize("command", found)


def every_snippet(language: str, having: str = "") -> pytest.MarkDecorator:
    found = [one for one in snippets(language) if having in one.text]
    assert found
    return pytest.mark.parametrize("example", found, ids=str)


@pytest.fixture(scope="module")
def hub() -> Iterator[ServerProcess]:
    with start_hub(environ={"HUB_TOKENS": TOKEN}) as server:
        yield server


@contextmanager
def running(
    *command: str, directory: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Log]:
    """Run a program for as long as it is looked at; it does not end by itself."""
    process = subprocess.Popen(  # noqa: S603 # of our own documents
        command,
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(environ or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    log = Log(process.stdout)
    try:
        yield log
        assert process.poll() is None, log.text
    finally:
        process.terminate()
        process.wait(DEADLINE)
        log.join()


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    assert not [one for one in commands() if not any(re.match(kind, one) for kind in RUN.values())]


# Python


@every_snippet("python", "asyncio.run(")
def test_a_program_prints_messages(example: Snippet, hub: ServerProcess, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(example.text.replace(PORT, f":{hub.port}"), encoding="utf-8")
    with running(sys.executable, str(program), directory=tmp_path) as log:
        log.wait_for("timestamp")
        log.wait_for("timestamp", since=1)
    assert "Traceback" not in log.text.partition("KeyboardInterrupt")[0]


@contextmanager
def serving(command: str, directory: Path) -> Iterator[httpx2.Client]:
    """Serve ``app.py`` as the documents say, on another port; yield a client of its hub."""
    module, *arguments = shlex.split(command)
    served = (sys.executable, "-m", module, *arguments, "--port", "0")
    with running(*served, directory=directory) as log:
        found = log.wait_for(r"Uvicorn running on (http://\S+:\d+)")
        # Where there are several workers, the address is told before any accepts connections.
        log.wait_for("Application startup complete")
        transport = httpx2.HTTPTransport(retries=5)
        with httpx2.Client(base_url=f"{found[1]}/monitor", transport=transport) as http:
            yield http


@every("sampled")
def test_a_process_samples_for_others(command: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    _, *arguments = shlex.split(command.replace(SOCKET, str(path)))
    with running(sys.executable, "-m", "hub", *arguments, directory=tmp_path) as log:
        log.wait_for("Sampling for hubs that attach")
        assert path.is_socket()


@every("uvicorn")
@every_snippet("python", "FastAPI(")
def test_an_application_serves_the_feed(command: str, example: Snippet, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    text = example.text.replace(SOCKET, path)
    (tmp_path / "app.py").write_text(text, encoding="utf-8")
    own = re.findall(r'Metric\("(\w+)"(.*)\)', example.text)
    with ExitStack() as stack:
        if path in text:
            sampler = (sys.executable, "-m", "hub", "sample", "--socket", path)
            stack.enter_context(running(*sampler, directory=tmp_path)).wait_for("Sampling for")
        http = stack.enter_context(serving(command, tmp_path))
        assert "System metrics" in http.get("/").text
        for name, rest in [("cpu", ""), *own]:
            answer = http.get(f"/api/system/metrics?metrics={name}")
            assert answer.status_code == (401 if "restricted" in rest else 200), answer.text
            assert "restricted" in rest or list(answer.json()) == [name, "timestamp"]
        known = f'"{TOKEN}"' in example.text
        answer = http.get("/api/system/ws", headers=AUTHORIZED)
        assert answer.status_code == (426 if known else 401)


def test_every_python_example_is_a_program_or_an_application() -> None:
    assert all("asyncio.run(" in one.text or "FastAPI(" in one.text for one in snippets("python"))


# A shell


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with what the commands find in their PATH and in their configuration."""
    directory = tmp_path_factory.mktemp("home")
    (directory / ".curlrc").write_text(CURLRC)
    shim = directory / "metrics-hub"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    return directory


def shell(command: str, hub: ServerProcess, home: Path) -> Shell:
    """Run a command on this machine's hub, in place of the ones that the documents name."""
    here = f"http://127.0.0.1:{hub.port}"
    text = command.replace(PORT, f":{hub.port}").replace("https://metrics.example", here)
    missing = [
        one for one in ("curl", "jq") if re.search(rf"\b{one} ", text) and not shutil.which(one)
    ]
    if missing:
        pytest.skip(f"there is no {missing[0]} on this system")
    environ = {
        "CURL_HOME": str(home),
        "HUB_WATCH_URL": here,
        "PATH": f"{home}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return Shell(text, home, environ)


@every("curl")
def test_curl_gets_what_was_asked_for(command: str, hub: ServerProcess, home: Path) -> None:
    with shell(command, hub, home) as running_shell:
        if " -N " in command:
            running_shell.wait_for(r"^data: .*\n(.*\n)+data: ")
        else:
            assert running_shell.status() == 0, running_shell.shown
            assert "timestamp" in running_shell.shown or strict_json(running_shell.shown)["name"]
            assert "error" not in running_shell.shown


@every("websocat")
def test_a_websocket_gets_what_was_asked_for(command: str, hub: ServerProcess) -> None:
    """Websocat is rarely there; its arguments are those of any client."""
    _, *arguments, url = shlex.split(command.replace(PORT, f":{hub.port}"))
    headers: dict[str, str] = {}
    for given in arguments[1::2]:
        name, _, value = given.partition(": ")
        headers[name] = value
    assert set(arguments[::2]) <= {"-H"}
    with connect(url, additional_headers=headers, proxy=None) as websocket:
        message = strict_json(str(websocket.recv(DEADLINE)))
    (wanted,) = re.findall(r"metrics=([\w,]+)", url)
    assert list(message) == [*wanted.split(","), "timestamp"]


@every("watch")
def test_the_terminal_client_shows_the_feed(command: str, hub: ServerProcess, home: Path) -> None:
    with shell(command, hub, home) as running_shell:
        running_shell.wait_for(r"^\d+(\.\d+)?$" if "jq" in command else r"\d+(\.\d+)? ?%")


# A browser


@needs_chromium
@pytest.mark.usefixtures("browser")
@every_snippet("html")
async def test_a_page_of_another_server_shows_the_feed(
    example: Snippet, hub: ServerProcess
) -> None:
    text = example.text.replace(PORT, f":{hub.port}")
    other = Starlette(routes=[Route("/page.html", lambda _: HTMLResponse(text))])
    away = re.escape(f"127.0.0.1:{hub.port}/static/metrics-feed.js")
    async with serve_here(other) as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.port}/page.html"
        async with open_page(url, expected=f"{away}|404") as page:
            first = await eventually(lambda: stamp(page), bool)
            await eventually(lambda: stamp(page), lambda text: text > first)


async def stamp(page: Page) -> str:
    found = re.search(r"\d{4}-\d\d-\d\dT[\d:.]+", await page.inner_text("body"))
    return found[0] if found else ""


@needs_chromium
@pytest.mark.usefixtures("browser")
@every_snippet("js")
async def test_a_script_writes_messages_to_the_console(
    example: Snippet, hub: ServerProcess
) -> None:
    said: list[str] = []
    async with open_page(f"http://127.0.0.1:{hub.port}/", expected=LOST) as page:
        page.on("console", lambda line: said.append(line.text))
        text = example.text.replace(PORT, f":{hub.port}")
        await page.evaluate(f"() => {{\n{text}\n}}")

        async def messages() -> int:
            return sum("timestamp" in line for line in said)

        await eventually(messages, lambda count: count >= 3)


# An installation


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed")
def test_the_wheel_can_be_installed_as_written_and_has_the_documents(tmp_path: Path) -> None:
    """Without what it depends on, which is not to be downloaded anew for each test."""
    clone, opt = tmp_path / "clone", tmp_path / "opt"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "hub", clone / "hub", ignore=shutil.ignore_patterns("__pycache__"))
    for command in [one for one in commands() if re.match(RUN["installed"], one)]:
        if command.startswith("pipx ") or "fastapi" in command:
            continue
        text = command.removeprefix("sudo ").replace("/opt/", f"{opt}/")
        text = text.replace("pip wheel", "pip wheel --no-build-isolation --no-index")
        text = text.replace("pip install", "pip install --no-index --no-deps")
        text = re.sub(r"^python3 ", f"{shlex.quote(sys.executable)} ", text)
        subprocess.run(["bash", "-c", text], cwd=clone, check=True)  # noqa: S603, S607 # as above
    (wheel,) = (clone / "dist").iterdir()
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {f"hub/docs/{path.name}" for path in DOCS.iterdir()} <= inside
    assert {"hub/web/page/index.html", "hub/web/page/static/page.js", "hub/py.typed"} <= inside
    program = opt / "metrics-hub" / "bin" / "metrics-hub"
    environ = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run([program, "--version"], env=environ, capture_output=True, check=True)  # noqa: S603 # as above
    assert done.stdout.startswith(b"metrics-hub ")
