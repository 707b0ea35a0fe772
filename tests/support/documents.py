"""The documents that users read: their examples, their tables and their links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "DOCS",
    "DOCUMENTS",
    "README",
    "ROOT",
    "Snippet",
    "anchors",
    "column",
    "commands",
    "links",
    "named",
    "prose",
    "snippet",
    "snippets",
    "table",
]

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "hub" / "docs"
DOCUMENTS: Final = (README, *sorted(DOCS.glob("*.md")))

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Snippet:
    """An example, as it stands in a document.

    Attributes:
        document: the file's name.
        line: where it begins.
        language: as which it is marked.
        text: what it says, with its last line feed.
    """

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def snippets(*languages: str) -> list[Snippet]:
    """List the examples of these languages in all documents; without one, all of them."""
    return [
        Snippet(path.name, text[: fence.start()].count("\n") + 1, fence[1], fence[2])
        for path in DOCUMENTS
        for text in [path.read_text(encoding="utf-8")]
        for fence in _FENCE.finditer(text)
        if fence[1] in languages or not languages
    ]


def snippet(language: str, beginning: str) -> str:
    """Return the text of the only example of a language that begins so."""
    (found,) = (one.text for one in snippets(language) if one.text.startswith(beginning))
    return found


def commands() -> list[str]:
    """List the commands of all shell examples, each once, without comments.

    Programs of the virtual environment are called by their names alone.
    """
    lines = (line for one in snippets("sh") for line in one.text.splitlines())
    found = (line.split(" #")[0].strip().removeprefix(".venv/bin/") for line in lines)
    return list(dict.fromkeys(filter(None, found)))


def prose(path: Path) -> str:
    """Return what a document says beside its examples."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> list[str]:
    """List where a document's links lead."""
    return _LINK.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """Return the names by which links lead to a document's headings, as repository hosts do."""
    titles = (title.lower().replace("`", "") for title in _HEADING.findall(prose(path)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def table(path: Path, *header: str) -> list[list[str]]:
    """Return the rows of all tables of a document that have this header, cell by cell."""
    rows: list[list[str]] = []
    is_inside = False
    for line in prose(path).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            is_inside = False
        elif is_inside and not cells[0].startswith(":-"):
            rows.append(cells)
        elif cells == list(header):
            is_inside = True
    assert rows, f"no table {header} in {path.name}"
    return rows


def column(rows: list[list[str]], number: int = 0) -> list[str]:
    """List what is named in a column of a table, from top to bottom."""
    return [name for row in rows for name in named(row[number])]


def named(text: str) -> list[str]:
    """List what is named as code in a text."""
    return re.findall(r"`([^`]+)`", text)
