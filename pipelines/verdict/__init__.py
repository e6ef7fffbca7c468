"""Numbers to which last layer, and why."""

from pipelines.verdict.model import Margin, Reason, Verdict
from pipelines.verdict.rule import FEWEST_SEEDS, decide

__all__ = ["FEWEST_SEEDS", "Margin", "Reason", "Verdict", "decide"]
