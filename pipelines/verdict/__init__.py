"""Numbers to which last layer, and why."""

from pipelines.verdict.evidence import Evidence
from pipelines.verdict.model import Margin, Reason, Verdict
from pipelines.verdict.rule import FEWEST_SEEDS, decide, judge

__all__ = ["FEWEST_SEEDS", "Evidence", "Margin", "Reason", "Verdict", "decide", "judge"]
