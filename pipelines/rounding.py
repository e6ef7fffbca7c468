"""An interval to the number of decimals that it deserves."""

import math


def signed(value: float, digits: int) -> str:
    """A difference with its sign, which one that rounds to 0 has not: "+0.012", "-0.300", "0.000"."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def decimals_of(low: float, high: float, *, most: int = 5, fewest: int = 2) -> int:
    """Decimals that an interval deserves: two digits of its half-width if that begins with 1, else one."""
    half = abs(high - low) / 2
    if not math.isfinite(half) or half == 0:
        return 3
    exponent = math.floor(math.log10(half))
    leading = half / 10**exponent
    return max(fewest, min(most, -exponent + (1 if leading < 2 else 0)))
