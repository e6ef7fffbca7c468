"""Score histograms to the line that would recalibrate them: logit P(y) = a + b · log-odds."""

from typing import Final

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting.grid import EDGES
from pipelines.metrics.base import PIXEL_REGIONS, Metric, derived
from pipelines.metrics.histogram_loops import each_histogram
from pipelines.metrics.recalibration_loops import logistic_recalibration
from pipelines.metrics.sources import SCORES

_OUTERMOST: Final = 30 * np.log(2.0)  # 20.8, where p is one unit of a stored sum, 2^-30, away from 0 or 1
_LOWEST: Final[Float64Array] = np.concatenate([[-_OUTERMOST], EDGES])
_HIGHEST: Final[Float64Array] = np.concatenate([EDGES, [_OUTERMOST]])


def calibration_slope(hist: Float64Array) -> Float64Array:
    """b of the logistic regression logit P(y) = a + b l of truth on log-odds, a fitted with it, (...) (Cox 1958).

    hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p.

    1 is calibrated, below 1 over-confident: log-odds should be shrunk. Maximum likelihood without penalty. A cell
    stands at the log-odds of the mean p of its pixels: against a fit of raw log-odds b moves by about 10⁻⁴ and a by up
    to 10⁻³. Log-odds beyond ±20.8, where p or 1 - p is below the unit of the stored sums, count as ±20.8, so that a
    head with many of them looks a little less over-confident than it is (b 0.304 for 0.300 where one in six is).

    Newton's method, from the fit of cells pooled by six, which in turn begins at (0, 1). With R the largest change of
    a cell's log-odds by the full step, a step of R > 1 is taken times ln(1 + R) / R: by Bach's (2010) bound on how fast
    a logistic curvature changes that cannot overshoot, nor can a step of R <= 1 lower the likelihood. It ends when a
    step is below 10⁻⁶, and with NaN after 200. NaN also where there is no maximum: no pixel, one kind of pixel only, or
    truth separated by p (the cells of one kind all at or above those of the other), as for a perfect prediction.
    """
    return each_histogram(logistic_recalibration, hist, 2, _LOWEST, _HIGHEST)[..., 1]


def calibration_intercept(hist: Float64Array) -> Float64Array:
    """a of the same regression, (...), in log-odds: see `calibration_slope`.

    0 is calibrated if the slope is 1. It is the log-odds of the class where p = 0.5, not the "calibration in the large"
    that some call intercept, which fixes the slope at 1.
    """
    return each_histogram(logistic_recalibration, hist, 2, _LOWEST, _HIGHEST)[..., 0]


_LINE = derived(SCORES, "line", lambda hist: each_histogram(logistic_recalibration, hist, 2, _LOWEST, _HIGHEST))

# No foreground: it takes pixels in by their truth, and a regression of truth on such a selection says nothing of p.
METRICS = (
    Metric(
        name="calibration_slope",
        title="Calibration slope",
        better="neither",
        description="b of logit P(y) = a + b · log-odds: 1 is calibrated, below 1 over-confident.",
        source=_LINE,
        value=lambda line, _: line[..., 1],
        regions=PIXEL_REGIONS,
        bounds=(-np.inf, np.inf),
    ),
    Metric(
        name="calibration_intercept",
        title="Calibration intercept",
        better="neither",
        description="a of logit P(y) = a + b · log-odds: 0 is calibrated, below 0 p is too high where it is one half.",
        source=_LINE,
        value=lambda line, _: line[..., 0],
        regions=PIXEL_REGIONS,
        bounds=(-np.inf, np.inf),
    ),
)
