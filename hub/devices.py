"""Which members of families to show, by globs: as an operator and a view may choose them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from hub.errors import InvalidValue

__all__ = ["USUAL", "Selection", "parse_devices"]

_FAMILY: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_MOST_GLOBS: Final = 16
_MOST_CHARACTERS: Final = 1024
"""What a stranger may ask for in one request: a glob is compiled, in up to half a millisecond."""

_MOST_KNOWN: Final = 512
"""Names that a selection remembers, so that a glob is tried once for each."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which members of one family are shown.

    Attributes:
        include: globs of those that are; without any, the usual ones are.
        exclude: globs of those that are not, whatever else says that they are.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    # What the globs say of names that were asked for; the same at every tick.
    _known: dict[str, bool | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def over(self, default: Selection) -> Selection:
        """Return this selection where it says something, and else the default."""
        if self.include:
            return self
        exclude = sorted({*default.exclude, *self.exclude})
        return Selection(default.include, tuple(exclude))

    def shows(self, name: str, *, usual: bool = True) -> bool:
        """Say whether a member is shown, which without a selection ``usual`` says."""
        try:
            known = self._known[name]
        except KeyError:
            known = self._judge(name)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[name] = known
        return usual if known is None else known

    def _judge(self, name: str) -> bool | None:
        """Say whether a member is shown; None if that depends on whether it is usual."""
        if any(fnmatchcase(name, glob) for glob in self.exclude):
            return False
        if not self.include:
            return None
        return any(fnmatchcase(name, glob) for glob in self.include)


USUAL: Final = Selection()


def parse_devices(
    label: str, text: str, families: Collection[str] | None = None, *, trusted: bool = False
) -> dict[str, Selection]:
    """Read lists such as ``network:eth*,!docker*,disks:/home``; what follows ``!`` is excluded.

    Args:
        label: the name under which the operator or client who wrote it knows it.
        text: lists of globs, each of which begins with its family.
        families: those that have members; by default any name is one.
        trusted: whether an operator wrote it, and not a stranger, who may write so much only.

    Raises:
        InvalidValue: it breaks a rule.
    """
    found: dict[str, tuple[set[str], set[str]]] = {}
    family = ""
    items = [item.strip(" ") for item in text.split(",")]
    if not trusted and (len(items) > _MOST_GLOBS or len(text) > _MOST_CHARACTERS):
        rule = f"at most {_MOST_GLOBS} globs, of {_MOST_CHARACTERS} characters together"
        raise InvalidValue(label, rule, text)
    for item in items:
        begins, glob = _begins(item)
        family = begins or family
        if not family or (families is not None and family not in families):
            known = "" if families is None else f", which are {', '.join(families)}"
            rule = f"lists of globs, each begun by a family that has members{known}"
            raise InvalidValue(label, f"{rule}, as in network:eth*,!docker*", item)
        is_excluded, glob = glob.startswith("!"), glob.removeprefix("!").strip(" ")
        if not glob:
            raise InvalidValue(label, "a list of globs, of which none is empty", item)
        found.setdefault(family, (set(), set()))[is_excluded].add(glob)
    return {name: _selection(*globs) for name, globs in found.items()}


def _begins(item: str) -> tuple[str, str]:
    """Return the family that an item begins a list of, if it does, and the rest of it."""
    family, colon, rest = item.partition(":")
    return (family, rest.strip(" ")) if colon and _FAMILY.fullmatch(family) else ("", item)


def _selection(include: Iterable[str], exclude: Iterable[str]) -> Selection:
    return Selection(tuple(sorted(include)), tuple(sorted(exclude)))
