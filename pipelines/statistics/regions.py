"""Truth of an image to the region of each pixel: within d pixels of a truth boundary, or interior."""

import numpy as np
from scipy import ndimage

from pipelines.arrays import BoolArray, UInt8Array, UInt64Array
from pipelines.errors import ShapeError

INTERIOR = 0
BOUNDARY = 1
IGNORED = 255


def label_masks(truth: BoolArray) -> UInt64Array:
    """One uint64 a pixel whose bit c says whether class c is there. truth: (C, H, W) bool, C <= 64."""
    if truth.ndim != 3 or truth.shape[0] > 64:
        raise ShapeError(f"truth must be (C, H, W) with at most 64 classes, got {truth.shape}")
    masks = np.zeros(truth.shape[1:], np.uint64)
    for index in range(truth.shape[0]):
        masks |= truth[index].astype(np.uint64) << np.uint64(index)
    return masks


def regions(truth: BoolArray, valid: BoolArray, *, width: int) -> UInt8Array:
    """Region of each pixel, (H, W) uint8: INTERIOR, BOUNDARY or IGNORED.

    truth: (C, H, W) bool; valid: (H, W) bool. A truth boundary runs between two valid 4-neighbours with different
    label sets; a pixel belongs to the band when its centre is less than `width` pixels (Euclidean) from a pixel at a
    boundary, so width = 1 takes just the two pixels on either side. The rim of the ignored area is no boundary.
    """
    masks = label_masks(truth)
    edge = np.zeros(valid.shape, np.bool_)
    for axis in (0, 1):
        ahead = tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))
        behind = tuple(slice(None, -1) if k == axis else slice(None) for k in (0, 1))
        differs = (masks[ahead] != masks[behind]) & valid[ahead] & valid[behind]
        edge[ahead] |= differs
        edge[behind] |= differs
    out = np.full(valid.shape, INTERIOR, np.uint8)
    if edge.any():
        out[ndimage.distance_transform_edt(~edge) < width] = BOUNDARY
    out[~valid] = IGNORED
    return out
