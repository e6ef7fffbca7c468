"""Bootstrap replicates to intervals, p-values, and the number of units that would settle an open question.

Everywhere value is (...) and replicates are (B, ...): the statistic on the data and on B resamples of its units
(images or groups), any trailing axes. NaN replicates are left out of their column; where none is left, or there are
fewer than two units, results are NaN.

One confidence distribution stands behind intervals and tests, so that they never contradict each other: the replicates'
distances from the value, stretched by widening(units). A percentile interval is too narrow for few units: it uses the
normal quantile where Student's t is due and the variance with divisor n (Hesterberg 2015, section 3.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
from scipy import special

from pipelines.arrays import Float64Array, Int64Array
from pipelines.errors import ShapeError
from pipelines.metrics.base import ratio

# What is resampled ----------------------------------------------------------------------------------------------------

FEWEST_GROUPS = 10
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resampling:
    """What is drawn.

    unit: "images" or "groups"; of_image: (N,) the unit of each image; count: how many units; warning: why an interval
    from them should not be trusted, None if it can be.
    """

    unit: Literal["images", "groups"]
    of_image: np.ndarray
    count: int
    warning: str | None


def choose_units(images: Sequence[str], groups: Mapping[str, str]) -> Resampling:
    """Groups where they are given and at least FEWEST_GROUPS of them occur, else images, with a warning if need be.

    groups: image to group (patient, video, scene); empty when none are known.
    """
    every = np.arange(len(images))
    few = _few(len(images))
    if not groups:
        return Resampling("images", every, len(images), few)
    names = sorted({groups[image] for image in images if image in groups})
    if len(names) < FEWEST_GROUPS or any(image not in groups for image in images):
        warning = (
            f"{len(names)} groups in this split, at least {FEWEST_GROUPS} are needed to resample them: images are "
            "resampled instead, and intervals are too narrow if images of a group are alike"
        )
        return Resampling("images", every, len(images), warning)
    index = {name: number for number, name in enumerate(names)}
    return Resampling("groups", np.array([index[groups[image]] for image in images]), len(names), None)


def _few(images: int) -> str | None:
    if images >= FEWEST_GROUPS:
        return None
    if images < 2:
        return "one image has no spread to resample, so there is no interval"
    return f"only {images} images: intervals from so few are too narrow"


def unit_weights(resampling: Resampling, *, replicates: int, rng: np.random.Generator) -> Float64Array:
    """(B, N) how often each image stands in each replicate; images of one unit share their number.

    One unit has no spread to resample: there is no replicate then, (0, N).
    """
    if resampling.count == 0:
        raise ShapeError("there is no image to resample")
    if resampling.count == 1:
        return np.empty((0, len(resampling.of_image)))
    drawn = rng.multinomial(resampling.count, np.full(resampling.count, 1 / resampling.count), size=replicates)
    return drawn[:, resampling.of_image].astype(np.float64)


def totals(terms: Float64Array, weights: Float64Array) -> Float64Array:
    """(N, ...) terms and (B, N) weights to (B, ...) weighted sums: one matrix product."""
    flat = weights @ terms.reshape(terms.shape[0], -1)
    return flat.reshape(weights.shape[0], *terms.shape[1:])


def percentile_interval(replicates: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Percentile interval over the first axis, (B, ...) to two arrays (...); replicates that are NaN are left out.

    NaN where every replicate is, or where all are equal for want of units is not hidden: low = high then.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    out = np.full((2, *replicates.shape[1:]), np.nan)
    if not len(replicates):
        return out[0], out[1]
    missing = np.isnan(replicates)
    whole = ~missing.any(axis=0)
    partly = ~missing.all(axis=0) & ~whole
    for chosen, percentile in ((whole, np.percentile), (partly, np.nanpercentile)):
        if chosen.any():  # nanpercentile is many times slower: only where it is needed
            out[:, chosen] = percentile(replicates[:, chosen], [tail, 100 - tail], axis=0)
    return out[0], out[1]


# Order statistics ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ordered:
    """Replicates in ascending order, NaN last, with how many of each column are numbers: (B, K) and (K,)."""

    values: Float64Array
    count: Int64Array

    def quantile(self, level: Float64Array | float) -> Float64Array:
        """(K,) quantiles by linear interpolation between order statistics (Hyndman & Fan 1996, type 7)."""
        if not self.values.size:
            return np.full(self.values.shape[1], np.nan)
        last = np.maximum(self.count - 1, 0)
        at = np.clip(np.nan_to_num(np.broadcast_to(level, last.shape)), 0, 1) * last
        below = np.floor(at).astype(np.int64)
        columns = np.arange(self.values.shape[1])
        low = self.values[below, columns]
        high = self.values[np.minimum(below + 1, last).astype(np.int64), columns]
        return low + (at - below) * (high - low)

    def levels(self, point: float) -> tuple[Float64Array, Float64Array]:
        """(K,) smallest and largest level whose quantile is the point; they differ where replicates equal it."""
        less = (self.values < point).sum(axis=0)
        return self._level(less, point), self._level((self.values <= point).sum(axis=0), point)

    def _level(self, before: Int64Array, point: float) -> Float64Array:
        if not self.values.size:
            return np.full(self.values.shape[1], np.nan)
        columns, last = np.arange(self.values.shape[1]), np.maximum(self.count - 1, 1)
        inside = (before > 0) & (before < self.count)
        i = np.where(inside, before, 1)
        low, high = self.values[i - 1, columns], self.values[np.minimum(i, len(self.values) - 1), columns]
        with np.errstate(invalid="ignore", divide="ignore"):
            between = (i - 1 + (point - low) / (high - low)) / last
        level = np.where(inside, between, np.where(before > 0, 1.0, 0.0))
        return np.where(self.count > 0, level, np.nan)


def order(replicates: Float64Array) -> Ordered:
    """Sort (B, ...) replicates along their first axis; trailing axes are flattened to K columns."""
    columns = int(np.prod(replicates.shape[1:]))
    flat = np.sort(replicates.reshape(len(replicates), columns).astype(np.float64, copy=False), axis=0)
    return Ordered(flat, (~np.isnan(flat)).sum(axis=0))


# Intervals -----------------------------------------------------------------------------------------------------------

Units: TypeAlias = int | Float64Array  # how many were resampled; of over_seeds: (...), one for each column


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
    confidence: float = CONFIDENCE,
    bounds: tuple[Float64Array | float, Float64Array | float] | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Low and high end of the "expanded" interval, the stretched percentile interval, (...) each.

    units: how many were resampled. bounds: what the statistic cannot leave, and so its interval neither.
    Raises ShapeError when shapes do not fit.
    """
    value = np.asarray(value, np.float64)
    tail = (1 - confidence) / 2
    ordered = stretched(value, replicates, units)
    low, high = (ordered.quantile(level).reshape(value.shape) for level in (tail, 1 - tail))
    low, high = _known(low, value, units), _known(high, value, units)
    return (low, high) if bounds is None else (np.clip(low, *bounds), np.clip(high, *bounds))


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


# Several seeds -------------------------------------------------------------------------------------------------------


def over_seeds(
    values: Float64Array, replicates: Float64Array, *, units: int, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Seeds as a second level: (...) mean value, (B, ...) its replicates, (...) units, to be handed on together.

    values: (S, ...) each seed's; replicates: (B, S, ...), the same units in a replicate for all seeds. The mean over
    seeds varies with the units, as the mean of the replicates shows, and with the seeds, by s / √S with s the standard
    deviation of the values. Drawing S seeds with replacement would give (S − 1) / S of that variance, in a few steps;
    here the seeds' part is normal with the whole of it, the same linear combination of seeds for every column. The
    units returned are such that the interval's t is the mean of t for n units and t for S seeds, weighted by the
    variances of the two parts (Cochran 1964): near S where seeds differ most, n where they do not differ.
    One seed: its own value and replicates; what another training would give stays unknown.
    """
    seeds = len(values)
    center = values.mean(axis=0)
    if seeds < 2 or units < 2:
        return center, replicates.mean(axis=1), np.full(values.shape[1:], float(units))
    resampled = replicates.mean(axis=1) - center
    by_units = standard_error(resampled, units=units) ** 2
    by_seeds = values.var(axis=0, ddof=1) / seeds
    normal = rng.standard_normal((len(replicates), seeds))
    normal -= normal.mean(axis=1, keepdims=True)
    trained = np.tensordot(normal / np.sqrt(seeds * (seeds - 1)), values, axes=1)
    freedom = _joint_freedom(by_units, by_seeds, units=units, seeds=seeds)
    whole = resampled * np.sqrt(units / (units - 1)) + trained
    # As resampling 1 + freedom units would give it: with the divisor n that widening makes good.
    return center, center + whole * np.sqrt(freedom / (1 + freedom)), 1 + freedom


def _joint_freedom(by_units: Float64Array, by_seeds: Float64Array, *, units: int, seeds: int) -> Float64Array:
    """(...) degrees of freedom whose t is the mean of both parts' t, weighted by their variances.

    For normal seeds and images, Welch's and Satterthwaite's degrees of freedom leave 92% of a 95% interval from three
    seeds that differ more than images do, and 87% from two; this rule leaves 95 to 97%, and 94 to 98% from two.
    """
    upper = 0.5 + CONFIDENCE / 2
    ends = np.array([units - 1, seeds - 1])
    t = special.stdtrit(ends, upper)
    both = by_units + by_seeds
    share = np.divide(by_seeds, both, out=np.zeros_like(both), where=both > 0)
    freedom: Float64Array = special.stdtridf(upper, t[0] + share * (t[1] - t[0]))
    freedom = np.clip(freedom, ends.min(), ends.max())  # the inverse misses by 1e-11, and below 1 there is no interval
    return np.where(share > 0, freedom, units - 1)


# Statistics that noise makes too large -------------------------------------------------------------------------------

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


# p-values ------------------------------------------------------------------------------------------------------------


def p_value(value: Float64Array, replicates: Float64Array, *, units: Units) -> Float64Array:
    """(...) two-sided p-value of "the statistic is 0": the level at which its "expanded" interval just touches 0.

    At least 2 / (B + 1) where replicates have any spread or the value is not 0: B of them cannot show less. 1 where all
    are 0, as for two equal heads.
    """
    value = np.asarray(value, np.float64)
    ordered = stretched(value, replicates, units)
    first, last = ordered.levels(0.0)
    p = np.clip(2 * np.minimum(last, 1 - first), 2 / (len(replicates) + 1), 1.0)
    return _known(p.reshape(value.shape), value, units)


def equivalence_p_value(
    value: Float64Array, replicates: Float64Array, *, units: Units, margin: Float64Array | float
) -> Float64Array:
    """(...) p-value of "the statistic lies outside ±margin", by two one-sided tests (Schuirmann 1987).

    Below a level a exactly where the "expanded" interval with confidence 1 − 2a lies within the margin.
    """
    value = np.asarray(value, np.float64)
    ends = np.broadcast_to(np.abs(margin), value.shape)
    flat, counts = replicates.reshape(len(replicates), value.size), np.broadcast_to(units, value.shape).ravel()
    p = np.empty(value.size)
    for column, edge in enumerate(ends.ravel()):
        ordered = stretched(value.ravel()[column : column + 1], flat[:, column : column + 1], counts[column])
        p[column] = max(float(ordered.levels(-edge)[1][0]), 1 - float(ordered.levels(edge)[0][0]))
    floor = 1 / (len(replicates) + 1)
    return _known(np.clip(p, floor, 1.0).reshape(value.shape), value, units)


def _known(numbers: Float64Array, value: Float64Array, units: Units) -> Float64Array:
    """NaN where the value is, or where there are not two units."""
    return np.where(np.isnan(value) | (np.asarray(units) < 2), np.nan, numbers)


def holm(p: Float64Array) -> Float64Array:
    """P-values adjusted along the last axis so that all of them below a level hold together (Holm 1979).

    The k-th smallest of m is multiplied by m − k + 1, made monotone and capped at 1. NaN stays NaN and is not counted.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, axis=-1)  # NaN last
    ascending = np.take_along_axis(p, order, axis=-1)
    left = (~np.isnan(p)).sum(axis=-1, keepdims=True) - np.arange(p.shape[-1])
    adjusted = np.minimum(np.maximum.accumulate(ascending * left, axis=-1), 1.0)
    out = np.empty_like(p)
    np.put_along_axis(out, order, adjusted, axis=-1)
    return out


# Bands of figures -----------------------------------------------------------------------------------------------------
#
# Two heads of the same images get the same draws.

REPLICATES: Final = 400  # enough for the edges of a band that is only looked at


UnitOfImage: TypeAlias = tuple[int, ...]  # unit of each image, from 0


@lru_cache(maxsize=8)
def band_weights(units: UnitOfImage) -> Float64Array:
    """(REPLICATES, images) how often each image is drawn in each replicate."""
    resampling = Resampling("groups", np.array(units, np.int64), max(units) + 1, None)
    return unit_weights(resampling, replicates=REPLICATES, rng=np.random.default_rng(0))


def band(part: Float64Array, whole: Float64Array, units: UnitOfImage | None) -> tuple[Float64Array, Float64Array]:
    """Interval of the ratio of two sums over images, (N, ...) each to two arrays (...); NaN with a single unit."""
    units = units or tuple(range(len(part)))
    if max(units) == 0:
        return np.full(part.shape[1:], np.nan), np.full(part.shape[1:], np.nan)
    weights = band_weights(units)
    return percentile_interval(ratio(totals(part, weights), totals(whole, weights)))
