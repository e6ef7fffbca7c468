"""Bootstrap replicates to intervals, p-values, and the number of units that would settle an open question.

Everywhere value is (...) and replicates are (B, ...): the statistic on the data and on B resamples of its units
(images or groups), any trailing axes. NaN replicates are left out of their column; where none is left, or there are
fewer than two units, results are NaN.

One confidence distribution stands behind intervals and tests, so that they never contradict each other: the replicates'
distances from the value, stretched by widening(units). A percentile interval is too narrow for few units: it uses the
normal quantile where Student's t is due and the variance with divisor n (Hesterberg 2015, section 3.2).
"""

from pipelines.metrics.bootstrap import CONFIDENCE
from pipelines.metrics.inference.bias import BIAS_FACTOR, bias_corrected, calibration_error, moved, reduced_absolute
from pipelines.metrics.inference.intervals import (
    Method,
    Units,
    further_units,
    interval,
    simultaneous_interval,
    standard_error,
    widening,
)
from pipelines.metrics.inference.p_values import equivalence_p_value, holm, p_value
from pipelines.metrics.inference.seeds import over_seeds

__all__ = [
    "BIAS_FACTOR", "CONFIDENCE", "Method", "Units", "bias_corrected", "calibration_error", "equivalence_p_value",
    "further_units", "holm", "interval", "moved", "over_seeds", "p_value", "reduced_absolute", "simultaneous_interval",
    "standard_error", "widening",
]  # fmt: skip
