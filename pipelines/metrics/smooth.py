"""Score histograms to the kernel-smoothed calibration error, which needs no choice of bins.

The residuals y - p of each step of 1/300 in p are added up and smoothed along p as heat spreads on a bar of 300 nodes
with closed ends: the discrete Gaussian of Lindeberg (1990), exp(sigma² L / 2) with L the second difference that
reflects at both ends. Its cosine modes are those of the DCT-II, so smoothing is a factor for each mode. Unlike a
sampled Gaussian it stays a kernel at any sigma: positive, of mass 1, the identity at sigma = 0; hence the error falls
as sigma grows and the fixed point is unique.
"""

from typing import Final

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.metrics.base import Metric
from pipelines.metrics.histogram_loops import each_histogram, smoothed_gap
from pipelines.metrics.sources import SCORES
from pipelines.statistics.grid import STEP_OF_CELL, STEPS

_HALF: Final = np.arange(STEPS // 2)
# (mode, node) cosines at the nodes of the lower half; those of the upper half differ by a sign in the odd modes only.
_EVEN: Final[Float64Array] = np.cos(np.pi * np.outer(2 * _HALF, _HALF + 0.5) / STEPS)
_EVEN_BY_NODE: Final[Float64Array] = np.ascontiguousarray(_EVEN.T)
_ODD: Final[Float64Array] = np.cos(np.pi * np.outer(2 * _HALF + 1, _HALF + 0.5) / STEPS)  # symmetric
_RATES: Final[Float64Array] = (1 - np.cos(np.pi * np.arange(STEPS) / STEPS)) * STEPS**2  # a mode fades as exp(-rate σ²)


def smooth_ece(hist: Float64Array) -> Float64Array:
    """The sigma at which the error smoothed with bandwidth sigma is sigma itself, (...); NaN without pixels.

    hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p.

    smECE_sigma = ∫ |mean of (y - p) K_sigma(t, p)| dt over [0, 1], K the Gaussian reflected at 0 and 1, and smECE is
    its fixed point (Błasiok & Nakkiran 2023). Solved to 10⁻⁶. Rounding p to steps of 1/300 moves
    it by about 10⁻⁵ where the error is systematic and by up to 10⁻⁴ where it is mostly noise of few pixels; below
    1/300 the step, not the kernel, sets how fine it looks, and the value tends to the ECE of 300 bins, which bounds it.

    relplot's smECE finds sigma in ten halvings of [0, 1], to 10⁻³, and evaluates on a mesh of 200 points or more, so
    that the two agree to a few 10⁻⁴ as long as p keeps away from 0 and 1. Its reflection counts the nodes at the two
    ends once instead of twice, so that pixels with p within 0.001 of 0 or 1 weigh down to half as much, in the sum of
    residuals and in the sum it divides by: where most pixels are of that kind, as background is, its value comes out
    up to a third higher.
    """
    return each_histogram(smoothed_gap, hist, 1, STEP_OF_CELL, _EVEN, _EVEN_BY_NODE, _ODD, _RATES)[..., 0]


METRICS = (
    Metric(
        name="smooth_ece",
        title="Smooth ECE",
        better="lower",
        description="Gap between p and the observed share, smoothed along p by a kernel as wide as the gap itself.",
        folded=True,
        source=SCORES,
        value=lambda hist, _: smooth_ece(hist),
    ),
)
