"""Numbers to which last layer, and why."""

from pipelines.verdict.evidence import Evidence, Margin, Missing, Reason, Verdict
from pipelines.verdict.lone import missing_head, only
from pipelines.verdict.rule import FEWEST_SEEDS, decide, judge

__all__ = [
    "FEWEST_SEEDS",
    "Evidence",
    "Margin",
    "Missing",
    "Reason",
    "Verdict",
    "decide",
    "judge",
    "missing_head",
    "only",
]
