"""The documents for machines: sound by their own standards, and true of what the hub does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic_asyncapi.v3 import AsyncAPI

from hub import Hub, Metric, Settings, create_app
from hub.feed.query import FEED_PATH
from hub.feed.view import View
from hub.sampling.snapshot import Failure, Reading
from hub.web.asyncapi import asyncapi
from hub.web.openapi import openapi
from tests.support.fakes import snapshot
from tests.support.servers import ServerProcess, serve_here, start_hub

HOST: Final = "example.org:54112"
OFFICIAL: Final = Path(".venv/npm/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json")


def hub() -> Hub:
    hub = Hub(Settings(interval=0.5, history=120))
    hub.register(Metric("queue_depth", lambda: 1))
    return hub


def feeds(prefix: str = "", *, secure: bool = False) -> Any:  # noqa: ANN401 # any JSON
    offers = (hub().catalog(), hub().catalog(restricted=True))
    return asyncapi(*offers, HOST, prefix, secure=secure)


def test_the_openapi_document_is_valid() -> None:
    assert not [*OpenAPIV31SpecValidator(openapi(hub().catalog(), "/monitor")).iter_errors()]


def test_the_asyncapi_document_is_valid() -> None:
    AsyncAPI.model_validate(feeds("/monitor", secure=True))


@pytest.mark.skipif(not OFFICIAL.exists(), reason="npm's @asyncapi/specs is not in .venv/npm")
def test_the_asyncapi_document_is_valid_by_the_official_schema() -> None:
    schema = json.loads(OFFICIAL.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert not [*validator.iter_errors(feeds())]


def references(value: Any) -> Iterator[str]:  # noqa: ANN401 # any JSON
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


@pytest.mark.parametrize("kind", ["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(kind: str) -> None:
    document: Any = openapi(hub().catalog()) if kind == "openapi" else feeds()
    found = set(references(document))
    assert found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_the_documents_say_what_this_hub_offers() -> None:
    document: Any = openapi(hub().catalog())
    feed = document["paths"][f"{FEED_PATH}/stream"]["get"]["parameters"]
    by_name = {one["name"]: one["schema"] for one in feed}
    assert "queue_depth" in by_name["metrics"]["items"]["enum"]
    assert "processes" not in by_name["metrics"]["items"]["enum"]
    assert by_name["interval"]["multipleOf"] == 0.5
    assert by_name["history"]["maximum"] == 120
    channel = feeds("/monitor")
    query = channel["channels"]["feed"]["bindings"]["ws"]["query"]["properties"]
    assert list(query) == [name for name in by_name if name != "Last-Event-ID"]
    assert channel["servers"]["hub"] == {
        "host": HOST,
        "pathname": "/monitor",
        "protocol": "ws",
    }


def restricted(document: Any) -> object:  # noqa: ANN401 # any JSON
    return document["paths"]["/api/system/ws"]["get"]["x-restricted-families"]


def test_what_a_token_gives_is_named() -> None:
    assert restricted(openapi(hub().catalog())) == []
    assert restricted(openapi(hub().catalog(), "", ("b", "a"))) == ["a", "b"]


@pytest.mark.parametrize(("tokens", "given"), [((), []), (("canary-3f1c",), ["processes"])])
async def test_a_hub_says_what_its_tokens_give_and_none_where_it_has_none(
    tokens: tuple[str, ...], given: list[str]
) -> None:
    app = create_app(Settings(interval=0.1, tokens=tokens))
    async with serve_here(app) as local, httpx2.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{local.port}/openapi.json")).text
    assert restricted(json.loads(text)) == given
    assert "canary" not in text


def test_every_family_has_its_unit_its_convention_and_what_it_is_relative_to() -> None:
    contained = {"type": "number", "x-relative-to": "container"}
    one = hub()
    one.register(Metric("own", int, unit="furlongs", convention="own.length", schema=contained))
    offers = (one.catalog(), one.catalog(restricted=True))
    for document in (openapi(one.catalog()), asyncapi(*offers, HOST)):
        components = cast("dict[str, Any]", document["components"])
        families = components["schemas"]["Sample"]["properties"]
        assert families["own"]["x-unit"] == "furlongs"
        assert families["own"]["x-opentelemetry"] == "own.length"
        assert families["own"]["anyOf"][0] == contained
        standard = set(families) - {"own", "queue_depth", "errors", "timestamp", "seq"}
        assert all("x-opentelemetry" in families[name] for name in standard)


def test_restricted_families_are_in_the_feed_for_those_who_have_a_token() -> None:
    document = feeds()
    for name, restricted in (("feed", False), ("restrictedFeed", True)):
        query = document["channels"][name]["bindings"]["ws"]["query"]["properties"]
        assert ("processes" in query["metrics"]["items"]["enum"]) == restricted
    secured = [name for name, one in document["operations"].items() if "security" in one]
    assert secured == ["sendRestrictedMessage"]


def valid_message(payload: bytes) -> None:
    document: Any = openapi(hub().catalog())
    schema = {
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Sample", "Failure")],
        "components": document["components"],
    }
    jsonschema.validate(json.loads(payload), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("seq", [False, True])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("disk", [45.3, Failure("No such file or directory")])
def test_every_form_of_the_message_is_as_described(
    seq: bool,  # noqa: FBT001 # a parameter of the test
    partial: bool,  # noqa: FBT001
    disk: Reading,
) -> None:
    view = View(("cpu", "disk"), partial=partial, seq=seq)
    frame = view.encode(snapshot(cpu=1.0, disk=disk), 5)
    assert frame is not None
    valid_message(frame.payload)


def test_what_no_message_looks_like_is_not_as_described() -> None:
    for text in (b"{}", b'{"cpu":101,"timestamp":"x"}', b'{"gpu":1,"timestamp":"x"}'):
        with pytest.raises(jsonschema.ValidationError):
            valid_message(text)


async def test_what_a_hub_really_says_of_all_families_is_as_described() -> None:
    one = Hub(Settings(interval=0.1))
    names = one.catalog().names
    async with one.lifespan(), one.subscribe(names, partial=True, seq=True) as frames:
        async with asyncio.timeout(10):
            for _ in range(4):
                valid_message((await anext(frames)).payload)


# The routes do as they are described

BASE: Final = 0.125
"""Seconds between ticks: short, since some requests wait for one, and with exact multiples."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_hub(interval=str(BASE)) as server:
        yield server


@pytest.mark.parametrize(("name", "kind"), [("openapi", "3.1.0"), ("asyncapi", "3.0.0")])
def test_the_documents_are_served(server: ServerProcess, name: str, kind: str) -> None:
    response = httpx2.get(f"http://127.0.0.1:{server.port}/{name}.json", trust_env=False)
    assert response.headers["content-type"] == "application/json"
    assert response.json()[name] == kind
    here = f'"host":"127.0.0.1:{server.port}"'
    assert (here in response.text) == (name == "asyncapi")


routes = schemathesis.openapi.from_dict(
    cast("dict[str, Any]", openapi(Hub(Settings(interval=BASE)).catalog()))
).exclude(path=f"{FEED_PATH}/stream")  # it has no end; its parameters are the feed's


@routes.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route_keeps_to_its_description(
    server: ServerProcess, case: schemathesis.Case[Any]
) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{server.port}")
