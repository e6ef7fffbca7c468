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


def no_value(metric_label: str, class_name: str, split: str) -> str:
    """A value that is undefined because nothing was there, in words.

    >>> no_value("Dice", "lesion", "test")
    'no pixel of test carries lesion, so Dice has no value'
    """
    return f"{none_carries([class_name], split)}, so {metric_label} has no value"


def not_tuned(classes: Sequence[str], split: str) -> str:
    """Why the thresholds of these classes are not tuned ones, and which are used.

    >>> not_tuned(["c2", "c3"], "val")
    'no pixel of val carries c2 or c3, so their thresholds could not be tuned and stay at 0.5'
    """
    whose, stay = ("its threshold", "stays") if len(classes) == 1 else ("their thresholds", "stay")
    return f"{none_carries(classes, split)}, so {whose} could not be tuned and {stay} at 0.5"
