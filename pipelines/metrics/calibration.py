"""Score histograms to calibration: errors in bins, smoothed and by regression, and tables of reliability.

hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p. Bins of equal
width are right-closed, with 0 in the first, and must divide 300; sums of p are exact, so a bin's mean p is that of its
pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from pipelines.arrays import Float32Array, Float64Array, Int64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import (
    CELLS,
    EDGES,
    HALF_CELL,
    P_UNIT,
    SOFT_UNIT,
    STEPS,
    bin_edges,
    in_bins,
    in_steps,
)
from pipelines.errors import ConfigError, ShapeError
from pipelines.metrics.base import (
    PIXEL_REGIONS,
    SCORES,
    SOFT_SCORES,
    TOP,
    Metric,
    Setting,
    derived,
    image_mean,
    in_region,
    ratio,
)
from pipelines.metrics.inference import UnitOfImage, band_weights, percentile_interval
from pipelines.metrics.kernels import bin_sums, binned_gaps, each_histogram, equal_mass_gaps, logistic_recalibration
from pipelines.schema import Region


def binned(hist: Float64Array, *, bins: int) -> Float64Array:
    """Score counts (..., 4, CELLS) to (..., bins, 3): pixels, pixels that are positive, sum of p in each bin of p.

    Bins are right-closed and of equal width; bins must divide 300.
    """
    sums = each_histogram(bin_sums, hist, 3 * bins, bin_edges(bins))
    return sums.reshape(*sums.shape[:-1], bins, 3)


def expected_calibration_error(hist: Float64Array, setting: Setting) -> Float64Array:
    """Sum over bins of (n_b / N) |mean y - mean p|, from score counts (..., 4, CELLS); NaN without pixels."""
    return ece_of_bins(binned(hist, bins=setting.bins))


def ece_of_bins(bins: Float64Array) -> Float64Array:
    """The same from (..., bins, 3): pixels, positives, sum of p.

    n_b cancels: it is the sum over bins of |sum y - sum p| / N (Naeini et al. 2015, for one class against the rest).
    """
    gaps = np.abs(bins[..., 1] - bins[..., 2]).sum(axis=-1)
    return ratio(gaps, bins[..., 0].sum(axis=-1))


def gaps(hist: Float64Array, setting: Setting) -> Float64Array:
    """(Σy − Σp) / N of each bin, (..., bins): their absolute values add up to the ECE. NaN without pixels."""
    bins = binned(hist, bins=setting.bins)
    return ratio(bins[..., 1] - bins[..., 2], bins[..., 0].sum(axis=-1, keepdims=True))


_CLASSWISE_ECE = Metric(
    name="classwise_ece",
    title="Classwise ECE",
    better="lower",
    description="Mean gap between p and the observed share, weighted by pixels, in equal bins of a class's p.",
    source=SCORES,
    value=expected_calibration_error,
    gaps=gaps,
)
_SOFT_CLASSWISE_ECE = Metric(
    name="soft_classwise_ece",
    title="Classwise ECE against soft truth",
    better="lower",
    description="Mean gap between p and the share of observers who marked the class, in equal bins of p.",
    source=SOFT_SCORES,
    value=expected_calibration_error,
    gaps=gaps,
    needs="soft",
)
_TOP_LABEL_ECE = Metric(
    name="top_label_ece",
    title="Top-label ECE",
    better="lower",
    description="Mean gap between the largest p and the share of pixels whose argmax is right, in equal bins.",
    source=TOP,
    value=expected_calibration_error,
    gaps=gaps,
    kinds=("exclusive",),
)


# Bins of equal mass ---------------------------------------------------------------------------------------------------


def adaptive_ece(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Sum over equal-mass bins of p of (n_b / N) |mean y - mean p|, (...); NaN without pixels.

    The rule, with F(c) the pixels in cells below c and n(c) those in it: cell c belongs to bin
    floor(bins (F(c) + n(c) / 2) / N), the one that holds the middle of its mass. So pixels of one cell stay together, a
    cell larger than a bin fills one bin and leaves others empty, and neither the order of the pixels nor rounding plays
    a part (counts below 2^48 are compared exactly). Nixon et al. (2019) sort pixels and cut the list into equal parts,
    which splits ties by the order they happen to come in, and count the parts equally; here unequal bins count by their
    mass, which is the same where masses are equal. Raises ShapeError unless bins is at least 1.
    """
    if bins < 1:
        raise ShapeError(f"bins must be at least 1, got {bins}")
    return each_histogram(equal_mass_gaps, hist, 1, bins)[..., 0]


# Gaps in bins of equal width ------------------------------------------------------------------------------------------


def _gaps(hist: Float64Array, bins: int) -> Float64Array:
    return each_histogram(binned_gaps, hist, 3, bin_edges(bins))


def average_calibration_error(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Mean over non-empty bins of |mean y - mean p|, (...): every bin counts the same, however few its pixels.

    Neumann, Zisserman & Vedaldi (2018); in segmentation Barfoot et al. (2024, mL1-ACE). NaN without pixels.
    Raises ShapeError unless bins divides 300.
    """
    return _gaps(hist, bins)[..., 0]


def maximum_calibration_error(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Largest |mean y - mean p| of the non-empty bins, (...) (Naeini, Cooper & Hauskrecht 2015).

    A bin of one pixel counts as much as any, so expect large values from few pixels. NaN without pixels.
    Raises ShapeError unless bins divides 300.
    """
    return _gaps(hist, bins)[..., 1]


def debiased_ece_l2(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Root of the sum over bins of (n_b / N) [(mean p - mean y)² - mean y (1 - mean y) / (n_b - 1)], at least 0, (...).

    The debiased estimator of Kumar, Liang & Ma (2019), here with equal-width bins. What is subtracted
    is the variance of mean y: without it noise in y passes for miscalibration. A bin with one pixel or less has no such
    estimate and gives 0, its pixels still counting in N. The variance takes pixels as independent; pixels of an image
    are not, so less is subtracted than should be, and the more so in replicates, where repeated images count as new
    pixels. NaN without pixels. Raises ShapeError unless bins divides 300.
    """
    return _gaps(hist, bins)[..., 2]


# Smoothed along p -----------------------------------------------------------------------------------------------------
#
# The residuals y - p of each step of 1/300 in p are added up and smoothed along p as heat spreads on a bar of 300 nodes
# with closed ends: the discrete Gaussian of Lindeberg (1990), exp(sigma² L / 2) with L the second difference that
# reflects at both ends. Its cosine modes are those of the DCT-II, so smoothing is a factor for each mode. Unlike a
# sampled Gaussian it stays a kernel at any sigma: positive, of mass 1, the identity at sigma = 0; hence the error falls
# as sigma grows and the fixed point is unique.

# A mode fades as exp(-rate σ²). The smoothing is done in float32: its rounding is 10⁻⁷ of the error.
_RATES: Final[Float32Array] = ((1 - np.cos(np.pi * np.arange(STEPS) / STEPS)) * STEPS**2).astype(np.float32)
_TAIL: Final = (CELLS - STEPS) // 2
_INNER: Final = slice(_TAIL, _TAIL + STEPS)  # one cell for each step of 1/300; both tails belong to the outermost
_TOLERANCE: Final = 1e-6
_MOST_STEPS: Final = 200


def smooth_ece(hist: Float64Array) -> Float64Array:
    """The sigma at which the error smoothed with bandwidth sigma is sigma itself, (...); NaN without pixels.

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
    defined = hist if known.all() else hist[known]
    by_cell = defined[:, 1] - defined[:, 2] - defined[:, 3]
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


# The line that would recalibrate: logit P(y) = a + b · log-odds -------------------------------------------------------

_OUTERMOST: Final = 30 * np.log(2.0)  # 20.8, where p is one unit of a stored sum, 2^-30, away from 0 or 1
_LOWEST: Final[Float64Array] = np.concatenate([[-_OUTERMOST], EDGES])
_HIGHEST: Final[Float64Array] = np.concatenate([EDGES, [_OUTERMOST]])


def recalibration_line(hist: Float64Array) -> Float64Array:
    """a and b of the logistic regression a + b l of truth on log-odds, (..., 2), fitted together (Cox 1958).

    b: 1 is calibrated, below 1 over-confident: log-odds should be shrunk. a: 0 is calibrated if b is 1; it is the
    log-odds of the class where p = 0.5, not the "calibration in the large" that some call intercept, which fixes b at
    1. Maximum likelihood without penalty. A cell stands at the log-odds of the mean p of its pixels: against a fit of
    raw log-odds b moves by about 10⁻⁴ and a by up to 10⁻³. Log-odds beyond ±20.8, where p or 1 - p is below the unit of
    the stored sums, count as ±20.8, so that a head with many of them looks a little less over-confident than it is (b
    0.304 for 0.300 where one in six is).

    Newton's method, from the fit of cells pooled by six, which in turn begins at (0, 1). With R the largest change of
    a cell's log-odds by the full step, a step of R > 1 is taken times ln(1 + R) / R: by Bach's (2010) bound on how fast
    a logistic curvature changes that cannot overshoot, nor can a step of R <= 1 lower the likelihood. It ends when a
    step is below 10⁻⁶, and with NaN after 200. NaN also where there is no maximum: no pixel, one kind of pixel only, or
    truth separated by p (the cells of one kind all at or above those of the other), as for a perfect prediction.
    """
    return each_histogram(logistic_recalibration, hist, 2, _LOWEST, _HIGHEST)


_LINE = derived(SCORES, "line", recalibration_line)


# Reliability: the tables behind the figures ---------------------------------------------------------------------------

TOP_LABEL: Final = "top label"


def reliability_steps(counts: Counts, *, region: Region = "all", soft: bool = False) -> Float64Array:
    """What reliability tables of any number of bins are made from: (N, C, 3, 300) pixels, hits and sum of p by step.

    Where the truth is exclusive, class C + 1 is the largest p of a pixel against whether the argmax is right; the
    foreground leaves out pixels that are background in truth and in the argmax. soft: hits are sums of the soft truth,
    and there is no top label.
    """
    mass = in_steps(_of_classes(counts.score_p, region).sum(axis=2)) * P_UNIT
    if counts.exclusive and not soft:
        top = in_steps(_of_top(counts.top_p, region).sum(axis=1)) * P_UNIT
        mass = np.concatenate([mass, top[:, None]], axis=1)
    return np.concatenate([hit_steps(counts, region=region, soft=soft), mass[:, :, None]], axis=2)


def hit_steps(counts: Counts, *, region: Region = "all", soft: bool = False) -> Float64Array:
    """(N, C, 2, 300) pixels and hits of `reliability_steps`, which need no sums of p."""
    steps = _hits(_of_classes(counts.score, region))
    if soft:
        steps[:, :, 1] = in_steps(_of_classes(counts.soft, region).sum(axis=2)) * SOFT_UNIT
    if soft or not counts.exclusive:
        return steps
    return np.concatenate([steps, _hits(_of_top(counts.top, region))[:, None]], axis=1)


def _hits(cells: Int64Array) -> Float64Array:
    """(..., 2, CELLS) of what is not a hit and what is to (..., 2, 300)."""
    steps = in_steps(cells).astype(np.float64)
    steps[..., 0, :] += steps[..., 1, :]
    return steps


def _of_classes(array: Int64Array, region: Region) -> Int64Array:
    """(N, C, R, 2, CELLS) to (N, C, 2, CELLS): the foreground as in base.SCORES."""
    if region in ("interior", "boundary"):
        return in_region(array, region, axis=2)
    whole: Int64Array = array[:, :, 0] + array[:, :, 1]
    if region == "foreground":
        whole[:, :, 0, :HALF_CELL] = 0
    return whole


def _of_top(array: Int64Array, region: Region) -> Int64Array:
    """(N, R, 2, 2, CELLS) to (N, 2, CELLS), wrong and right."""
    if region == "foreground":
        front: Int64Array = array[:, :, 1].sum(axis=1)
        return front
    totals: Int64Array = in_region(array, region, axis=1).sum(axis=1)
    return totals


class Steps(NamedTuple):
    """Sums over images of `reliability_steps`: (C, 3, 300), and pixels and hits of each replicate, (B, C, 2, 300)."""

    whole: Float64Array
    drawn: Float64Array


def resampled_steps(whole: Float64Array, by_image: Float32Array, units: UnitOfImage | None = None) -> Steps:
    """Steps from their sum over the images, and from pixels and hits of each image, (N, C, 2, 300) float32.

    Bins of any width are sums of steps, in the replicates too, so that images are resampled once for all of them. The
    sums of replicates are float32, with relative errors of 10⁻⁷. One unit gives no replicate.
    """
    units = units or tuple(range(len(by_image)))
    if max(units) == 0:
        return Steps(whole, np.empty((0, *by_image.shape[1:])))
    drawn = band_weights(units).astype(np.float32) @ by_image.reshape(len(by_image), -1)
    return Steps(whole, drawn.reshape(-1, *by_image.shape[1:]).astype(np.float64))


def reliability(steps: Steps, *, names: Sequence[str], bins: int) -> pd.DataFrame:
    """Observed share against mean p for each class and equal-width bin of p.

    names: of the steps' classes, TOP_LABEL last where they hold it. bins: a divisor of 300.
    Returns one row a class and bin: class, bin (from 0), low_edge and high_edge of p, pixels, share of the class's
    pixels, mean_p, observed with low and high; the last four are NaN in an empty bin.
    """
    drawn = in_bins(steps.drawn, bins)
    low, high = percentile_interval(ratio(drawn[:, :, 1], drawn[:, :, 0]))
    pixels, hits, sum_p = np.moveaxis(in_bins(steps.whole, bins), 1, 0)
    whole = np.repeat(pixels.sum(axis=1), bins)
    edges = np.tile(np.arange(bins), len(names))
    return pd.DataFrame(
        {
            "class": np.repeat(names, bins),
            "bin": edges,
            "low_edge": edges / bins,
            "high_edge": (edges + 1) / bins,
            "pixels": pixels.reshape(-1).astype(np.int64),
            "share": ratio(pixels.reshape(-1), whole),
            "mean_p": ratio(sum_p, pixels).reshape(-1),
            "observed": ratio(hits, pixels).reshape(-1),
            "low": low.reshape(-1),
            "high": high.reshape(-1),
        }
    )


def calibration_error(rows: pd.DataFrame | Mapping[str, Any]) -> float:
    """Expected calibration error of a table's bins: the gaps weighted by the share of pixels; NaN without a pixel."""
    share, observed, mean_p = (np.asarray(rows[name]) for name in ("share", "observed", "mean_p"))
    if not np.nansum(share) > 0:
        return float("nan")
    return float(np.nansum(share * np.abs(observed - mean_p)))  # an empty bin has no gap


# A calibrated score with its log-odds stretched: over- and under-confidence, free of chance ---------------------------

_PIXELS: Final = 1_000_000
_STRETCHED: Final[Float64Array] = np.linspace(-12.0, 12.0, 4801)
# Most pixels are surely not the class, some surely are, few lie between: (share, mean, spread) of their log-odds.
_MIXTURE: Final = ((0.65, -3.5, 1.6), (0.25, 3.0, 1.4), (0.10, 0.0, 1.2))


def stretched_reliability(stretch: float, *, bins: int = 15, name: str = "class") -> pd.DataFrame:
    """A table such as `reliability` makes, of a head that says σ(stretch · l) where σ(l) is true.

    stretch: > 0; above 1 over-confident, below 1 under-confident. A temperature equal to it mends the head. The
    log-odds l are a fixed mixture of a million pixels. No intervals: nothing is drawn by chance.
    Raises ConfigError unless stretch > 0.
    """
    if not stretch > 0:
        raise ConfigError(f"stretch must be above 0, got {stretch}")
    true_p, said = _expit(_STRETCHED), _expit(stretch * _STRETCHED)
    mass = _mass()
    # Right-closed bins, 0 in the first.
    bin_of = np.clip(np.ceil(said * bins) - 1, 0, bins - 1).astype(np.int64)
    share = np.bincount(bin_of, mass, bins)
    with np.errstate(invalid="ignore"):
        mean_p = np.bincount(bin_of, mass * said, bins) / share
        observed = np.bincount(bin_of, mass * true_p, bins) / share
    edges = np.arange(bins + 1) / bins
    return pd.DataFrame(
        {
            "class": name, "bin": np.arange(bins), "low_edge": edges[:-1], "high_edge": edges[1:],
            "pixels": np.rint(share * _PIXELS).astype(np.int64), "share": share, "mean_p": mean_p,
            "observed": observed, "low": np.nan, "high": np.nan,
        }
    )  # fmt: skip


def _expit(x: Float64Array) -> Float64Array:
    return 1 / (1 + np.exp(-x))


def _mass() -> Float64Array:
    """Share of the pixels at each of the log-odds, adding up to 1."""
    density = sum(
        weight * np.exp(-0.5 * ((_STRETCHED - mean) / spread) ** 2) / spread for weight, mean, spread in _MIXTURE
    )
    return np.asarray(density / np.sum(density), np.float64)


# The registry's entries ---------------------------------------------------------------------------------------------

METRICS = (
    _CLASSWISE_ECE,
    image_mean(
        _CLASSWISE_ECE,
        "Mean of the images' own classwise ECE: what one image must reckon with, and far above the pooled.",
    ),
    _SOFT_CLASSWISE_ECE,
    _TOP_LABEL_ECE,
    image_mean(_TOP_LABEL_ECE, "Mean of the images' own top-label ECE."),
    Metric(
        name="adaptive_ece",
        title="Adaptive ECE",
        better="lower",
        description="Mean gap between p and the observed share in bins that hold about the same number of pixels.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: adaptive_ece(hist, bins=setting.bins),
    ),
    Metric(
        name="average_calibration_error",
        title="Average calibration error",
        better="lower",
        description="Mean gap between p and the observed share over the non-empty bins, each counting the same.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: average_calibration_error(hist, bins=setting.bins),
    ),
    Metric(
        name="maximum_calibration_error",
        title="Maximum calibration error",
        better="lower",
        description="Largest gap between p and the observed share in a bin, however few its pixels.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: maximum_calibration_error(hist, bins=setting.bins),
    ),
    Metric(
        name="debiased_ece_l2",
        title="Debiased ECE (root mean square)",
        better="lower",
        description="Root mean square gap less what noise in the truth alone gives, pixels taken as independent.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: debiased_ece_l2(hist, bins=setting.bins),
    ),
    Metric(
        name="smooth_ece",
        title="Smooth ECE",
        better="lower",
        description="Gap between p and the observed share, smoothed along p by a kernel as wide as the gap itself.",
        folded=True,
        source=SCORES,
        value=lambda hist, _: smooth_ece(hist),
    ),
    # No foreground: it takes pixels in by their truth, and a regression of truth on such a selection says nothing of p.
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
