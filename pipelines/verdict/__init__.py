"""Numbers to which last layer, and why."""

from pipelines.heads import missing_head, only
from pipelines.judgement import Margin, Missing, Reason, Verdict
from pipelines.verdict.evidence import Evidence
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
