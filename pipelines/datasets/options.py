"""Options of formats, which are text, to values."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pipelines.errors import DatasetError
from pipelines.sentences import listed

_CHANNEL: Final = re.compile(r"[1-9]\d{0,3}", re.ASCII)


def choice(options: Mapping[str, str], option: str, allowed: Sequence[str], otherwise: str = "") -> str:
    """The value of an option that names one of a few, in lower case; `otherwise` where it is left out or empty.

    Raises DatasetError for any other value.
    """
    given = options.get(option, "").strip().casefold() or otherwise
    if given not in (*allowed, otherwise):
        raise DatasetError(f"{option} must be {listed([*allowed, 'left out'], 'or')}, got {given[:50]!r}")
    return given


def whole_number(options: Mapping[str, str], option: str, low: int, high: int, example: str) -> int | None:
    """The value of an option that is a whole number; None where it is left out.

    Raises DatasetError for any other text and outside of the limits.
    """
    given = options.get(option)
    if given is None:
        return None
    text = given.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise DatasetError(f"{option} must be a whole number from {low} to {high}, {example}, got {given[:50]!r}")
    return int(text)


def positive_number(options: Mapping[str, str], option: str, high: int, example: str) -> float | None:
    """The value of an option that is a number above 0; None where it is left out. Raises DatasetError for others."""
    given = options.get(option)
    if given is None or not given.strip():
        return None
    text = given.strip()
    if re.fullmatch(r"[0-9]{0,9}\.?[0-9]{0,9}", text) is None or text == "." or not 0 < float(text) <= high:
        raise DatasetError(f"{option} must be a number above 0 and at most {high}, {example}, got {given[:50]!r}")
    return float(text)


def channel_numbers(options: Mapping[str, str], option: str, most: int) -> tuple[int, ...]:
    """Numbers of channels in an option, from 0; () where nothing is said. Raises DatasetError for anything else."""
    given = options.get(option, "").strip()
    numbers = given.split(",")
    if given and (len(numbers) > most or any(_CHANNEL.fullmatch(number.strip()) is None for number in numbers)):
        raise DatasetError(f"{option} must be 1 to {most} numbers from 1, such as 4,3,2, got {given[:50]!r}")
    return tuple(int(number) - 1 for number in numbers) if given else ()


def limits(text: str) -> tuple[float, float] | None:
    """Two finite numbers, low and high, with a comma between them; None for anything else."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return (low, high) if low < high and math.isfinite(low) and math.isfinite(high) else None
