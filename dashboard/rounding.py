"""Numbers to text, rounded to their uncertainty."""

import math
import re
from typing import TypeGuard

import pandas as pd

from pipelines import sentences

NO_VALUE = "–"


def _is_number(value: float | None) -> TypeGuard[float]:
    """Whether a value can be written: neither missing nor NaN nor infinite."""
    return value is not None and not pd.isna(value) and math.isfinite(value)


def with_interval(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    signed: bool = False,
    unit: str = "",
    fewest: int = 2,
) -> str:
    """Value and interval with the decimals that the interval deserves, such as "0.812 [0.797, 0.826]"."""
    if not _is_number(value):
        return NO_VALUE
    if not (_is_number(low) and _is_number(high)):
        return minus(f"{sentences.signed(value, 3) if signed else f'{value:.3f}'}{unit}")
    if value == low == high == 0:
        return f"0{unit}"
    digits = sentences.decimals_of(low, high, fewest=0 if unit else fewest)
    return minus(sentences.bracketed(value, low, high, digits, sign=signed, unit=unit))


def percent(share: float | None, *, signed: bool = False) -> str:
    """A share as percent with about three digits, such as "10.7%", "0.23%" or "< 0.01%"."""
    if not _is_number(share):
        return NO_VALUE
    plus = "+" if signed else ""
    value = 100 * share
    if 0 < abs(value) < 0.01:
        return f"{'> −' if value < 0 else '< '}0.01%"
    digits = 2 if abs(value) < 1 and value else 1
    return minus(f"{value:{plus}.{digits}f}%")


def rounded(value: float | None) -> str:
    """A score without an interval, with three decimals."""
    return minus(f"{value:.3f}") if _is_number(value) else NO_VALUE


def count(number: float) -> str:
    """A whole number with thin spaces between thousands."""
    if not _is_number(number):
        return NO_VALUE
    return f"{int(number):,}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Time left in words, such as "about 2 min"; empty when it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def minus(text: str) -> str:
    """The same with typographic minus signs."""
    return text.replace("-", "−")


def typeset(text: str) -> str:
    """Running text with typographic minus signs before numbers."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)
