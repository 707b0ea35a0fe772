"""What a target is, and what holds for every refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["CANARY", "CORPUS", "Target", "check_line"]

CANARY: Final = "canary-9f2c41d7"
"""A token, or another secret, that no refusal may repeat."""

CORPUS: Final = Path(__file__).parent / "corpus"

_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, and what is asserted of it.

    Attributes:
        name: also of its folder in the corpus.
        run: takes any bytes; raises, most likely AssertionError, where something does not hold.
        words: what its inputs are made of, beside any bytes.
    """

    name: str
    run: Callable[[bytes], object]
    words: Sequence[bytes]

    def seeds(self) -> dict[str, bytes]:
        """Return the inputs that are kept, by the names of their files."""
        return {path.name: path.read_bytes() for path in sorted((CORPUS / self.name).iterdir())}


def check_line(text: str) -> None:
    """Check what a refusal says: one short printable line without a secret."""
    assert text.isprintable(), text
    assert 0 < len(text) <= _LONGEST, text
    assert CANARY not in text, text
