"""Counts to overlap of prediction and truth: Dice and IoU, pooled over pixels and as a mean over images."""

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.metrics.base import PIXEL_REGIONS, Metric, Setting, first_over_second, in_region, ratio
from pipelines.schema import Region
from pipelines.statistics import Counts
from pipelines.statistics.grid import HALF_CELL


def threshold_outcomes(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    """(N, C, 3) true positives, false positives, false negatives at p > 0.5."""
    score = in_region(counts.score, region, axis=2)
    called = score[..., HALF_CELL:].sum(axis=-1)
    missed = score[:, :, 1, :HALF_CELL].sum(axis=-1)
    return np.stack([called[:, :, 1], called[:, :, 0], missed], axis=-1).astype(np.float64)


def argmax_outcomes(counts: Counts, region: Region, _setting: Setting) -> Float64Array:
    """(N, C, 3) true positives, false positives, false negatives of the argmax."""
    confusion = in_region(counts.confusion, region, axis=1)
    hits = np.einsum("ncc->nc", confusion)
    return np.stack([hits, confusion.sum(axis=1) - hits, confusion.sum(axis=2) - hits], axis=-1).astype(np.float64)


def outcomes(counts: Counts, region: Region, setting: Setting) -> Float64Array:
    """Outcomes under the kind's own decision: argmax for exclusive truth, p > 0.5 otherwise."""
    decide = argmax_outcomes if setting.kind == "exclusive" else threshold_outcomes
    return decide(counts, region, setting)


def dice(terms: Float64Array) -> Float64Array:
    """2 TP / (2 TP + FP + FN); NaN where the class is neither there nor called."""
    tp, fp, fn = terms[..., 0], terms[..., 1], terms[..., 2]
    return ratio(2 * tp, 2 * tp + fp + fn)


def iou(terms: Float64Array) -> Float64Array:
    """TP / (TP + FP + FN); NaN where the class is neither there nor called."""
    tp, fp, fn = terms[..., 0], terms[..., 1], terms[..., 2]
    return ratio(tp, tp + fp + fn)


def _mean_terms(values: Float64Array) -> Float64Array:
    """(N, C) values of images to (N, C, 2): value or 0, and whether it is defined."""
    defined = ~np.isnan(values)
    return np.stack([np.where(defined, values, 0.0), defined.astype(np.float64)], axis=-1)


def _dice_by_image(counts: Counts, region: Region, setting: Setting) -> Float64Array:
    return _mean_terms(dice(outcomes(counts, region, setting)))


def _iou_by_image(counts: Counts, region: Region, setting: Setting) -> Float64Array:
    return _mean_terms(iou(outcomes(counts, region, setting)))


METRICS = (
    Metric(
        name="dice",
        title="Dice",
        better="higher",
        description="2TP / (2TP + FP + FN), pooled over pixels; argmax for exclusive truth, p > 0.5 otherwise.",
        terms=outcomes,
        value=dice,
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="iou",
        title="IoU",
        better="higher",
        description="TP / (TP + FP + FN), pooled over pixels; argmax for exclusive truth, p > 0.5 otherwise.",
        terms=outcomes,
        value=iou,
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="dice_threshold",
        title="Dice at p > 0.5",
        better="higher",
        description="Pooled Dice of each class against the rest at p > 0.5, whatever the other classes say.",
        terms=threshold_outcomes,
        value=dice,
        kinds=("exclusive",),
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="iou_threshold",
        title="IoU at p > 0.5",
        better="higher",
        description="Pooled IoU of each class against the rest at p > 0.5, whatever the other classes say.",
        terms=threshold_outcomes,
        value=iou,
        kinds=("exclusive",),
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="dice_image_mean",
        title="Dice, mean over images",
        better="higher",
        description="Mean of the images' Dice; images where the class is neither there nor called are left out.",
        terms=_dice_by_image,
        value=first_over_second,
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="iou_image_mean",
        title="IoU, mean over images",
        better="higher",
        description="Mean of the images' IoU; images where the class is neither there nor called are left out.",
        terms=_iou_by_image,
        value=first_over_second,
        regions=PIXEL_REGIONS,
    ),
)
