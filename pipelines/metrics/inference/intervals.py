"""Bootstrap replicates to intervals, standard errors, and the number of units that would settle an open question."""

from typing import Literal, TypeAlias

import numpy as np
from scipy import special

from pipelines.arrays import Float64Array
from pipelines.errors import ShapeError
from pipelines.metrics.bootstrap import CONFIDENCE
from pipelines.metrics.inference.order import Ordered, order

Units: TypeAlias = int | Float64Array  # how many were resampled; of over_seeds: (...), one for each column
Method: TypeAlias = Literal["expanded", "percentile", "basic", "bca"]


def widening(units: Units) -> Float64Array:
    """Factor t / z · √(n / (n − 1)) of a 95% interval from n units, elementwise; NaN below two, 1 in the limit."""
    n = np.where(np.asarray(units) < 2, np.nan, units)
    upper = 0.5 + CONFIDENCE / 2
    return special.stdtrit(n - 1, upper) / special.ndtri(upper) * np.sqrt(n / (n - 1))


def stretched(value: Float64Array, replicates: Float64Array, units: Units) -> Ordered:
    """Replicates whose distances from the value are stretched by widening(units), in order.

    Raises ShapeError when the replicates are not (B, *value.shape).
    """
    if replicates.shape[1:] != np.shape(value):
        raise ShapeError(
            f"replicates must be (B, *{np.shape(value)}) for a value of that shape, got {replicates.shape}"
        )
    return order(value + widening(units) * (replicates - value))


def interval(
    value: Float64Array,
    replicates: Float64Array,
    *,
    units: Units,
    method: Method = "expanded",
    jackknife: Float64Array | None = None,
    confidence: float = CONFIDENCE,
    bounds: tuple[Float64Array | float, Float64Array | float] | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Low and high end, (...) each.

    units: how many were resampled. method: "expanded", the stretched percentile interval, is the one to use; the others
    are there to be compared with: "percentile"; "basic", reflected at the value (Davison & Hinkley 1997, eq. 5.6);
    "bca", bias-corrected and accelerated (Efron 1987, eq. 2.3), which needs jackknife: (units, ...) the statistic
    without each unit. bounds: what the statistic cannot leave, and so its interval neither.
    Raises ShapeError when shapes do not fit or the jackknife is missing.
    """
    value = np.asarray(value, np.float64)
    tail = (1 - confidence) / 2
    expanded = stretched(value, replicates, units)
    ordered = expanded if method == "expanded" else order(replicates)
    levels: tuple[Float64Array | float, Float64Array | float] = (tail, 1 - tail)
    if method == "bca":
        if jackknife is None:
            raise ShapeError("a BCa interval needs the statistic without each unit; pass jackknife=")
        levels = _bca_levels(value, replicates, jackknife, tail)
    low, high = (ordered.quantile(level).reshape(value.shape) for level in levels)
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    unknown = np.isnan(value) | (np.asarray(units) < 2)
    low, high = np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)
    return (low, high) if bounds is None else (np.clip(low, *bounds), np.clip(high, *bounds))


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


def simultaneous_interval(
    value: Float64Array, replicates: Float64Array, *, units: Units
) -> tuple[Float64Array, Float64Array]:
    """Low and high ends, (..., K) each, that hold for all K entries of the last axis together with 95% confidence.

    Value plus and minus a common multiple of each entry's scale, the multiple being the 95% point of the largest
    standardised distance in a replicate (Davison & Hinkley 1997, section 4.2.4: the max-t method). It takes the
    entries' correlation into account, which Bonferroni does not. Entries without spread or without replicates stand
    apart: their own value, or NaN.
    """
    value = np.asarray(value, np.float64)
    ordered = stretched(value, replicates, units)
    spread = (ordered.quantile(special.ndtr(1.0)) - ordered.quantile(special.ndtr(-1.0))).reshape(value.shape) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = widening(units) * np.abs(replicates - value) / spread
    largest = np.where(np.isfinite(distance), distance, 0.0).max(axis=-1)  # (B, ...)
    multiple = np.quantile(largest, CONFIDENCE, axis=0)[..., None] if len(replicates) else np.nan
    return value - multiple * spread, value + multiple * spread


def standard_error(replicates: Float64Array, *, units: Units) -> Float64Array:
    """(...) standard deviation of replicates that draw units, with the factor √(n / (n − 1)) that resampling loses."""
    n = np.where(np.asarray(units) < 2, np.nan, units)
    known = ~np.isnan(replicates)
    count = known.sum(axis=0)
    squares = np.where(known, (replicates - mean_of(replicates)) ** 2, 0.0).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1) * n / (n - 1)), np.nan)


def mean_of(replicates: Float64Array) -> Float64Array:
    """(...) mean of the replicates that are numbers, NaN where none is."""
    known = ~np.isnan(replicates)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, replicates, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def further_units(
    value: float, low: float, high: float, *, margin: float, units: int, fixed: float = 0.0
) -> int | None:
    """Units to add until an interval that shrinks with the root of their number no longer straddles a margin.

    fixed: the share of the interval's squared width that more units do not shrink (the seeds'). 0 where the interval
    straddles neither +margin nor −margin; None where no number, or more than a hundredfold, would do, or it is NaN.
    """
    if np.isnan([value, low, high]).any():
        return None
    needed = 1.0
    for edge in (-margin, margin):
        if low <= edge <= high:
            # The width on the side that crosses the margin against the room to it.
            width = value - low if value > edge else high - value
            room = (abs(value - edge) / width) ** 2 - fixed if width > 0 else 0.0
            if room <= 0:
                return None
            needed = max(needed, (1 - fixed) / room)
    return int(np.ceil(units * (needed - 1))) if needed <= 100 else None
