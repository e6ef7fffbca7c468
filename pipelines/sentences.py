"""Parts of sentences to sentences."""

from collections.abc import Sequence


def begun(text: str) -> str:
    """Text that begins a sentence: its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def none_carries(classes: Sequence[str], split: str) -> str:
    """Why a score of these classes has no value: "no pixel of test carries lesion", or "a, b or c"."""
    *first, last = classes
    return (
        f"no pixel of {split} carries {', '.join(first)} or {last}" if first else f"no pixel of {split} carries {last}"
    )
