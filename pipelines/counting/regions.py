"""Truth of an image to the region of each pixel: within d pixels of a truth boundary, or interior."""

from typing import Final

import numpy as np

from pipelines.arrays import BoolArray, Int64Array, UInt8Array, UInt64Array
from pipelines.counting import label_loops
from pipelines.errors import ShapeError

INTERIOR = 0
BOUNDARY = 1
IGNORED = 255
_EVERY_CLASS: Final = np.uint64(2**64 - 1)


def label_masks(truth: BoolArray) -> UInt64Array:
    """One uint64 a pixel whose bit c says whether class c is there. truth: (C, H, W) bool, C <= 64."""
    if truth.ndim != 3 or truth.shape[0] > 64:
        raise ShapeError(f"truth must be (C, H, W) with at most 64 classes, got {truth.shape}")
    everywhere = np.full(truth.shape[1:], _EVERY_CLASS)
    masks: UInt64Array = label_loops.pack(np.ascontiguousarray(truth, np.bool_), everywhere)
    return masks


def disk(limit: float, *, closed: bool, farthest: int) -> Int64Array:
    """Reach in x of a disk's pixels at each distance in y from 0 on, for label_loops.dilate.

    The disk holds the pixels at most `limit` from its centre (closed), or less than that; distances above `farthest`
    do not occur.
    """
    steps = np.arange(min(int(np.ceil(limit)), farthest) + 1)
    distance = np.sqrt(steps[:, None] ** 2 + steps**2)  # the root of an integer is rounded once: sqrt(13) <= sqrt(13)
    inside = distance <= limit if closed else distance < limit
    reach = inside.sum(axis=1)
    return (reach[reach > 0] - 1).astype(np.int64)


def regions(truth: BoolArray, valid: BoolArray, *, width: int) -> UInt8Array:
    """Region of each pixel, (H, W) uint8: INTERIOR, BOUNDARY or IGNORED.

    truth: (C, H, W) bool; valid: (H, W) bool. A truth boundary runs between two valid 4-neighbours with different
    label sets; a pixel belongs to the band when its centre is less than `width` pixels (Euclidean) from a pixel at a
    boundary, so width = 1 takes just the two pixels on either side. The rim of the ignored area is no boundary.
    """
    if truth.shape[1:] != valid.shape:
        raise ShapeError(f"valid must be {truth.shape[1:]} as the truth, got {valid.shape}")
    masks = label_masks(truth)
    known = np.where(valid, _EVERY_CLASS, np.uint64(0))
    # A pixel is at a boundary if a valid neighbour lacks one of its classes or has one that it lacks.
    edge = label_loops.surfaces(masks & known, known) | label_loops.surfaces(~masks & known, known)
    near = label_loops.dilate((edge != 0).astype(np.uint64), disk(width, closed=False, farthest=max(valid.shape)))
    out = np.where(near != 0, BOUNDARY, INTERIOR).astype(np.uint8)
    out[~valid] = IGNORED
    return out
