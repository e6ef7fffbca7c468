"""Counts to shares of pixels with several labels or none."""

import numpy as np

from pipelines.arrays import Float64Array, Int64Array
from pipelines.metrics.base import PIXEL_REGIONS, Metric, Setting, first_over_second, in_region
from pipelines.schema import Region
from pipelines.statistics import Counts
from pipelines.statistics.grid import HALF_CELL


def claimed(counts: Counts, region: Region, *, labels: int, first_cell: int = HALF_CELL) -> Int64Array:
    """(N, 4) pixels with at least `labels` classes (1 to 3) in cells from first_cell on, by true number of labels."""
    ranks = in_region(counts.ranks, region, axis=1)
    if labels > ranks.shape[2]:
        return np.zeros(ranks.shape[:2], np.int64)
    return ranks[:, :, labels - 1, first_cell:].sum(axis=-1)


def pixels_by_labels(counts: Counts, region: Region) -> Int64Array:
    """(N, 4) valid pixels by true number of labels: 0, 1, 2, 3 or more."""
    return in_region(counts.ranks, region, axis=1)[:, :, 0].sum(axis=-1)


def _terms(part: Int64Array, whole: Int64Array) -> Float64Array:
    return np.stack([part, whole], axis=-1).astype(np.float64)


def _overlap_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    return _terms(claimed(counts, region, labels=2).sum(axis=1), pixels_by_labels(counts, region).sum(axis=1))


def _no_label_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    pixels = pixels_by_labels(counts, region).sum(axis=1)
    return _terms(pixels - claimed(counts, region, labels=1).sum(axis=1), pixels)


def _recall_terms(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    found = claimed(counts, region, labels=2)[:, 2:].sum(axis=1)
    return _terms(found, pixels_by_labels(counts, region)[:, 2:].sum(axis=1))


METRICS = (
    Metric(
        name="overlap_rate",
        title="Overlapping-label rate",
        better="neither",
        description="Share of pixels with two or more classes at p > 0.5.",
        terms=_overlap_terms,
        value=first_over_second,
        per_class=False,
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="no_label_rate",
        title="No-label rate",
        better="neither",
        description="Share of pixels with no class at p > 0.5.",
        terms=_no_label_terms,
        value=first_over_second,
        per_class=False,
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="overlap_recall",
        title="Overlap recall",
        better="higher",
        description="Of the pixels with two or more true labels, the share given two or more at p > 0.5.",
        terms=_recall_terms,
        value=first_over_second,
        per_class=False,
        kinds=("overlapping",),
        regions=PIXEL_REGIONS,
    ),
)
