"""How far two heads say the same, pixel by pixel, and the rows of the table that say so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.arrays import Float32Array, Float64Array, Int64Array
from pipelines.counting.outlines import Agreement
from pipelines.metrics.base import PIXEL_REGIONS, Metric, Setting, Source, pick_region, ratio, registry
from pipelines.metrics.estimates import HeadEstimates, estimate_head, metrics_table
from pipelines.metrics.inference import Resampling
from pipelines.schema import AGREEMENTS, Head, Kind, Split

# Metrics -------------------------------------------------------------------------------------------------------------
#
# Functions of a class take (..., 2, 2, 2) pixels by whether the class is there, whether the first head calls it and
# whether the second does; functions of whole label sets take (..., 5) pixels: both right, both wrong with the same set,
# only the first right, only the second right, both wrong with different sets. Both are float64 and come from
# outlines.Agreement; leading axes are kept. Without a pixel all values are NaN.

# One class ----------------------------------------------------------------------------------------------------------


def agreement_rate(terms: Float64Array) -> Float64Array:
    """Share of pixels on which both heads call the class or neither does; close to 1 for any rare class."""
    calls = terms.sum(axis=-3)
    return ratio(calls[..., 0, 0] + calls[..., 1, 1], calls.sum(axis=(-2, -1)))


def dice_between(terms: Float64Array) -> Float64Array:
    """Dice of the two heads' masks, 2 |both| / (|first| + |second|); NaN where neither calls the class.

    The proportion of specific agreement (Cicchetti and Feinstein 1990): pixels that both leave out do not help.
    """
    calls = terms.sum(axis=-3)
    both = calls[..., 1, 1]
    return ratio(2 * both, 2 * both + calls[..., 0, 1] + calls[..., 1, 0])


def kappa_between(terms: Float64Array) -> Float64Array:
    """Agreement of the two heads beyond chance, (p_o - p_e) / (1 - p_e) (Cohen 1960), in [-1, 1].

    NaN where chance alone gives full agreement: both heads call the class everywhere, or both nowhere.
    """
    calls = terms.sum(axis=-3)
    neither, only_second, only_first, both = calls[..., 0, 0], calls[..., 0, 1], calls[..., 1, 0], calls[..., 1, 1]
    # Both times the squared number of pixels: no share is rounded, and full agreement gives exactly 1.
    beyond = 2 * (both * neither - only_first * only_second)
    chance = (both + only_first) * (only_first + neither) + (both + only_second) * (only_second + neither)
    return ratio(beyond, chance)


def first_right_share_of_disagreements(terms: Float64Array) -> Float64Array:
    """Of the pixels where just one head calls the class, the share where the first head is right; else the second is.

    0.5 says that neither wins; NaN where the heads agree everywhere.
    """
    first = terms[..., 1, 1, 0] + terms[..., 0, 0, 1]
    calls = terms.sum(axis=-3)
    return ratio(first, calls[..., 0, 1] + calls[..., 1, 0])


def shared_error_share(terms: Float64Array) -> Float64Array:
    """Of the pixels where at least one head is wrong about the class, the share where both are; NaN without errors.

    1 says that the heads fail in the same places, so that neither last layer mends what the other breaks.
    """
    both = terms[..., 1, 0, 0] + terms[..., 0, 1, 1]
    right = terms[..., 1, 1, 1] + terms[..., 0, 0, 0]
    return ratio(both, terms.sum(axis=(-3, -2, -1)) - right)


# Whole label sets ---------------------------------------------------------------------------------------------------


def same_set_rate(terms: Float64Array) -> Float64Array:
    """Share of pixels to which both heads give the same label set, right or wrong."""
    return ratio(terms[..., 0] + terms[..., 1], terms.sum(axis=-1))


def either_right_rate(terms: Float64Array) -> Float64Array:
    """Share of pixels whose label set at least one head gets right: what the best choice between the two could reach.

    One minus the double-fault measure (Giacinto and Roli 2001).
    """
    return ratio(terms[..., 0] + terms[..., 2] + terms[..., 3], terms.sum(axis=-1))


def shared_set_error_share(terms: Float64Array) -> Float64Array:
    """Of the pixels whose label set at least one head gets wrong, the share where both do; NaN without errors."""
    return ratio(terms[..., 1] + terms[..., 4], terms[..., 1:].sum(axis=-1))


# Rows ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgreementCounts:
    """Agreement of two heads over N images: by_class (N, C, 2, 2, 2, 2) and by_pixel (N, 2, 5) as in Agreement."""

    images: tuple[str, ...]
    by_class: Int64Array
    by_pixel: Int64Array


def stack_agreement(images: Sequence[str], counts: Sequence[Agreement]) -> AgreementCounts:
    """Agreement of at least one image, in the order given."""
    return AgreementCounts(
        tuple(images), np.stack([image.by_class for image in counts]), np.stack([image.by_pixel for image in counts])
    )


def _by_class(counts: AgreementCounts, _setting: Setting) -> Float64Array:
    """(N, 2, C, 2, 2, 2): whether the class is there, whether the first head calls it, whether the second does."""
    return np.moveaxis(counts.by_class, 2, 1).astype(np.float64)


def _by_pixel(counts: AgreementCounts, _setting: Setting) -> Float64Array:
    return counts.by_pixel.astype(np.float64)


def _outcomes(counts: AgreementCounts, _setting: Setting) -> Float64Array:
    """(N, 2, C, 4) true and false positives, false and true negatives of the first head."""
    first = _by_class(counts, _setting).sum(axis=-1)  # (N, 2, C, there, called)
    return np.stack([first[..., 1, 1], first[..., 0, 1], first[..., 1, 0], first[..., 0, 0]], axis=-1)


BY_CLASS: Final = Source("agreement_by_class", _by_class)
BY_PIXEL: Final = Source("agreement_by_pixel", _by_pixel, per_class=False)
_PRESENCE: Final = Source("agreement_outcomes", _outcomes, pick_region, regions=PIXEL_REGIONS)


def _entry(
    value: Callable[[Float64Array], Float64Array],
    title: str,
    description: str,
    *,
    source: Source = BY_CLASS,
    name: str = "",
    low: float = 0.0,
) -> Metric:
    """A metric of which neither more nor less is better, called as its function is."""

    def of_setting(terms: Float64Array, _setting: Setting) -> Float64Array:
        return value(terms)

    return Metric(name or value.__name__, title, "neither", description, source, of_setting, bounds=(low, 1.0))


_SIGMOID_RIGHT: Final = "Of the pixels where just one head calls the class, the share where sigmoid is right."
_SHARED: Final = "Of the pixels where a head is wrong about the class, the share where both are."
_SHARED_SETS: Final = "Of the pixels whose set of labels a head gets wrong, the share where both do."
_EITHER: Final = "Share of pixels whose set of labels at least one head gets right."
_METRICS: Final = (
    _entry(agreement_rate, "Agreement", "Share of pixels on which both heads call the class or neither does."),
    _entry(dice_between, "Dice between heads", "Dice of the two heads' masks of a class."),
    _entry(kappa_between, "Kappa between heads", "Agreement of the two heads on a class beyond chance.", low=-1.0),
    _entry(
        first_right_share_of_disagreements,
        "Sigmoid right where they differ",
        _SIGMOID_RIGHT,
        name="sigmoid_right_share",
    ),
    _entry(shared_error_share, "Errors in common", _SHARED),
    _entry(
        same_set_rate,
        "Same labels",
        "Share of pixels to which both heads give the same set of labels.",
        source=BY_PIXEL,
    ),
    _entry(either_right_rate, "Either right", _EITHER, source=BY_PIXEL),
    _entry(shared_set_error_share, "Wrong sets in common", _SHARED_SETS, source=BY_PIXEL),
)
AGREEMENT_METRICS: Final = registry([_METRICS])


def agreement_table(
    agreement: Mapping[int, Mapping[Head, Sequence[Agreement]]],
    *,
    kind: Kind,
    images: Sequence[str],
    weights: Float32Array,
    classes: Sequence[str],
    split: Split,
    units: Resampling,
    stream: Sequence[int],
) -> pa.Table:
    """Rows of layouts.METRICS_SCHEMA whose `head` is a key of schema.AGREEMENTS, for the raw variant.

    agreement: by seed and contender, one entry an image, between sigmoid (first) and the contender (second) of that
    seed; weights: (B, N) as everywhere. Empty when there is nothing to compare.
    """
    estimates: dict[str, dict[int, HeadEstimates]] = {}
    for row, contender in AGREEMENTS.items():
        for seed, by_head in agreement.items():
            if contender in by_head:
                counts = stack_agreement(images, by_head[contender])
                estimates.setdefault(row, {})[seed] = estimate_head(
                    lambda counts=counts: [counts],  # type: ignore[misc]
                    Setting(kind),
                    weights,
                    units=units.count,
                    metrics=AGREEMENT_METRICS.values(),
                    presence=_PRESENCE,
                )
    return metrics_table(
        estimates,
        classes=classes,
        split=split,
        variant="raw",
        units=units,
        stream=stream,
        metrics=AGREEMENT_METRICS,
    )
