"""The layout as it is meant to be: which package may import which, and what the layout promises."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub

ROOT = Path(hub.__file__).parent

# What each package or top-level module may import of the hub.
ALLOWED = {
    "__main__": {"", "cli", "errors", "server", "settings", "workers"},
    "": {"errors", "feed", "sampling", "settings", "web"},
    "workers": {
        "access",
        "cli",
        "clock",
        "errors",
        "feed",
        "sampling",
        "server",
        "settings",
        "text",
        "web",
    },
    "server": {"access", "clock", "errors", "feed", "settings", "web"},
    "cli": {"access", "clock", "devices", "errors", "feed", "settings", "text"},
    "web": {
        "access",
        "clock",
        "devices",
        "errors",
        "feed",
        "histogram",
        "sampling",
        "settings",
        "text",
    },
    "feed": {"clock", "devices", "errors", "histogram", "sampling", "settings", "text"},
    "sampling": {"clock", "devices", "errors", "histogram", "settings", "text"},
    "settings": {"access", "devices", "errors"},
    "access": {"clock", "errors", "histogram", "text"},
    "clock": set(),
    "devices": {"errors"},
    "errors": set(),
    "histogram": set(),
    "text": set(),
}

# Packages from outside, and the packages or modules of the hub that may import them.
THIRD_PARTY = {
    "anyio": {"cli.watch", "clock", "sampling", "server.runner", "web", "workers"},
    "fastjsonschema": {"sampling.schema"},
    "httptools": {"server.http_limits"},
    "limits": {"access.rate_limit"},
    "orjson": {
        "feed.view",
        "sampling.hello",
        "sampling.schema",
        "sampling.wire",
        "web.columns",
        "web.past",
        "web.rows",
    },
    "prometheus_client": {"web.host_figures", "web.openmetrics", "web.prometheus"},
    "psutil": {"sampling"},
    "rich": {"cli.watch"},
    "starlette": {"web"},
    "uvicorn": {"server"},
    "websockets": {"cli.watch", "server"},
}

# Promises that the layout makes: who must never import what, and why.
NEVER = {
    "a command line starts without the web framework": ("cli", ("hub.web", "starlette")),
    "the feed can be served by anything": ("feed", ("starlette", "uvicorn", "hub.web")),
    "sampling knows no subscriber": ("sampling", ("hub.feed", "hub.web", "asyncio.Protocol")),
    "admission takes plain values": ("access", ("hub.feed", "hub.settings", "hub.sampling")),
    "settings are values and their rules": ("settings", ("hub.feed", "hub.sampling", "hub.web")),
}

LONGEST_CHAIN = 9


@functools.cache
def modules() -> dict[str, Path]:
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in ROOT.rglob("*.py")}
    return {
        ".".join(name.parts).removesuffix("__init__").removesuffix("."): path
        for name, path in paths.items()
    }


@functools.cache
def imports(module: str) -> frozenset[str]:
    return frozenset(_imports(modules()[module]))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            below = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if is_module(name) else str(node.module) for name in below)


def is_module(name: str) -> bool:
    return name.startswith("hub.") and name.removeprefix("hub.") in modules()


def own_imports(module: str) -> set[str]:
    own = {name for name in imports(module) if name.split(".")[0] == "hub"}
    return {name.removeprefix("hub").removeprefix(".") for name in own}


def package(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def chains() -> dict[str, set[str]]:
    """Return which packages each package imports."""
    found: dict[str, set[str]] = {package(module): set() for module in modules()}
    for module in modules():
        found[package(module)] |= {package(other) for other in own_imports(module)}
    return {name: others - {name} for name, others in found.items()}


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_package_may(module: str) -> None:
    place = package(module)
    for other in own_imports(module):
        allowed = ALLOWED[place] | {place}
        assert package(other) in allowed, f"hub.{place} may not import hub.{package(other)}"


@pytest.mark.parametrize("promise", NEVER)
def test_a_promise_of_the_layout_is_kept(promise: str) -> None:
    place, forbidden = NEVER[promise]
    for module in filter(lambda name: package(name) == place, modules()):
        for name in imports(module):
            broken = any(name == one or name.startswith(f"{one}.") for one in forbidden)
            assert not broken, f"'{promise}' is broken: hub.{module} imports {name}"


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_the_outside_packages_that_are_its_own(module: str) -> None:
    outside = {name.split(".")[0] for name in imports(module)} - {"hub"} - sys.stdlib_module_names
    for name in outside:
        assert within(module, THIRD_PARTY[name]), f"hub.{module} may not import {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    known: dict[str, int] = {}

    def depth(module: str, above: tuple[str, ...] = ()) -> int:
        assert module not in above, f"imported in a circle: {' -> '.join((*above, module))}"
        if module not in known:
            below = own_imports(module) & modules().keys()
            known[module] = 1 + max((depth(one, (*above, module)) for one in below), default=0)
        return known[module]

    for module in modules():
        depth(module)


def test_chains_of_packages_are_short_and_lead_down() -> None:
    below = chains()

    @functools.cache
    def depth(name: str) -> int:
        return 1 + max((depth(one) for one in below[name]), default=0)

    assert max(map(depth, below)) <= LONGEST_CHAIN


def test_every_module_can_be_read_at_one_go() -> None:
    for module, path in modules().items():
        assert len(path.read_text().splitlines()) <= 350, f"hub.{module} is two modules"


@pytest.mark.parametrize("module", [name for name in modules() if not name.endswith("__main__")])
def test_what_a_module_offers_is_there_and_is_documented(module: str) -> None:
    loaded = importlib.import_module(f"hub.{module}".removesuffix("."))
    assert loaded.__doc__
    assert len(set(loaded.__all__)) == len(loaded.__all__)
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None


def test_all_modules_can_be_found_by_the_import_system() -> None:
    found = {m.name for m in pkgutil.walk_packages(hub.__path__, "hub.")}
    assert found == {f"hub.{name}" for name in modules() if name}


def test_the_outside_packages_of_the_layout_are_the_declared_dependencies() -> None:
    declared = (ROOT.parent / "pyproject.toml").read_text()
    for name in THIRD_PARTY:
        assert f'"{name.replace("_", "-")}>=' in declared
