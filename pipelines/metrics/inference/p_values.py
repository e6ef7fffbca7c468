"""Bootstrap replicates to p-values of no difference and of equivalence, and these to ones that hold together."""

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.metrics.inference.intervals import Units, stretched


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
        one = stretched(value.ravel()[column : column + 1], flat[:, column : column + 1], counts[column])
        p[column] = max(float(one.levels(-edge)[1][0]), 1 - float(one.levels(edge)[0][0]))
    floor = 1 / (len(replicates) + 1)
    return _known(np.clip(p, floor, 1.0).reshape(value.shape), value, units)


def _known(p: Float64Array, value: Float64Array, units: Units) -> Float64Array:
    return np.where(np.isnan(value) | (np.asarray(units) < 2), np.nan, p)


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
