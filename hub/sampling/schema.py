"""Holding values to the schema that their family publishes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import fastjsonschema
import orjson

from hub.errors import InvalidValue
from hub.sampling.value import Value

__all__ = ["Schema"]

_SHOWN: Final = 40


class Schema:
    """A JSON Schema that values can be held to.

    Args:
        definition: the schema; an empty one allows any value.

    Raises:
        InvalidValue: it is no JSON Schema.
    """

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self._check = _compiled(definition)
        member = None if "properties" in definition else definition.get("additionalProperties")
        self.has_members = isinstance(member, Mapping)
        """Whether it is about an object that has alike members, one for each device."""
        self._check_member = _compiled(member if isinstance(member, Mapping) else {})

    def check(self, value: Value) -> None:
        """Raise ValueError, which says what is wrong, where a value breaks the schema."""
        _apply(self._check, value)

    def check_member(self, value: Value | None) -> None:
        """Raise ValueError, which says what is wrong, where a member breaks the schema."""
        _apply(self._check_member, value)


def _apply(check: Callable[[Any], object], value: Value | None) -> None:
    try:
        check(value)
    except fastjsonschema.JsonSchemaValueException as error:
        place = ".".join(map(str, error.path[1:]))
        rule = error.message.removeprefix(str(error.name)).strip()
        raise ValueError(f"{place} {_shown(error.value)} {rule}".strip()) from None


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _compiled(definition: Mapping[str, Any]) -> Callable[[Any], object]:
    try:
        return _compile(orjson.dumps(definition))
    except (TypeError, ValueError, fastjsonschema.JsonSchemaDefinitionException) as error:
        raise InvalidValue("metric schema", f"a JSON Schema ({error})", definition) from None


@functools.lru_cache(maxsize=256)
def _compile(text: bytes) -> Callable[[Any], object]:
    """Compile a schema, which takes a millisecond or two, so that every hub needs it only once."""
    return fastjsonschema.compile(orjson.loads(text), use_default=False, detailed_exceptions=True)
