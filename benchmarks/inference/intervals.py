"""Other bootstrap intervals than the one that is used, to be compared with it."""

from typing import Literal, TypeAlias

import numpy as np
from scipy import special

from pipelines.arrays import Float64Array
from pipelines.errors import ShapeError
from pipelines.metrics import inference

Method: TypeAlias = Literal["expanded", "percentile", "basic", "bca"]


def interval(
    value: Float64Array,
    replicates: Float64Array,
    *,
    units: int,
    method: Method,
    jackknife: Float64Array | None = None,
    confidence: float = inference.CONFIDENCE,
) -> tuple[Float64Array, Float64Array]:
    """Low and high end, (...) each, from replicates (B, ...) that draw so many units.

    method: "expanded" of metrics.inference; "percentile"; "basic", reflected at the value (Davison & Hinkley 1997,
    eq. 5.6); "bca", bias-corrected and accelerated (Efron 1987, eq. 2.3), which needs jackknife: (units, ...) the
    statistic without each unit. Raises ShapeError when shapes do not fit or the jackknife is missing.
    """
    if method == "expanded":
        return inference.interval(value, replicates, units=units, confidence=confidence)
    tail = (1 - confidence) / 2
    levels: tuple[Float64Array | float, Float64Array | float] = (tail, 1 - tail)
    if method == "bca":
        if jackknife is None:
            raise ShapeError("a BCa interval needs the statistic without each unit; pass jackknife=")
        levels = _bca_levels(value, replicates, jackknife, tail)
    low, high = (inference.order(replicates).quantile(level).reshape(value.shape) for level in levels)
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    unknown = np.isnan(value) | (units < 2)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def _bca_levels(
    value: Float64Array, replicates: Float64Array, jackknife: Float64Array, tail: float
) -> tuple[Float64Array, Float64Array]:
    """(K,) levels of the replicates' quantiles, eq. 2.3 with the acceleration of eq. 7.3 (the jackknife's skewness)."""
    known = ~np.isnan(replicates)
    # Half of the replicates that equal the value count as below it.
    below = ((replicates < value) & known).sum(axis=0) + 0.5 * ((replicates == value) & known).sum(axis=0)
    away = np.nanmean(jackknife, axis=0) - jackknife
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = special.ndtri(below / known.sum(axis=0))
        skew = np.nansum(away**3, axis=0) / (6 * np.nansum(away**2, axis=0) ** 1.5)
    skew = np.nan_to_num(skew)
    ends = []
    for z in (special.ndtri(tail), special.ndtri(1 - tail)):
        with np.errstate(invalid="ignore"):  # infinite bias: every replicate lies on one side
            ends.append(special.ndtr(bias + (bias + z) / (1 - skew * (bias + z))).ravel())
    return ends[0], ends[1]
