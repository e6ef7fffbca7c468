"""Numbers and names to the words of a finding."""

from collections.abc import Sequence
from typing import Final

from pipelines.datasets.base import Finding, Severity
from pipelines.misuse.evidence import Evidence

_NAMED: Final = 6  # names listed before the rest are counted


def finding(code: str, severity: Severity, message: str) -> Finding:
    """One finding; severity "error" where results would be wrong, "warning" where they may be."""
    return Finding(code=code, severity=severity, message=message)


def every(seen: Evidence, what: str) -> str:
    """All values, and what they are declared to be."""
    return f"every one of the {seen.finite:,} values declared {what}"


def some(count: int, seen: Evidence, what: str) -> str:
    """How many of all values, and what they are declared to be."""
    values = seen.pixels * seen.channels
    return f"{count:,} of {values:,} values ({percent(count, values)}) declared {what}"


def percent(count: int, total: int) -> str:
    """A share with three digits."""
    return f"{100 * count / total:.3g}%"


def value_range(seen: Evidence) -> str:
    """Lowest to highest finite value."""
    return f"{seen.lowest:.4g} to {seen.highest:.4g}"


def names(words: Sequence[str]) -> str:
    """A list of names; a long one is cut and counted."""
    shown = ", ".join(words[:_NAMED])
    return shown if len(words) <= _NAMED else f"{shown} and {len(words) - _NAMED} more"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"
