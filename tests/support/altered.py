"""A uvicorn whose internals were changed in one point, and that works as before by itself.

Its modules are made anew from the installed ones' source. ``python -m tests.support.altered POINT
FLAGS…`` is ``python -m hub FLAGS…`` over such a uvicorn.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final

__all__ = ["CHANGES", "HARMLESS", "UNDECLARED", "Change", "install"]

WS: Final = "uvicorn.protocols.websockets.websockets_sansio_impl"
HTTP: Final = "uvicorn.protocols.http.httptools_impl"

WEBSOCKET: Final = "WebSocketsSansIOProtocol"
REQUEST: Final = "HttpToolsProtocol"
CYCLE: Final = "RequestResponseCycle"

_MODULES: Final = {WEBSOCKET: WS, REQUEST: HTTP, CYCLE: HTTP}

_ATTRIBUTES: Final = {
    WEBSOCKET: (
        *("app_state", "asgi_version", "root_path", "default_headers", "disconnected", "logger"),
        *("tasks", "writable", "client", "close_sent", "conn", "connections"),
        *(
            "handshake_complete",
            "handshake_initiated",
            "loop",
            "ping_interval",
            "queue",
            "read_paused",
            "response",
        ),
        *("scheme", "scope", "server", "transport"),
    ),
    REQUEST: (
        *("app_state", "client", "config", "connections", "cycle", "expect_100_continue", "flow"),
        *("headers", "loop", "scheme", "scope", "server", "server_state", "url"),
    ),
    CYCLE: ("disconnected", "message_event", "response_complete", "response_started"),
}
_RENAMED: Final = {
    WEBSOCKET: ("handle_connect", "run_asgi", "send", "shutdown"),
    REQUEST: ("_should_upgrade", "on_response_complete", "send_400_response", "shutdown"),
}
_LONGER: Final = {
    WEBSOCKET: ("handle_connect", "run_asgi", "send"),
    REQUEST: (
        *("_should_upgrade", "handle_websocket_upgrade", "on_response_complete"),
        "send_400_response",
    ),
}
_MOVED: Final = ("on_header", "on_headers_complete", "on_message_complete")

_BUFFERED: Final = r"""
    def get_buffer(self, sizehint):
        self._received = bytearray(65536)
        return self._received

    def buffer_updated(self, size):
        self.take(bytes(self._received[:size]))

    def eof_received("""


@dataclass(frozen=True, slots=True)
class Edit:
    """What to replace, as a regular expression, in the source of a class."""

    place: str
    pattern: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of uvicorn.

    Attributes:
        point: what has changed, as ``incompatibilities`` names it.
        how: in what way.
        place: the class that it is declared of.
        edits: at all places that have to do with it.
    """

    point: str
    how: str
    place: str
    edits: tuple[Edit, ...]

    @property
    def name(self) -> str:
        return f"{self.place} {self.point} {self.how}"


def _attribute(place: str, name: str) -> Change:
    edits = [Edit(place, rf"\bself\.{name}\b", f"self.other_{name}")]
    if place == CYCLE and name != "response_started":  # which is its own affair
        edits.append(Edit(REQUEST, rf"\b(\w*cycle)\.{name}\b", rf"\1.other_{name}"))
    return Change(f"attribute {name}", "renamed", place, tuple(edits))


def _renamed(place: str, name: str) -> Change:
    edit = Edit(place, rf"(def |self\.)\b{name}\b", rf"\1other_{name}")
    return Change(f"method {name}", "renamed", place, (edit,))


def _longer(place: str, name: str) -> Change:
    """Give a method one more parameter, and an argument for it wherever it is used."""
    edits = (
        Edit(place, rf"self\.{name}\b", f"(lambda *rest: self.{name}(1, *rest))"),
        Edit(place, rf"def {name}\(\s*self\b", f"def {name}(self, more"),
    )
    return Change(f"method {name}", "with another parameter", place, edits)


def _buffered(place: str) -> Change:
    """Have the event loop fill a buffer, which asyncio's protocols may ask for."""
    edits = [
        Edit(place, r"asyncio\.Protocol", "asyncio.BufferedProtocol"),
        Edit(place, r"def data_received\(", "def take("),
        Edit(place, r"\n    def eof_received\(", _BUFFERED),
    ]
    if place == WEBSOCKET:
        edits.append(Edit(REQUEST, r"protocol\.data_received\(", "protocol.take("))
    return Change("method data_received", "gone for a buffer's", place, tuple(edits))


def _moved(name: str) -> Change:
    """Have the parser call another object."""
    parser = "HttpRequestParser"
    edits = (
        Edit(REQUEST, rf"def {name}\(", "def take("),
        Edit(REQUEST, rf"{parser}\(self\)", f"{parser}(Callbacks(self, '{name}'))"),
    )
    return Change(f"method {name}", "gone to another object", REQUEST, edits)


class Callbacks:
    """What a parser calls; one of them has another name in the protocol."""

    def __init__(self, protocol: object, moved: str) -> None:
        self._protocol = protocol
        self._moved = moved

    def __getattr__(self, name: str) -> object:
        return getattr(self._protocol, "take" if name == self._moved else name)


def _all(change: Callable[[str, str], Change], names: Mapping[str, Sequence[str]]) -> list[Change]:
    return [change(place, name) for place, found in names.items() for name in found]


CHANGES: Final = (
    *_all(_attribute, _ATTRIBUTES),
    *_all(_renamed, _RENAMED),
    *_all(_longer, _LONGER),
    *map(_buffered, (WEBSOCKET, REQUEST)),
    *map(_moved, _MOVED),
)
"""At least one of every point that is declared."""

UNDECLARED: Final = Change(
    "", "no extensions in the scope", WEBSOCKET, (Edit(WEBSOCKET, r'"extensions": \{.*\},', ""),)
)
"""A change that breaks the takeover and that no table shows."""

HARMLESS: Final = Change(
    "method handle_connect",
    "with one more parameter, which has a default",
    WEBSOCKET,
    (Edit(WEBSOCKET, r"def handle_connect\(self, event: Request", r"\g<0>, more: int = 0"),),
)
"""A change that a table shows and that breaks nothing."""


def install(change: Change) -> None:
    """Have the next imports of uvicorn's protocols find the changed ones."""
    for name, edits in _by_module(change.edits).items():
        specification = importlib.util.find_spec(name)
        assert specification is not None
        assert specification.origin is not None
        loader = specification.loader
        assert isinstance(loader, importlib.machinery.SourceFileLoader)
        source = loader.get_data(specification.origin).decode()
        for edit in edits:
            source = _edited(source, edit)
        module = sys.modules[name] = ModuleType(name)
        module.__dict__["Callbacks"] = Callbacks
        exec(compile(source, f"<{name}, changed>", "exec"), module.__dict__)  # noqa: S102 # uvicorn's


def _by_module(edits: Iterable[Edit]) -> dict[str, list[Edit]]:
    found: dict[str, list[Edit]] = {}
    for edit in edits:
        found.setdefault(_MODULES[edit.place], []).append(edit)
    return found


def _edited(source: str, edit: Edit) -> str:
    start = source.index(f"class {edit.place}")
    end = source.find("\nclass ", start)
    end = len(source) if end < 0 else end
    body, count = re.subn(edit.pattern, edit.replacement, source[start:end])
    assert count, f"there is no {edit.pattern} in {edit.place}"
    return source[:start] + body + source[end:]


if __name__ == "__main__":
    install(next(change for change in CHANGES if change.name == sys.argv[1]))
    from hub.__main__ import main

    sys.exit(main(sys.argv[2:]))
