"""Counts of pixels on and near outlines to how well the called outlines lie on the true ones.

What counts as an outline, and why the rim of the image does not, is said in statistics.geometry.
"""

from typing import Final

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting import Counts
from pipelines.metrics.base import Metric, Setting, Source, image_mean, only_slot, ratio


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
    true, found, called, right = terms[..., 0], terms[..., 1], terms[..., 2], terms[..., 3]
    return ratio(found + right, true + called)


def _bands(counts: Counts, _setting: Setting) -> Float64Array:
    return counts.boundary[:, None].astype(np.float64)


def _surfaces(counts: Counts, _setting: Setting) -> Float64Array:
    return counts.surface[:, None].astype(np.float64)


BANDS: Final = Source("bands", _bands, only_slot, regions=("all",))  # (N, 1, C, 3)
SURFACES: Final = Source("surfaces", _surfaces, only_slot, regions=("all",))  # (N, 1, C, 4)

_BOUNDARY_IOU = Metric(
    name="boundary_iou", title="Boundary IoU", better="higher", source=BANDS, value=boundary_iou,
    description="IoU of the called and the true band along the inside of each outline, pooled over pixels.",
    regions=("all",),
)  # fmt: skip
_SURFACE_DICE = Metric(
    name="surface_dice", title="Surface Dice", better="higher", source=SURFACES, value=surface_dice,
    description="Share of the called and the true outline within tolerance of the other, pooled over pixels.",
    regions=("all",),
)  # fmt: skip

METRICS = (
    _BOUNDARY_IOU,
    image_mean(
        _BOUNDARY_IOU, name="boundary_iou_image_mean", title="Boundary IoU, mean over images",
        description="Mean of the images' boundary IoU; images without an outline of the class are left out.",
    ),
    _SURFACE_DICE,
    image_mean(
        _SURFACE_DICE, name="surface_dice_image_mean", title="Surface Dice, mean over images",
        description="Mean of the images' surface Dice; images without an outline of the class are left out.",
    ),
)  # fmt: skip
