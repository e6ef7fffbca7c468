"""Counts to overlap of prediction and truth: Dice, IoU and what else is made from true and false positives."""

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.metrics.base import Metric, Setting, image_mean, ratio
from pipelines.metrics.sources import CONFUSION, OUTCOMES, OUTCOMES_AT_HALF, OUTCOMES_TUNED, SCORES

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


_DECISION = "argmax for exclusive truth, p > 0.5 otherwise"
DICE = Metric(
    name="dice", title="Dice", better="higher", source=OUTCOMES, value=dice,
    description=f"2TP / (2TP + FP + FN), pooled over pixels; {_DECISION}.",
)  # fmt: skip
IOU = Metric(
    name="iou", title="IoU", better="higher", source=OUTCOMES, value=iou,
    description=f"TP / (TP + FP + FN), pooled over pixels; {_DECISION}.",
)  # fmt: skip
_ABSOLUTE_VOLUME_BIAS = Metric(
    name="absolute_volume_bias", title="Volume bias, size", better="lower", source=SCORES, value=absolute_volume_bias,
    description="|Σp − Σy| as a share of the pixels, over all images together.", regions=("all",),
)  # fmt: skip

METRICS = (
    DICE,
    IOU,
    Metric(
        name="dice_threshold", title="Dice at p > 0.5", better="higher", source=OUTCOMES_AT_HALF, value=dice,
        description="Pooled Dice of each class against the rest at p > 0.5, whatever the other classes say.",
        kinds=("exclusive",),
    ),
    Metric(
        name="iou_threshold", title="IoU at p > 0.5", better="higher", source=OUTCOMES_AT_HALF, value=iou,
        description="Pooled IoU of each class against the rest at p > 0.5, whatever the other classes say.",
        kinds=("exclusive",),
    ),
    Metric(
        name="dice_tuned", title="Dice at tuned thresholds", better="higher", source=OUTCOMES_TUNED, value=dice,
        description="Pooled Dice of each class against the rest, at the threshold that was best on validation.",
        needs="thresholds",
    ),
    Metric(
        name="iou_tuned", title="IoU at tuned thresholds", better="higher", source=OUTCOMES_TUNED, value=iou,
        description="Pooled IoU of each class against the rest, at the threshold that was best on validation.",
        needs="thresholds",
    ),
    image_mean(
        DICE, name="dice_image_mean", title="Dice, mean over images",
        description="Mean of the images' Dice; images where the class is neither there nor called are left out.",
    ),
    image_mean(
        IOU, name="iou_image_mean", title="IoU, mean over images",
        description="Mean of the images' IoU; images where the class is neither there nor called are left out.",
    ),
    Metric(
        name="precision", title="Precision", better="higher", source=OUTCOMES, value=precision,
        description=f"TP / (TP + FP), pooled over pixels; {_DECISION}.",
    ),
    Metric(
        name="recall", title="Recall", better="higher", source=OUTCOMES, value=recall,
        description=f"TP / (TP + FN), pooled over pixels; {_DECISION}.",
    ),
    Metric(
        name="specificity", title="Specificity", better="higher", source=OUTCOMES, value=specificity,
        description=f"TN / (TN + FP), pooled over pixels; {_DECISION}.",
    ),
    Metric(
        name="balanced_accuracy", title="Balanced accuracy", better="higher", source=OUTCOMES, value=balanced_accuracy,
        description="Mean of recall and specificity of one class against the rest.",
    ),
    Metric(
        name="accuracy", title="Accuracy of a class", better="higher", source=OUTCOMES, value=accuracy,
        description="(TP + TN) / pixels of one class against the rest; high for any rare class.",
    ),
    Metric(
        name="mcc", title="MCC", better="higher", source=OUTCOMES, value=mcc, bounds=(-1.0, 1.0),
        description="Matthews correlation of truth and call, one class against the rest.",
    ),
    Metric(
        name="kappa", title="Kappa", better="higher", source=OUTCOMES, value=kappa, bounds=(-1.0, 1.0),
        description="Cohen's kappa of truth and call, one class against the rest.",
    ),
    Metric(
        name="pixel_accuracy", title="Pixel accuracy", better="higher", source=CONFUSION, value=pixel_accuracy,
        description="Share of pixels whose argmax is the true class.", kinds=("exclusive",),
    ),
    Metric(
        name="frequency_weighted_iou", title="Frequency-weighted IoU", better="higher", source=CONFUSION,
        description="Mean of the classes' IoU, weighted by their true pixels.",
        value=frequency_weighted_iou, kinds=("exclusive",),
    ),
    Metric(
        name="categorical_mcc", title="MCC over classes", better="higher", source=CONFUSION, value=categorical_mcc,
        description="Matthews correlation of the true class and the argmax.", kinds=("exclusive",), bounds=(-1.0, 1.0),
    ),
    Metric(
        name="categorical_kappa", title="Kappa over classes", better="higher", source=CONFUSION,
        description="Cohen's kappa of the true class and the argmax.",
        value=categorical_kappa, kinds=("exclusive",), bounds=(-1.0, 1.0),
    ),
    Metric(
        name="volume_bias", title="Volume bias", better="neither", source=SCORES, value=volume_bias,
        description="(Σp − Σy) / pixels: area the probabilities add up to too much, over all images together.",
        regions=("all",), bounds=(-1.0, 1.0),
    ),
    image_mean(
        _ABSOLUTE_VOLUME_BIAS, name="volume_bias_image_mean", title="Volume bias, mean size over images",
        description="Mean over images of |Σp − Σy| / pixels: errors of opposite sign do not cancel.",
    ),
)  # fmt: skip
