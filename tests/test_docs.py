"""What the documents promise: that they are short, complete, linked, and true of the code."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import hub
from hub import Hub, Settings
from hub.__main__ import main
from hub.cli.flags import Flag, Parser, flags, resolve
from hub.errors import CloseReason, RefusalReason
from hub.feed.query import COLUMNS, FEED, LATEST
from hub.sampling.device_metrics import _gpu
from hub.sampling.metric import Metric
from hub.web.openapi import openapi
from hub.workers.sample import sampling_flags
from tests.support.clients import DEFAULT_MESSAGE, strict_json
from tests.support.documents import (
    DOCS,
    DOCUMENTS,
    README,
    ROOT,
    Snippet,
    anchors,
    column,
    commands,
    links,
    named,
    prose,
    snippet,
    snippets,
    table,
)

PARAMETERS: Final = (*FEED, *(one for one in COLUMNS if one not in FEED))
FEEDS: Final = ("/api/system/metrics", "/api/system/ws")
API: Final = DOCS / "api.md"
DESIGN: Final = DOCS / "design.md"
OPERATING: Final = DOCS / "operating.md"

CHECKED: Final = {
    "json": "here",
    "sh": "here, and run in end_to_end/test_examples.py",
    "python": "end_to_end/test_examples.py",
    "js": "here, and run in end_to_end/test_examples.py",
    "html": "end_to_end/test_examples.py",
    "nginx": "end_to_end/test_proxy.py",
    "caddy": "end_to_end/test_proxy.py",
    "haproxy": "end_to_end/test_proxy.py",
    "ini": "here",
    "yaml": "end_to_end/test_alerts.py",
    "text": "it is a drawing",
}
"""By language: where the examples are checked."""

NODE: Final = shutil.which("node") or ""
SYSTEMD_ANALYZE: Final = shutil.which("systemd-analyze") or ""

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def every_snippet(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", snippets(*languages), ids=str)


# Their form


def test_the_readme_is_no_longer_than_a_hundred_and_fifty_lines() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@every_document
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links(path):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        found = path.parent / target if target else path
        assert found.exists(), link
        assert not anchor or anchor in anchors(found), link


@every_document
def test_documents_link_to_nothing_that_is_not_where_they_are(path: Path) -> None:
    """The wheel has those in the package, and a clone has all of them."""
    root = DOCS if path.parent == DOCS else ROOT
    for link in links(path):
        assert "://" in link or (path.parent / link).resolve().is_relative_to(root), link


def test_every_document_of_the_package_is_linked_from_the_readme() -> None:
    linked = {(README.parent / link.partition("#")[0]).resolve() for link in links(README)}
    assert set(DOCS.iterdir()) <= linked


def test_every_kind_of_example_is_checked() -> None:
    assert {one.language for one in snippets()} == set(CHECKED)


# Examples that need no server


@every_snippet("json")
def test_an_example_in_json_is_one(example: Snippet) -> None:
    value = strict_json(example.text)
    if list(value) == ["cpu", "memory", "disk", "timestamp"]:
        assert DEFAULT_MESSAGE.fullmatch(example.text.strip())


@pytest.mark.skipif(not NODE, reason="there is no node on this system")
@every_snippet("js")
def test_an_example_in_javascript_can_be_read(example: Snippet, tmp_path: Path) -> None:
    path = tmp_path / "example.js"
    path.write_text(example.text, encoding="utf-8")
    subprocess.run([NODE, "--check", path], check=True)  # noqa: S603 # our own example


def test_targets_of_make_that_the_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    everything = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    wanted = set(re.findall(r"(?:`|^)make ([a-z-]+)", everything, re.MULTILINE))
    assert len(wanted) >= 9
    assert wanted <= targets


@pytest.mark.parametrize(
    "command", [one for one in commands() if re.match(r"metrics-hub (?!watch|sample)", one)]
)
def test_flags_that_an_example_gives_are_accepted(command: str) -> None:
    parser = Parser(allow_abbrev=False)
    parser.add_flags(flags())
    given = vars(parser.parse_args(command.split()[1:]))
    options = resolve(given, {})
    Settings(**{name: options[name] for name in Settings.__dataclass_fields__})


def unit() -> str:
    return snippet("ini", "[Unit]")


@pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="there is no systemd-analyze on this system")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "metrics-hub.service"
    path.write_text(unit().replace("/opt/metrics-hub/bin/metrics-hub", "/bin/true"))
    command = [SYSTEMD_ANALYZE, "verify", "--man=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # ours
    if "Failed to" in done.stderr and path.name not in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.splitlines()[0]}")
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_unit_gives_the_hub_flags_and_variables_that_it_knows(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("TOKEN\n")
    lines = [line.partition("=") for line in unit().splitlines() if "=" in line]
    environ = {
        name: value.replace("%d", str(tmp_path))
        for key, _, values in lines
        if key == "Environment"
        for name, _, value in [one.partition("=") for one in values.split()]
    }
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(unit())
    program, *arguments = parser["Service"]["ExecStart"].split()
    assert program == "/opt/metrics-hub/bin/metrics-hub"
    given = dict.fromkeys([flag.name for flag in flags()]) | {"drain_seconds": arguments[1]}
    options = resolve(given, environ)
    assert set(environ) <= {flag.variable for flag in flags()}
    assert arguments == ["--drain-seconds", "2"]
    assert options["tokens"] == ("TOKEN",)


# Their tables


def default(flag: Flag) -> str:
    return "" if flag.default in {None, ()} else f"`{flag.default}`"


@pytest.mark.skipif(os.name != "posix", reason="the documents have the defaults of POSIX")
def test_every_flag_is_there_with_its_default_in_the_order_of_the_help() -> None:
    rows = table(OPERATING, "flag", "default", "meaning")
    assert [row[:2] for row in rows] == [[f"`{one.option}`", default(one)] for one in flags()]


@pytest.mark.parametrize(
    "command", [one for one in commands() if one.startswith("metrics-hub sample ")]
)
def test_flags_of_the_sampler_that_an_example_gives_are_accepted(command: str) -> None:
    parser = Parser(allow_abbrev=False)
    parser.add_flags(sampling_flags())
    given = vars(parser.parse_args(command.split()[2:]))
    assert all(flag.resolve(given[flag.name], {}) is not None for flag in sampling_flags())


def test_every_flag_of_the_sampler_is_there_with_its_default() -> None:
    rows = table(OPERATING, "flag of `sample`", "default", "meaning")
    assert column(rows) == [one.option for one in sampling_flags()]
    own = [one for one in sampling_flags() if one.name.startswith("socket")]
    assert [row[:2] for row in rows[:2]] == [[f"`{one.option}`", default(one)] for one in own]


def test_every_flag_of_the_terminal_client_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    known = set(re.findall(r"(?<![\w-])--(?!no-)[a-z-]+", capsys.readouterr().out))
    shown = column(table(OPERATING, "flag", "meaning"))
    assert set(shown) == known - {"--help"}


def test_settings_of_an_application_are_flags_but_for_those_of_a_server() -> None:
    """As hub/docs/embedding.md says."""
    server = {
        "host", "port", "token_file", "trusted_proxies", "drain_seconds", "log_format",
        "log_level", "access_log", "workers",
    }  # fmt: skip
    assert {flag.name for flag in flags()} - server == set(Settings.__dataclass_fields__) - {
        "tokens"
    }


def families() -> list[Metric]:
    """List all families, also the one that takes an extra of the package."""
    known = list(Hub().catalog(restricted=True).metrics)
    if "gpu" not in [metric.name for metric in known]:
        known.append(_gpu())
    return known


def test_every_family_is_there() -> None:
    shown = [row[0] for row in table(API, "family", "value")]
    assert sorted(shown) == sorted(f"`{metric.name}`" for metric in families())


@pytest.mark.parametrize("metric", families(), ids=lambda metric: metric.name)
def test_every_member_of_a_family_s_values_is_there(metric: Metric) -> None:
    (text,) = (row[1] for row in table(API, "family", "value") if row[0] == f"`{metric.name}`")
    assert not [name for name in members(metric.schema) if f"`{name}`" not in text]


def members(schema: object) -> Iterator[str]:
    """Iterate over the names that values of a schema have."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        for below in schema.values():
            yield from members(below)


def test_every_parameter_is_there() -> None:
    shown = [
        name.partition("=")[0] for name in column(table(API, "parameter", "meaning", "default"))
    ]
    assert shown == [parameter.name for parameter in PARAMETERS]


def test_every_default_of_a_parameter_is_there() -> None:
    catalog = Hub().catalog()
    rows = table(API, "parameter", "meaning", "default")
    shown = {named(row[0])[0].partition("=")[0]: row[2] for row in rows}
    for parameter in PARAMETERS:
        found = parameter.schema(catalog).get("default", "")
        said = ",".join(found) if isinstance(found, list) else json.dumps(found).strip('"')
        assert said in shown[parameter.name]


@pytest.mark.parametrize(
    ("route", "parameters"),
    [("`GET /api/system/metrics`", LATEST), ("`GET /api/system/metrics/history`", COLUMNS)],
)
def test_a_route_s_parameters_are_there(route: str, parameters: tuple[object, ...]) -> None:
    (text,) = (row[1] for row in table(API, "route", "answer") if row[0] == route)
    assert re.findall(r"`([a-z]+)`", text) == [getattr(one, "name", "") for one in parameters]


def test_every_route_is_there() -> None:
    shown = " ".join(row[0] for row in table(API, "route", "answer"))
    paths = openapi(Hub().catalog())["paths"]
    assert isinstance(paths, dict)
    assert not [path for path in paths if f"GET {path}`" not in shown]
    assert not [path for path in FEEDS if f"WebSocket `{path}`" not in shown]


def test_every_close_code_is_there() -> None:
    rows = table(API, "code", "name", "meaning", "reconnect?")
    assert [row[:2] for row in rows] == [[str(one.code), f"`{one}`"] for one in CloseReason]


def test_every_reason_of_a_refusal_is_there() -> None:
    rows = table(API, "reason", "status", "meaning")
    known = {(f"`{one}`", str(one.status)) for one in RefusalReason}
    assert {(row[0], row[1]) for row in rows} == known
    assert len(rows) == len(known)


def test_every_member_that_is_shown_by_choice_is_of_a_family_that_has_some() -> None:
    (sentence,) = re.findall(r"^(.*?) have members,", prose(API), re.MULTILINE)
    assert named(sentence) == [metric.name for metric in families() if metric.has_members]


def test_the_readme_and_the_design_have_the_same_figures() -> None:
    header = (
        "server", "CPU µs per message", "lag p99", "memory per client", "handshakes per second",
    )  # fmt: skip
    full = {row[0]: row[1:] for row in table(DESIGN, *header)}
    for name, *figures in table(README, *header):
        assert full[name.partition(", no server")[0]] == figures


# The log


def logged() -> Iterator[str]:
    """Iterate over the lines that the hub logs, but for those for its developers."""
    for path in Path(hub.__file__).parent.rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(module):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _logged(function)


def _logged(function: ast.AST) -> Iterator[str]:
    texts: dict[str, str] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                texts[name] = text
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="_logger"), attr=level), args=[first, *_]
            ) if level != "debug":
                yield texts[first.id] if isinstance(first, ast.Name) else ast.literal_eval(first)
            case ast.Call(func=ast.Attribute(attr="LogRecord")):
                yield texts["text"]


def test_every_line_of_the_log_is_there() -> None:
    shown = column(table(OPERATING, "line", "meaning"))
    known = {re.sub(r"(%(\.0f|[a-z]))+", "…", text) for text in logged()}
    assert set(shown) == known
    assert len(shown) == len(known)


# The layout

UNDRAWN: Final = {"watch", "page"}
"""Packages that the layout names as a whole."""

CONNECTING: Final = {"and", "families", "hub", "of", "psutil", "starlette", "the", "uvicorn"}


def test_the_layout_is_drawn_as_it_is() -> None:
    (drawn,) = (one.text for one in snippets("text") if one.text.startswith(" hub/"))
    listed = re.sub(r"\([^)]*\)", "", drawn).lower()
    descriptions = r"(?<=__main__\.py) .*|(?<=settings\.py) .*|(?<=devices\.py) .*|(?<=docs/) .*"
    found = set(re.findall(r"[a-z_]+", re.sub(descriptions, "", listed))) - {"py"}
    package = Path(hub.__file__).parent
    modules = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    known = {part for module in modules for part in module.parts if part != "__init__"}
    hidden = {one.name for one in modules if set(one.parts[:-1]) & UNDRAWN}
    assert found - CONNECTING - {"docs"} <= known
    assert known - hidden <= found | UNDRAWN
