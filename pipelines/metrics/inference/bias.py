"""Replicates of statistics that noise makes too large to ones that an interval can be taken of."""

from functools import lru_cache

import numpy as np
from scipy import special

from pipelines.arrays import Float64Array
from pipelines.metrics.inference.intervals import mean_of, standard_error

BIAS_FACTOR = 1.5
FACTOR_SPREAD = 1.0  # standard deviation of what BIAS_FACTOR may be wrong by


def reduced_absolute(gaps: Float64Array, spread: Float64Array) -> Float64Array:
    """|gap| less its upward bias, elementwise: |d| − c (E|N(d, s²)| − |d|) with c = BIAS_FACTOR.

    gaps: d, estimates of gaps whose standard errors are spread: s. The absolute value of a noisy gap is too large,
    by 0.80 s where there is no gap. The bootstrap's own estimate of that, the bracket (mean of the folded normal, Leone
    et al. 1961), is made in a world whose gaps hold the noise already and finds only 1 / 2.4 of it there; taken 1.5
    times, it leaves a bias between +0.30 s (no gap) and −0.18 s (a gap of 1.3 s), and none for large gaps.
    """
    return np.abs(gaps) - BIAS_FACTOR * folded_excess(gaps, spread)


def folded_excess(gaps: Float64Array, spread: Float64Array) -> Float64Array:
    """E|N(d, s²)| − |d| for gaps d and standard errors s, elementwise; 0 where s is (Leone et al. 1961)."""
    size = np.abs(gaps)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(spread > 0, size / spread, np.inf)
    return 2 * (spread * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) - size * special.ndtr(-z))


def calibration_error(gaps: Float64Array, replicates: Float64Array, *, units: int) -> tuple[Float64Array, Float64Array]:
    """What to take an interval of an ECE around, and its replicates: (...) and (B, ...), to be handed to interval.

    gaps: (..., bins) with Σ|gap| = ECE, so (Σy − Σp) / N of each bin; replicates: (B, ..., bins) the same of each
    resample. The ECE itself is biased upwards by the noise in each bin, and its replicates twice as much, so that a
    percentile interval misses from above. Here every bin's bias is reduced first, in the same way in all replicates,
    which are then moved to have their mean at the centre.

    No factor takes the bias off for gaps of every size: 2.4 would be right where there is none, and less than 1 where
    gaps are larger than their noise. So each replicate has a factor of its own, of mean BIAS_FACTOR and standard
    deviation FACTOR_SPREAD. Replicate r has the same one for every head and class: the difference of two heads whose
    gaps are equally noisy is not made wider by it, that of a good head and a poor one is.
    """
    spread = standard_error(replicates, units=units)
    center = reduced_absolute(gaps, spread).sum(axis=-1)
    doubt = FACTOR_SPREAD * folded_excess(gaps, spread).sum(axis=-1)
    errors = _factor_errors(len(replicates)).reshape(-1, *([1] * doubt.ndim))
    return center, moved(reduced_absolute(replicates, spread).sum(axis=-1) + errors * doubt, to=center)


@lru_cache(maxsize=8)
def _factor_errors(count: int) -> Float64Array:
    """(count,) standard normal quantiles at evenly spaced levels, in an order that depends on the count alone."""
    quantiles: Float64Array = special.ndtri((np.arange(count) + 0.5) / max(count, 1))
    return np.random.default_rng(count).permutation(quantiles)


def bias_corrected(value: Float64Array, replicates: Float64Array) -> tuple[Float64Array, Float64Array]:
    """What to take an interval of a biased statistic around, and its replicates: 2 value − their mean, and them there.

    The bootstrap's estimate of the bias, mean of replicates − value, is taken off once (Efron & Tibshirani 1993,
    eq. 10.41) from the value and so twice from the replicates, which have it twice. For calibration errors that are no
    sum of gaps, such as a largest gap or a root of squares.
    """
    center = 2 * value - mean_of(replicates)
    return center, moved(replicates, to=center)


def moved(replicates: Float64Array, *, to: Float64Array) -> Float64Array:
    """Replicates with their mean at a centre, (B, ...)."""
    return replicates + (to - mean_of(replicates))
