"""Bootstrap replicates to their order statistics: quantiles, and the levels at which a point lies among them."""

from dataclasses import dataclass

import numpy as np

from pipelines.arrays import Float64Array, Int64Array


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
