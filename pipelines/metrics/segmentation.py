"""Counts to overlap of prediction and truth: Dice, IoU, what else is made of true and false positives, and outlines."""

from functools import partial
from typing import Any, Final

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting.counts import Counts
from pipelines.metrics.base import (
    CONFUSION,
    OUTCOMES,
    OUTCOMES_AT_HALF,
    OUTCOMES_TUNED,
    SCORES,
    Metric,
    Setting,
    Source,
    Value,
    image_mean,
    only_slot,
    ratio,
)
from pipelines.schema import Kind, Region

# Values take (..., 4): true and false positives, false and true negatives ------------------------------------------


def dice(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """2 TP / (2 TP + FP + FN); NaN where the class is neither there nor called."""
    tp, fp, fn = terms[..., 0], terms[..., 1], terms[..., 2]
    return ratio(2 * tp, 2 * tp + fp + fn)


def iou(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """TP / (TP + FP + FN); NaN where the class is neither there nor called."""
    tp, fp, fn = terms[..., 0], terms[..., 1], terms[..., 2]
    return ratio(tp, tp + fp + fn)


def precision(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """TP / (TP + FP); NaN where the class is not called."""
    return ratio(terms[..., 0], terms[..., 0] + terms[..., 1])


def recall(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """TP / (TP + FN), also called sensitivity; NaN where the class is not there."""
    return ratio(terms[..., 0], terms[..., 0] + terms[..., 2])


def specificity(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """TN / (TN + FP); NaN where the class is everywhere."""
    return ratio(terms[..., 3], terms[..., 3] + terms[..., 1])


def balanced_accuracy(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Mean of recall and specificity; NaN where either is."""
    return (recall(terms) + specificity(terms)) / 2


def accuracy(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """(TP + TN) / pixels of one class against the rest."""
    return ratio(terms[..., 0] + terms[..., 3], terms.sum(axis=-1))


def mcc(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Correlation of truth and call (Matthews 1975); NaN where one of them is constant, for which it is 0/0."""
    tp, fp, fn, tn = np.moveaxis(terms, -1, 0)
    # Roots first: the product of four counts of a big set passes what float32 replicates can hold.
    scale = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return ratio(tp * tn - fp * fn, scale)


def kappa(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Agreement beyond chance of truth and call (Cohen 1960); NaN where chance alone gives full agreement."""
    tp, fp, fn, tn = np.moveaxis(terms, -1, 0)
    return ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


# Values take (..., C, C): pixels by true class and argmax -----------------------------------------------------------


def pixel_accuracy(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Share of pixels whose argmax is the true class."""
    return ratio(np.trace(terms, axis1=-2, axis2=-1), terms.sum(axis=(-2, -1)))


def frequency_weighted_iou(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Mean of the classes' IoU, weighted by their true pixels (Long et al. 2015, section 5)."""
    hits = np.diagonal(terms, axis1=-2, axis2=-1)
    true, called = terms.sum(axis=-1), terms.sum(axis=-2)
    ious = np.where(true > 0, hits / np.maximum(true + called - hits, 1), 0.0)
    return ratio((true * ious).sum(axis=-1), true.sum(axis=-1))


def categorical_kappa(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Cohen's kappa over all classes at once; NaN where chance alone gives full agreement."""
    whole = terms.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = terms / whole[..., None, None]
    chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    return ratio(np.trace(shares, axis1=-2, axis2=-1) - chance, 1 - chance)


def categorical_mcc(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Matthews correlation over all classes at once (Gorodkin 2004, R_K); NaN where truth or argmax is constant."""
    whole = terms.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = terms / whole[..., None, None]
    true, called = shares.sum(axis=-1), shares.sum(axis=-2)
    covariance = np.trace(shares, axis1=-2, axis2=-1) - (true * called).sum(axis=-1)
    spread = np.sqrt(1 - (true**2).sum(axis=-1)) * np.sqrt(1 - (called**2).sum(axis=-1))
    return ratio(covariance, spread)


# Σp against Σy ------------------------------------------------------------------------------------------------------


def volume_bias(hist: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """(Σp − Σy) / pixels, from (..., 4, CELLS) score counts: how much area the probabilities add up to too much."""
    pixels = hist[..., 0, :].sum(axis=-1) + hist[..., 1, :].sum(axis=-1)
    mass = hist[..., 2, :].sum(axis=-1) + hist[..., 3, :].sum(axis=-1)
    return ratio(mass - hist[..., 1, :].sum(axis=-1), pixels)


def absolute_volume_bias(hist: Float64Array, setting: Setting | None = None) -> Float64Array:
    """|Σp − Σy| / pixels."""
    return np.abs(volume_bias(hist, setting))


# Outlines -------------------------------------------------------------------------------------------------------------
#
# How well the called outlines lie on the true ones. What an outline is: counting.outlines.


def boundary_iou(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """|both bands| / |either band|, from (..., 3) pixels in both bands, the called one, the true one.

    Cheng et al. 2021, "Boundary IoU": the IoU of the pixels of each mask that lie near its own outline.
    NaN where neither mask has an outline.
    """
    both, called, true = terms[..., 0], terms[..., 1], terms[..., 2]
    return ratio(both, called + true - both)


def surface_dice(terms: Float64Array, _setting: Setting | None = None) -> Float64Array:
    """Share of both outlines that lies within tolerance of the other one.

    terms: (..., 4) true surface pixels, those of them near a called one, called surface pixels, those of them near a
    true one. Nikolov et al. 2018, "Deep learning to achieve clinically applicable segmentation for head and neck
    anatomy", surface DSC, with pixels counted where the paper measures lengths. NaN where neither mask has an outline.
    """
    true, true_near, called, called_near = terms[..., 0], terms[..., 1], terms[..., 2], terms[..., 3]
    return ratio(true_near + called_near, true + called)


def _bands(counts: Counts, _setting: Setting) -> Float64Array:
    return counts.boundary[:, None].astype(np.float64)


def _surfaces(counts: Counts, _setting: Setting) -> Float64Array:
    return counts.surface[:, None].astype(np.float64)


BANDS: Final = Source("bands", _bands, only_slot, regions=("all",))  # (N, 1, C, 3)
SURFACES: Final = Source("surfaces", _surfaces, only_slot, regions=("all",))  # (N, 1, C, 4)


# The registry's entries ---------------------------------------------------------------------------------------------


def _entry(
    value: Value, title: str, description: str, *, name: str = "", source: Source = OUTCOMES, **more: Any
) -> Metric:
    """A metric of which more is better, called as its function is, of the kind's own decision."""
    given = {"better": "higher"} | more
    return Metric(name or value.__name__, title, description=description, source=source, value=value, **given)


_ALL: Final[tuple[Region, ...]] = ("all",)
_ONE_LABEL: Final[tuple[Kind, ...]] = ("exclusive",)
_SIGNED: Final = (-1.0, 1.0)
_DECISION: Final = "argmax for exclusive truth, p > 0.5 otherwise"
_HALF: Final = "of each class against the rest at p > 0.5, whatever the other classes say."
_TUNED: Final = "of each class against the rest, at the threshold that was best on validation."
_BAND: Final = "IoU of the called and the true band along the inside of each outline, pooled over pixels."
_NEAR: Final = "Share of the called and the true outline within tolerance of the other, pooled over pixels."
_SIZE: Final = "|Σp − Σy| as a share of the pixels, over all images together."
_BIAS: Final = "(Σp − Σy) / pixels: area the probabilities add up to too much, over all images together."

_DICE: Final = _entry(dice, "Dice", f"2TP / (2TP + FP + FN), pooled over pixels; {_DECISION}.")
_IOU: Final = _entry(iou, "IoU", f"TP / (TP + FP + FN), pooled over pixels; {_DECISION}.")
_VOLUME_BIAS: Final = _entry(
    absolute_volume_bias, "Volume bias, size", _SIZE, better="lower", source=SCORES, regions=_ALL
)
_BOUNDARY_IOU: Final = _entry(boundary_iou, "Boundary IoU", _BAND, source=BANDS, regions=_ALL)
_SURFACE_DICE: Final = _entry(surface_dice, "Surface Dice", _NEAR, source=SURFACES, regions=_ALL)
_half: Final = partial(_entry, source=OUTCOMES_AT_HALF, kinds=_ONE_LABEL)
_tuned: Final = partial(_entry, source=OUTCOMES_TUNED, needs="thresholds")
_argmax: Final = partial(_entry, source=CONFUSION, kinds=_ONE_LABEL)

METRICS = (
    _DICE,
    _IOU,
    _half(dice, "Dice at p > 0.5", f"Pooled Dice {_HALF}", name="dice_threshold"),
    _half(iou, "IoU at p > 0.5", f"Pooled IoU {_HALF}", name="iou_threshold"),
    _tuned(dice, "Dice at tuned thresholds", f"Pooled Dice {_TUNED}", name="dice_tuned"),
    _tuned(iou, "IoU at tuned thresholds", f"Pooled IoU {_TUNED}", name="iou_tuned"),
    image_mean(_DICE, "Mean of the images' Dice; images where the class is neither there nor called are left out."),
    image_mean(_IOU, "Mean of the images' IoU; images where the class is neither there nor called are left out."),
    _entry(precision, "Precision", f"TP / (TP + FP), pooled over pixels; {_DECISION}."),
    _entry(recall, "Recall", f"TP / (TP + FN), pooled over pixels; {_DECISION}."),
    _entry(specificity, "Specificity", f"TN / (TN + FP), pooled over pixels; {_DECISION}."),
    _entry(balanced_accuracy, "Balanced accuracy", "Mean of recall and specificity of one class against the rest."),
    _entry(
        accuracy,
        "Accuracy of a class",
        "(TP + TN) / pixels of one class against the rest; high for any rare class.",
    ),
    _entry(mcc, "MCC", "Matthews correlation of truth and call, one class against the rest.", bounds=_SIGNED),
    _entry(kappa, "Kappa", "Cohen's kappa of truth and call, one class against the rest.", bounds=_SIGNED),
    _argmax(pixel_accuracy, "Pixel accuracy", "Share of pixels whose argmax is the true class."),
    _argmax(
        frequency_weighted_iou, "Frequency-weighted IoU", "Mean of the classes' IoU, weighted by their true pixels."
    ),
    _argmax(
        categorical_mcc, "MCC over classes", "Matthews correlation of the true class and the argmax.", bounds=_SIGNED
    ),
    _argmax(categorical_kappa, "Kappa over classes", "Cohen's kappa of the true class and the argmax.", bounds=_SIGNED),
    _entry(volume_bias, "Volume bias", _BIAS, better="neither", source=SCORES, regions=_ALL, bounds=_SIGNED),
    image_mean(
        _VOLUME_BIAS,
        "Mean over images of |Σp − Σy| / pixels: errors of opposite sign do not cancel.",
        name="volume_bias_image_mean",
        title="Volume bias, mean size over images",
    ),
    _BOUNDARY_IOU,
    image_mean(_BOUNDARY_IOU, "Mean of the images' boundary IoU; images without an outline of the class are left out."),
    _SURFACE_DICE,
    image_mean(_SURFACE_DICE, "Mean of the images' surface Dice; images without an outline of the class are left out."),
)
