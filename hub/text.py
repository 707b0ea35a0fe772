"""Text from outside the hub, made fit for a log and a terminal."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(text: str, length: int) -> str:
    """Make text fit for a log and a terminal: one line of at most ``length`` characters.

    White space is folded; what cannot be printed, such as control characters and lone
    surrogates, becomes ``?``.
    """
    start = text[: 10 * length]
    printable = "".join(c if c.isprintable() or c.isspace() else "?" for c in start)
    folded = " ".join(printable.split())
    return folded if len(folded) <= length else f"{folded[: length - 1]}…"
