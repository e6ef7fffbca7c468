"""Values and replicates of several trainings to those of their mean, whose spread is that of units and seeds."""

import numpy as np
from scipy import special

from pipelines.arrays import Float64Array
from pipelines.metrics.bootstrap import CONFIDENCE
from pipelines.metrics.inference.intervals import standard_error


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
