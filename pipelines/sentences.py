"""Numbers and parts of sentences to words."""

import math
from collections.abc import Sequence
from typing import Final

# Numbers -------------------------------------------------------------------------------------------------------------

NO_VALUE: Final = "no value"


def signed(value: float, digits: int) -> str:
    """A difference with its sign, which one that rounds to 0 has not: "+0.012", "-0.300", "0.000"; or "no value"."""
    if not math.isfinite(value):
        return NO_VALUE
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def bracketed(value: float, low: float, high: float, digits: int, *, sign: bool = False, unit: str = "") -> str:
    """A value and its interval, such as "0.812 [0.797, 0.826]", or of a difference "0.000 [-0.003, +0.003]".

    The ends keep their signs: of one that rounds to 0 it tells on which side it lies. unit: follows the value. What is
    undefined is left out or has no value.
    """
    if not math.isfinite(value):
        return NO_VALUE
    plus = "+" if sign else ""
    said = signed(value, digits) if sign else f"{value:.{digits}f}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{said}{unit}"
    return f"{said}{unit} [{low:{plus}.{digits}f}, {high:{plus}.{digits}f}]"


def decimals_of(low: float, high: float, *, most: int = 5, fewest: int = 2) -> int:
    """Decimals that an interval deserves: two digits of its half-width if that begins with 1, else one."""
    half = abs(high - low) / 2
    if not math.isfinite(half) or half == 0:
        return 3
    exponent = math.floor(math.log10(half))
    leading = half / 10**exponent
    return max(fewest, min(most, -exponent + (1 if leading < 2 else 0)))


# Sentences -----------------------------------------------------------------------------------------------------------


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
