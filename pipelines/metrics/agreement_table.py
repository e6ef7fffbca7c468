"""Agreement counts of all images and seeds to rows of the metrics table: where two heads agree, and who is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.arrays import Float32Array, Float64Array, Int64Array
from pipelines.metrics import agreement as values
from pipelines.metrics.base import PIXEL_REGIONS, Better, Metric, Setting, Source, pick_region, registry
from pipelines.metrics.bootstrap import Resampling
from pipelines.metrics.estimates import HeadEstimates, estimate_head
from pipelines.metrics.table import metrics_table
from pipelines.schema import AGREEMENTS, Head, Kind, Split
from pipelines.statistics import Agreement


@dataclass(frozen=True)
class AgreementCounts:
    """Agreement of two heads over N images: by_class (N, C, 2, 2, 2, 2) and by_pixel (N, 2, 5) as in Agreement."""

    images: tuple[str, ...]
    by_class: Int64Array
    by_pixel: Int64Array


def stack_agreement(images: Sequence[str], counts: Sequence[Agreement]) -> AgreementCounts:
    """Agreement of at least one image, in the order given."""
    return AgreementCounts(
        tuple(images), np.stack([one.by_class for one in counts]), np.stack([one.by_pixel for one in counts])
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


def _metric(
    name: str,
    title: str,
    better: Better,
    source: Source,
    value: Callable[[Float64Array], Float64Array],
    description: str,
    *,
    low: float = 0.0,
) -> Metric:
    return Metric(
        name=name, title=title, better=better, description=description, source=source, bounds=(low, 1.0),
        value=lambda terms, _setting: value(terms),
    )  # fmt: skip


AGREEMENT_METRICS: Final = registry(
    [
        (
            _metric(
                "agreement_rate", "Agreement", "neither", BY_CLASS, values.agreement_rate,
                "Share of pixels on which both heads call the class or neither does.",
            ),
            _metric(
                "dice_between", "Dice between heads", "neither", BY_CLASS, values.dice_between,
                "Dice of the two heads' masks of a class.",
            ),
            _metric(
                "kappa_between", "Kappa between heads", "neither", BY_CLASS, values.kappa_between,
                "Agreement of the two heads on a class beyond chance.", low=-1.0,
            ),
            _metric(
                "sigmoid_right_share", "Sigmoid right where they differ", "neither", BY_CLASS,
                values.first_right_share_of_disagreements,
                "Of the pixels where just one head calls the class, the share where sigmoid is right.",
            ),
            _metric(
                "shared_error_share", "Errors in common", "neither", BY_CLASS, values.shared_error_share,
                "Of the pixels where a head is wrong about the class, the share where both are.",
            ),
            _metric(
                "same_set_rate", "Same labels", "neither", BY_PIXEL, values.same_set_rate,
                "Share of pixels to which both heads give the same set of labels.",
            ),
            _metric(
                "either_right_rate", "Either right", "neither", BY_PIXEL, values.either_right_rate,
                "Share of pixels whose set of labels at least one head gets right.",
            ),
            _metric(
                "shared_set_error_share", "Wrong sets in common", "neither", BY_PIXEL, values.shared_set_error_share,
                "Of the pixels whose set of labels a head gets wrong, the share where both do.",
            ),
        )
    ]
)  # fmt: skip


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
    """Rows of schema.METRICS_SCHEMA whose `head` is a key of schema.AGREEMENTS, for the raw variant.

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
    return metrics_table(estimates, classes=classes, split=split, variant="raw", units=units, stream=stream)
