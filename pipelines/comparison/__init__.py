"""Runs of one data set with several losses: what head, loss, threshold and temperature each move."""

from pipelines.comparison.compare import HEADLINES, as_json, compare, run_command, text
from pipelines.comparison.effects import (
    AS_TRAINED,
    CONTRAST_COLUMNS,
    FITTED,
    GAP_COLUMNS,
    MEAN,
    TABLE_KEYS,
    TITLES,
    Comparison,
    Conclusion,
    Effect,
    before_after,
    conclude,
    effect_rows,
    margin_of,
)
from pipelines.comparison.matching import LABEL_MEASURES, MEASURES, comparable, loss_of

__all__ = [
    "AS_TRAINED",
    "CONTRAST_COLUMNS",
    "FITTED",
    "GAP_COLUMNS",
    "HEADLINES",
    "LABEL_MEASURES",
    "MEAN",
    "MEASURES",
    "TABLE_KEYS",
    "TITLES",
    "Comparison",
    "Conclusion",
    "Effect",
    "as_json",
    "before_after",
    "comparable",
    "compare",
    "conclude",
    "effect_rows",
    "loss_of",
    "margin_of",
    "run_command",
    "text",
]
