"""Names from outside to the words of a message."""

from collections.abc import Sequence
from typing import Final

_NAMED: Final = 100  # names in one message
_LETTERS: Final = 120


def printable(text: str) -> str:
    """A text from outside for one line of a message: no control characters, not too long."""
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return kept if len(kept) <= _LETTERS else f"{kept[: _LETTERS - 1]}…"


def named(words: Sequence[str]) -> str:
    """Names in one line; a very long list is cut and counted."""
    shown = ", ".join(printable(word) for word in words[:_NAMED])
    return shown if len(words) <= _NAMED else f"{shown} and {len(words) - _NAMED} more"
