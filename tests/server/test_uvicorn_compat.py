from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hub.server.http_limits import HandshakeProtocol
from hub.server.protocol import TakeoverProtocol
from hub.server.uvicorn_compat import (
    ATTRIBUTES,
    CYCLE_ATTRIBUTES,
    HTTP_ATTRIBUTES,
    HTTP_METHODS,
    METHODS,
    incompatibilities,
)


class Altered(WebSocketsSansIOProtocol):
    """Has a longer signature than the hub knows."""

    def data_received(self, data: bytes, *, at: float = 0.0) -> None:
        raise NotImplementedError


class Bare(WebSocketsSansIOProtocol):
    """Sets other attributes than the hub knows; still has the methods."""

    def __init__(self) -> None:
        self.conn = self.transport = self.connections = None  # type: ignore[assignment]


def without(method: str) -> type[WebSocketsSansIOProtocol]:
    """Make a uvicorn whose protocol class lacks a method."""
    kept = {n: getattr(WebSocketsSansIOProtocol, n) for n in METHODS if n != method}
    made: type[WebSocketsSansIOProtocol] = type(
        "Lacking", (), {**kept, "__init__": WebSocketsSansIOProtocol.__init__}
    )
    return made


def test_the_installed_uvicorn_is_as_known() -> None:
    changed = incompatibilities()
    assert not changed, (
        f"uvicorn {uvicorn.__version__} differs from what the takeover leans on: {changed}; "
        "see hub/server/uvicorn_compat.py"
    )


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_that_is_gone_is_named(method: str) -> None:
    assert incompatibilities(without(method))[0] == f"method {method}"


def test_a_method_that_takes_something_else_is_named() -> None:
    assert incompatibilities(Altered) == ["method data_received"]


def test_attributes_that_are_gone_are_named() -> None:
    made = {"conn", "transport", "connections", "response", "scope", "close_sent"} | {
        "handshake_complete", "handshake_initiated"
    }  # fmt: skip
    found = incompatibilities(Bare)
    assert found == [f"attribute {name}" for name in sorted(ATTRIBUTES - made)]
    assert {"attribute ping_interval", "attribute read_paused"} <= set(found)


def test_an_attribute_of_something_else_does_not_count() -> None:
    class Cycle:
        def __init__(self, other: Cycle) -> None:
            self.disconnected = other.response_complete
            self.message_event = self.response_started = other

        response_complete: bool

    assert incompatibilities(cycle=Cycle) == ["attribute response_complete"]


def test_an_answer_without_the_attributes_that_are_known_is_named() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.disconnected = False

    found = incompatibilities(cycle=Cycle)
    names = ("message_event", "response_complete", "response_started")
    assert found == [f"attribute {name}" for name in names]


def test_all_that_has_changed_is_named() -> None:
    class Both(Altered, Bare):
        pass

    found = incompatibilities(Both)
    assert found[0] == "method data_received"
    assert "attribute ping_interval" in found[1:]


# Whether the tables are complete

KNOWN: Final[Mapping[type, set[str]]] = {
    TakeoverProtocol: {
        *METHODS, *ATTRIBUTES, "connection_made", "connection_lost", "disconnected",
    },
    HandshakeProtocol: {
        *HTTP_METHODS, *HTTP_ATTRIBUTES, *CYCLE_ATTRIBUTES,
        "connection_made", "connection_lost", "parser", "transport",
    },
}  # fmt: skip


def inherited(protocol: type) -> Iterator[str]:
    """Yield the names that a protocol class uses of itself and does not define."""
    tree = ast.parse(inspect.getsource(protocol))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("self")) if node.attr not in vars(protocol):
                yield node.attr
            case ast.Attribute(value=ast.Call(func=ast.Name("super"))):
                yield node.attr
            case ast.Attribute(value=ast.Attribute(attr="_running")):
                yield node.attr


@pytest.mark.parametrize("protocol", KNOWN)
def test_what_a_protocol_class_leans_on_is_declared(protocol: type) -> None:
    annotated = set(inspect.get_annotations(protocol))
    assert set(inherited(protocol)) - annotated <= KNOWN[protocol]
