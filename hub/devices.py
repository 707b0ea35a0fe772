"""Which members of families to show, by globs: as an operator and a view may choose them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from hub.errors import InvalidValue

__all__ = ["USUAL", "Selection", "parse_devices"]

_FAMILY: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_MOST: Final = 64  # globs in one text
_LENGTH: Final = 256  # of each


@dataclass(frozen=True, slots=True)
class Selection:
    """Which members of one family are shown.

    Attributes:
        include: globs of those that are; without any, the usual ones are.
        exclude: globs of those that are not, whatever else says that they are.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def over(self, default: Selection) -> Selection:
        """Return this selection where it says something, and else the default."""
        if self.include:
            return self
        exclude = sorted({*default.exclude, *self.exclude})
        return Selection(default.include, tuple(exclude))

    def shows(self, name: str, *, usual: bool = True) -> bool:
        """Say whether a member is shown, which without a selection ``usual`` says."""
        if any(fnmatchcase(name, glob) for glob in self.exclude):
            return False
        if not self.include:
            return usual
        return any(fnmatchcase(name, glob) for glob in self.include)


USUAL: Final = Selection()


def parse_devices(
    field: str, text: str, families: Collection[str] | None = None
) -> dict[str, Selection]:
    """Read lists such as ``network:eth*,!docker*,disks:/home``; what follows ``!`` is excluded.

    Args:
        field: the name under which whoever wrote it knows it.
        text: lists of globs, each of which begins with its family.
        families: those that have members; by default any name is one.

    Raises:
        InvalidValue: it breaks a rule.
    """
    found: dict[str, tuple[set[str], set[str]]] = {}
    family = ""
    items = [item.strip() for item in text.split(",")]
    for item in items:
        begins, glob = _begins(item)
        family = begins or family
        if not family or (families is not None and family not in families):
            known = "" if families is None else f", which are {', '.join(families)}"
            rule = f"lists of globs, each begun by a family that has members{known}"
            raise InvalidValue(field, f"{rule}, as in network:eth*,!docker*", item)
        is_excluded, glob = glob.startswith("!"), glob.removeprefix("!").strip()
        if not 0 < len(glob) <= _LENGTH or len(items) > _MOST:
            rule = f"at most {_MOST} globs of 1 to {_LENGTH} characters"
            raise InvalidValue(field, rule, item)
        found.setdefault(family, (set(), set()))[is_excluded].add(glob)
    return {name: _selection(*globs) for name, globs in found.items()}


def _begins(item: str) -> tuple[str, str]:
    """Return the family that an item begins a list of, if it does, and the rest of it."""
    family, colon, rest = item.partition(":")
    return (family, rest.strip()) if colon and _FAMILY.fullmatch(family) else ("", item)


def _selection(include: Iterable[str], exclude: Iterable[str]) -> Selection:
    return Selection(tuple(sorted(include)), tuple(sorted(exclude)))
