"""Reasons of a verdict and findings of the check to titled boxes, the same on pages and in reports."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from dashboard.rounding import typeset, with_interval
from dashboard.theme import Theme
from pipelines.verdict import Reason, Verdict

_SPEAKS: Final = {"sigmoid": "speaks for sigmoid", "softmax": "speaks for softmax", "caution": "caution"}
ALONE: Final = "OWN-"  # codes of what one head says of itself where there is none to compare it with
_SEVERITIES: Final = {"error": "#c0392b", "warning": "#b7791f", "note": "#6b7785"}


class Card(NamedTuple):
    """A box. tag: a few words above the title; title and number: may be empty; color: of tag and edge, "#rrggbb"."""

    tag: str
    title: str
    number: str
    text: str
    color: str


def reason_card(reason: Reason, verdict: Verdict, theme: Theme) -> Card:
    """A reason with its number, which has the decimals that it has in the text."""
    number = (
        with_interval(reason.value, reason.low, reason.high, signed=True, fewest=3) if reason.low is not None else ""
    )
    alone = reason.code.startswith(ALONE) and reason.supports == "neither"
    tag = "this head alone" if alone else _SPEAKS.get(reason.supports, "speaks for neither")
    return Card(
        tag, reason.title, number, typeset(reason.text),
        color_of(reason.supports, verdict, theme),
    )  # fmt: skip


def color_of(supports: str, verdict: Verdict, theme: Theme) -> str:
    """A head's colour, or a quiet one for what speaks for neither."""
    if supports == "sigmoid":
        return theme.heads["sigmoid"]
    return theme.heads[verdict.contender or "softmax"] if supports == "softmax" else theme.muted


def finding_card(finding: Mapping[str, str]) -> Card:
    """A finding of the check of a data set: its severity, code and message."""
    severity, code, message = finding["severity"], finding["code"], finding["message"]
    return Card(f"{severity} · {code}", "", "", message, _SEVERITIES[severity])
