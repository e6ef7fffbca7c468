"""What a metric is: per-image terms that add up, and a function from added-up terms to a value.

Because terms add over images, a bootstrap replicate is a weighted sum of terms, and all replicates together are one
matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pipelines.arrays import Float64Array, Int64Array
from pipelines.errors import ShapeError
from pipelines.schema import Head, Kind, Region
from pipelines.statistics import Counts
from pipelines.statistics.grid import HALF_CELL

Better: TypeAlias = Literal["higher", "lower", "neither"]
ALL_KINDS: tuple[Kind, ...] = ("exclusive", "binary", "overlapping")
PIXEL_REGIONS: tuple[Region, ...] = ("all", "boundary", "interior")


@dataclass(frozen=True)
class Setting:
    """What a metric may depend on besides the counts."""

    kind: Kind
    bins: int = 15
    background: bool = False  # exclusive truth with a background class


@dataclass(frozen=True)
class Metric:
    """One metric.

    per_class: whether terms has a class axis; the macro mean then runs over the classes with any truth.
    terms: (counts, region, setting) to float64 (N, C, F) if per_class, else (N, F); F numbers that add over images.
    value: float64 (..., F) to (...); NaN where the metric is not defined (nothing to divide by).
    """

    name: str
    title: str
    better: Better
    description: str
    terms: Callable[[Counts, Region, Setting], Float64Array]
    value: Callable[[Float64Array], Float64Array]
    per_class: bool = True
    kinds: tuple[Kind, ...] = ALL_KINDS
    regions: tuple[Region, ...] = ("all", "foreground", "boundary", "interior")
    heads: tuple[Head, ...] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)

    def applies(self, setting: Setting, region: Region) -> bool:
        """Whether the metric is defined for this kind of truth and region."""
        if setting.kind not in self.kinds or region not in self.regions:
            return False
        return self.per_class or region != "foreground" or setting.background


def ratio(numerator: Float64Array, denominator: Float64Array) -> Float64Array:
    """Quotient, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def first_over_second(terms: Float64Array) -> Float64Array:
    """Sum over count: terms (..., 2) to their quotient (...), NaN where the count is 0."""
    return ratio(terms[..., 0], terms[..., 1])


def in_region(array: Int64Array, region: Region, *, axis: int) -> Int64Array:
    """Sum or pick the region axis (interior, boundary) of counts. Raises ShapeError for "foreground"."""
    if region == "all":
        return array.sum(axis=axis)
    if region in ("interior", "boundary"):
        picked: Int64Array = np.moveaxis(array, axis, 0)[int(region == "boundary")]
        return picked
    raise ShapeError(f"region {region} is not stored but derived; use scores_in for it")


def scores_in(array: Int64Array, region: Region) -> Int64Array:
    """Score counts (N, C, R, Y, CELLS) to (N, C, Y, CELLS) for any region.

    The foreground of a class is its truth together with what is called it: all pixels where it is there, and of the
    others those with p > 0.5.
    """
    if region != "foreground":
        return in_region(array, region, axis=2)
    out = array.sum(axis=2)
    out[:, :, 0, :HALF_CELL] = 0
    return out


def sums_in(array: Int64Array, region: Region) -> Int64Array:
    """Error sums (N, C, R, Y, 2) to (N, C) for any region; the last axis says whether p > 0.5."""
    if region != "foreground":
        return in_region(array, region, axis=2).sum(axis=(2, 3))
    whole = array.sum(axis=2)
    return whole[:, :, 1].sum(axis=2) + whole[:, :, 0, 1]
