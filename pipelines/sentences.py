"""Numbers, names and parts of sentences to words: what messages, tables and pages write alike."""

import math
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final

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
    number = signed(value, digits) if sign else f"{value:.{digits}f}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number}{unit}"
    return f"{number}{unit} [{low:{plus}.{digits}f}, {high:{plus}.{digits}f}]"


def decimals_of(low: float, high: float, *, most: int = 5, fewest: int = 2) -> int:
    """Decimals that an interval deserves: two digits of its half-width if that begins with 1, else one."""
    half = abs(high - low) / 2
    if not math.isfinite(half) or half == 0:
        return 3
    exponent = math.floor(math.log10(half))
    leading = half / 10**exponent
    return max(fewest, min(most, -exponent + (1 if leading < 2 else 0)))


def count_of(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun.

    >>> count_of(1, "image"), count_of(1200, "image"), count_of(0, "class", "classes")
    ('1 image', '1,200 images', '0 classes')
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def size_in_words(size: int) -> str:
    """Bytes with two or three digits (powers of 1000).

    >>> size_in_words(77_000_000), size_in_words(1_234_000_000)
    ('77 MB', '1.2 GB')
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if value < 9.95 and unit != "B" else f"{value:.0f} {unit}"


# Names and lists -----------------------------------------------------------------------------------------------------


def listed(words: Iterable[Any], last: str = "and") -> str:
    """Words as a sentence lists them.

    >>> listed("abc"), listed(["a", "b"], "or"), listed(["a"])
    ('a, b and c', 'a or b', 'a')
    """
    *first, end = map(str, words)
    return f"{', '.join(first)} {last} {end}" if first else end


def first_of(words: Sequence[Any], most: int) -> str:
    """A list that is cut and counted.

    >>> first_of([7, 12, 13], 3), first_of([7, 12, 13], 2)
    ('7, 12, 13', '7, 12 and 1 more')
    """
    named = ", ".join(map(str, words[:most]))
    return named if len(words) <= most else f"{named} and {len(words) - most} more"


def shortened(text: str, longest: int) -> str:
    """A text whose end gives way to an ellipsis where it is longer than that.

    >>> shortened("background", 6)
    'backg…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def printable(text: str) -> str:
    r"""A text from a file for a message: what cannot be printed is escaped.

    >>> printable("cell" + chr(9) + "1")
    'cell\\t1'
    """
    return text if text.isprintable() else repr(text)[1:-1]


def one_line(text: str, longest: int = 120) -> str:
    """A text from outside for one line of a message: no control characters, not too long."""
    return shortened("".join(letter if letter.isprintable() else " " for letter in text), longest)


def path_tail(path: PurePath, parts: int = 2) -> str:
    """The end of a path for a message: enough to find the file, no more of the machine than needed.

    >>> path_tail(PurePath("/home/anna/cells/masks/1.png"))
    'masks/1.png'
    """
    text = printable("/".join(path.parts[-parts:]))
    return text if len(text) <= _LONGEST_PATH else f"…{text[-_LONGEST_PATH + 1 :]}"


_LONGEST_PATH: Final = 120

# Sentences -----------------------------------------------------------------------------------------------------------

# What a kind of truth is called where it is shown.
KIND_TITLES: Final = {"exclusive": "one label a pixel", "binary": "one class", "overlapping": "labels may overlap"}


def capitalised(text: str) -> str:
    """Text that begins a sentence: its first letter large, the others as they are.

    >>> capitalised("the Dice of A")
    'The Dice of A'
    """
    return text[:1].upper() + text[1:]


def none_carries(classes: Sequence[str], split: str) -> str:
    """Why a score of these classes has no value: "no pixel of test carries lesion", or "a, b or c"."""
    return f"no pixel of {split} carries {listed(classes, 'or')}"


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
