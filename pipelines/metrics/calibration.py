"""Counts to calibration error over equal-width bins of p."""

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.metrics.base import Metric, Setting, in_region, ratio, scores_in
from pipelines.schema import Region
from pipelines.statistics import Counts
from pipelines.statistics.grid import P_UNIT, rebin


def class_bins(counts: Counts, region: Region, *, bins: int) -> Float64Array:
    """(N, C, bins, 3): pixels, pixels where the class is there, sum of p, in each right-closed bin of p."""
    score = rebin(scores_in(counts.score, region), bins)
    p = rebin(scores_in(counts.score_p, region), bins).sum(axis=2) * P_UNIT
    return np.stack([score.sum(axis=2), score[:, :, 1], p], axis=-1).astype(np.float64)


def top_label_bins(counts: Counts, region: Region, *, bins: int) -> Float64Array:
    """(N, bins, 3): pixels, correct pixels, sum of the largest p, in each right-closed bin of the largest p.

    The foreground leaves out pixels that are background in truth and in the argmax.
    """
    top, p = counts.top, counts.top_p
    if region == "foreground":
        top, p = top[:, :, 1].sum(axis=1), p[:, :, 1].sum(axis=1)
    else:
        top, p = (in_region(array.sum(axis=2), region, axis=1) for array in (top, p))
    top, total_p = rebin(top, bins), rebin(p, bins).sum(axis=1) * P_UNIT
    return np.stack([top.sum(axis=1), top[:, 1], total_p], axis=-1).astype(np.float64)


def expected_calibration_error(terms: Float64Array) -> Float64Array:
    """Sum over bins of (n_b / N) |mean y - mean p|, from (..., 3 bins) flattened terms; NaN without pixels.

    n_b cancels: it is the sum over bins of |sum y - sum p| / N (Naeini et al. 2015, for one class against the rest).
    """
    by_bin = terms.reshape(*terms.shape[:-1], -1, 3)
    gaps = np.abs(by_bin[..., 1] - by_bin[..., 2]).sum(axis=-1)
    return ratio(gaps, by_bin[..., 0].sum(axis=-1))


def _class_terms(counts: Counts, region: Region, setting: Setting) -> Float64Array:
    terms = class_bins(counts, region, bins=setting.bins)
    return terms.reshape(*terms.shape[:2], -1)


def _top_terms(counts: Counts, region: Region, setting: Setting) -> Float64Array:
    terms = top_label_bins(counts, region, bins=setting.bins)
    return terms.reshape(terms.shape[0], -1)


METRICS = (
    Metric(
        name="classwise_ece",
        title="Classwise ECE",
        better="lower",
        description="Mean gap between p and the observed share, weighted by pixels, in equal bins of a class's p.",
        terms=_class_terms,
        value=expected_calibration_error,
    ),
    Metric(
        name="top_label_ece",
        title="Top-label ECE",
        better="lower",
        description="Mean gap between the largest p and the share of pixels whose argmax is right, in equal bins.",
        terms=_top_terms,
        value=expected_calibration_error,
        per_class=False,
        kinds=("exclusive",),
    ),
)
