"""Values and intervals to text, with the number of decimals that they deserve."""

import math
from typing import Final

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
