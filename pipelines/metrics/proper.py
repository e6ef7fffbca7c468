"""Counts to proper scores: Brier score and negative log-likelihood."""

import numpy as np

from pipelines.arrays import Float64Array, Int64Array
from pipelines.metrics.base import (
    PIXEL_REGIONS,
    Metric,
    Setting,
    first_over_second,
    in_region,
    scores_in,
    sums_in,
)
from pipelines.schema import Region
from pipelines.statistics import Counts
from pipelines.statistics.grid import NLL_UNIT, P_UNIT


def _with_pixels(sums: Int64Array, unit: float, counts: Counts, region: Region) -> Float64Array:
    pixels = scores_in(counts.score, region).sum(axis=(2, 3))
    return np.stack([sums * np.float64(unit), pixels.astype(np.float64)], axis=-1)


def _brier_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    return _with_pixels(sums_in(counts.squared_error, region), P_UNIT, counts, region)


def _nll_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    return _with_pixels(sums_in(counts.nll, region), NLL_UNIT, counts, region)


def _categorical_terms(counts: Counts, region: Region, unit: float, which: int) -> Float64Array:
    sums = in_region(counts.categorical, region, axis=1)[:, which] * unit
    pixels = in_region(counts.confusion, region, axis=1).sum(axis=(1, 2))
    return np.stack([sums, pixels.astype(np.float64)], axis=-1)


def _categorical_nll_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    return _categorical_terms(counts, region, NLL_UNIT, 0)


def _discarded_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    return _categorical_terms(counts, region, P_UNIT, 1)


METRICS = (
    Metric(
        name="brier",
        title="Brier score",
        better="lower",
        description="Mean of (p − y)² over pixels, one class against the rest.",
        terms=_brier_terms,
        value=first_over_second,
    ),
    Metric(
        name="nll",
        title="NLL",
        better="lower",
        description="Mean of −log P(y) over pixels in nats, one class against the rest.",
        terms=_nll_terms,
        value=first_over_second,
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="categorical_nll",
        title="Categorical NLL",
        better="lower",
        description="Mean of −log P(true class) in nats; a sigmoid head is read as softmax of its logits.",
        terms=_categorical_nll_terms,
        value=first_over_second,
        per_class=False,
        kinds=("exclusive",),
        regions=PIXEL_REGIONS,
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="discarded_mass",
        title="Mass off one label",
        better="neither",
        description="Mean probability a sigmoid head gives to no label or several; 0 for softmax by construction.",
        terms=_discarded_terms,
        value=first_over_second,
        per_class=False,
        kinds=("exclusive",),
        regions=PIXEL_REGIONS,
    ),
)
