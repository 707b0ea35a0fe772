"""The house as it is meant to be: which room may know which, and what is on offer."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub

ROOT = Path(hub.__file__).parent

# Rooms from the top of the house to its foundations; each may import only those below it.
ORDER = [
    "__main__",
    "watch",
    "watch.command",
    "watch.screen",
    "watch.lines",
    "watch.follower",
    "watch.terminal",
    "flags",
    "server.runner",
    "server.handshake",
    "server",
    "server.protocol",
    "server.footing",
    "server.connection",
    "server.listener",
    "server.logs",
    "",
    "app",
    "guard",
    "page",
    "session",
    "http",
    "telemetry",
    "admission",
    "description",
    "pump",
    "core",
    "statistics",
    "channel",
    "stall",
    "keepalive",
    "lag",
    "subscriber",
    "history",
    "window",
    "request",
    "view",
    "frame",
    "sampler",
    "histogram",
    "collector",
    "families",
    "metrics",
    "clock",
    "snapshot",
    "settings",
    "rate",
    "names",
    "errors",
]

# Packages from outside, and the rooms that may know them.
THIRD_PARTY = {
    "anyio": {
        "clock",
        "collector",
        "http",
        "pump",
        "server.runner",
        "watch.command",
        "watch.follower",
    },
    "limits": {"rate"},
    "orjson": {"http", "view"},
    "prometheus_client": {"telemetry"},
    "psutil": {"families"},
    "rich": {"watch.command", "watch.screen"},
    "starlette": {"app", "guard", "http", "page", "pump", "session"},
    "uvicorn": {"server.runner", "server.handshake", "server.protocol", "server.footing"},
    "websockets": {"server.protocol", "server.connection", "watch.follower"},
}


def rooms() -> dict[str, Path]:
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in ROOT.rglob("*.py")}
    return {
        ".".join(name.parts).removesuffix("__init__").removesuffix("."): path
        for name, path in paths.items()
    }


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            below = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if is_module(name) else str(node.module) for name in below)


def is_module(name: str) -> bool:
    return name.startswith("hub.") and name.removeprefix("hub.") in rooms()


def test_every_room_is_in_the_plan() -> None:
    assert sorted(rooms()) == sorted(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    below = ORDER[ORDER.index(room) + 1 :]
    known = {name for name in imports(rooms()[room]) if name.split(".")[0] == "hub"}
    assert {name.removeprefix("hub").removeprefix(".") for name in known} <= set(below)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_the_packages_that_are_its_own(room: str) -> None:
    packages = {name.split(".")[0] for name in imports(rooms()[room])}
    for package in packages - {"hub"} - sys.stdlib_module_names:
        assert room in THIRD_PARTY[package]


@pytest.mark.parametrize("room", [room for room in ORDER if room != "__main__"])
def test_what_a_room_offers_is_there_and_is_documented(room: str) -> None:
    module = importlib.import_module(f"hub.{room}".removesuffix("."))
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_all_rooms_can_be_found_by_the_import_system() -> None:
    found = {m.name for m in pkgutil.walk_packages(hub.__path__, "hub.")}
    assert found == {f"hub.{room}" for room in ORDER if room}


def test_the_packages_of_the_plan_are_the_declared_dependencies() -> None:
    declared = (ROOT.parent / "pyproject.toml").read_text()
    for package in THIRD_PARTY:
        assert f'"{package.replace("_", "-")}>=' in declared
