"""Score histograms to the kernel-smoothed calibration error, which needs no choice of bins.

The residuals y - p of each step of 1/300 in p are added up and smoothed along p as heat spreads on a bar of 300 nodes
with closed ends: the discrete Gaussian of Lindeberg (1990), exp(sigma² L / 2) with L the second difference that
reflects at both ends. Its cosine modes are those of the DCT-II, so smoothing is a factor for each mode. Unlike a
sampled Gaussian it stays a kernel at any sigma: positive, of mass 1, the identity at sigma = 0; hence the error falls
as sigma grows and the fixed point is unique.
"""

from typing import Final

import numpy as np

from pipelines.arrays import Float32Array, Float64Array
from pipelines.counting.grid import CELLS, STEPS
from pipelines.metrics.base import Metric
from pipelines.metrics.histogram_loops import each_histogram
from pipelines.metrics.sources import SCORES

# A mode fades as exp(-rate σ²). The smoothing is done in float32: its rounding is 10⁻⁷ of the error.
_RATES: Final[Float32Array] = ((1 - np.cos(np.pi * np.arange(STEPS) / STEPS)) * STEPS**2).astype(np.float32)
_TAIL: Final = (CELLS - STEPS) // 2
_INNER: Final = slice(_TAIL, _TAIL + STEPS)  # one cell for each step of 1/300; both tails belong to the outermost
_TOLERANCE: Final = 1e-6
_MOST_STEPS: Final = 200


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
    return each_histogram(_smoothed_gaps, hist, 1)[..., 0]


def _smoothed_gaps(hist: Float64Array, out: Float64Array) -> None:
    """Smooth ECE of (rows, 4, CELLS) into (rows, 1)."""
    from scipy import fft  # a tenth of a second to load, for which the dashboard's first page need not wait

    pixels = hist[:, :2].sum(axis=(1, 2))
    known = pixels > 0
    some = hist if known.all() else hist[known]
    by_cell = some[:, 1] - some[:, 2] - some[:, 3]
    residual = by_cell[:, _INNER] / pixels[known, None]
    residual[:, 0] = by_cell[:, : _INNER.start + 1].sum(axis=1) / pixels[known]
    residual[:, -1] = by_cell[:, _INNER.stop - 1 :].sum(axis=1) / pixels[known]
    out[~known] = np.nan
    out[known, 0] = _fixed_points(fft.dct(residual, norm="ortho").astype(np.float32), np.abs(residual).sum(axis=1))


def _spread(modes: Float32Array, sigma: Float64Array) -> Float64Array:
    """Sum over nodes of the absolute residuals smoothed with bandwidth sigma: (rows, STEPS) and (rows,) to (rows,)."""
    from scipy import fft

    damped = -_RATES * (sigma * sigma).astype(np.float32)[:, None]
    np.exp(damped, out=damped)
    damped *= modes
    smoothed = fft.idct(damped, norm="ortho", overwrite_x=True)
    spread: Float32Array = np.abs(smoothed, out=smoothed).sum(axis=1)
    return spread.astype(np.float64)


def _fixed_points(modes: Float32Array, high: Float64Array) -> Float64Array:
    """The bandwidths that equal the error at them, (rows,), by the secant within a bracket.

    The error falls with the bandwidth and is `high`, (rows,), at 0.
    """
    sigma = high.copy()
    rows = np.flatnonzero(high > _TOLERANCE)  # smoothing only makes the others smaller
    modes, high = modes[rows], high[rows]
    at_high = _spread(modes, high)
    low, at_low = at_high, _spread(modes, at_high)
    sigma[rows] = low
    for _ in range(_MOST_STEPS):
        wide = high - low > _TOLERANCE
        if not wide.any():
            break
        rows, modes = rows[wide], modes[wide]
        low, at_low, high, at_high = low[wide], at_low[wide], high[wide], at_high[wide]
        slope = (at_high - at_low) / (high - low)
        between = (at_low - slope * low) / (1 - slope)
        value = _spread(modes, between)
        sigma[rows] = between
        above = value > between
        low, at_low = np.where(above, between, low), np.where(above, value, at_low)
        high, at_high = np.where(above, high, between), np.where(above, at_high, value)
        far = np.abs(value - between) > _TOLERANCE
        rows, modes = rows[far], modes[far]
        low, at_low, high, at_high = low[far], at_low[far], high[far], at_high[far]
    return sigma


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
