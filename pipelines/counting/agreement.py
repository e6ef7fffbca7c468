"""Decisions of two heads on one image, with its truth, to counts of where they agree and who is right."""

from typing import NamedTuple

import numpy as np

from pipelines.arrays import BoolArray, Int64Array, UInt8Array, UInt64Array
from pipelines.counting import label_loops
from pipelines.counting.label_loops import MOST_CLASSES
from pipelines.errors import ShapeError


class Agreement(NamedTuple):
    """Counts of one image, both int64; they add up over images. R = 2 regions (interior, boundary).

    by_class: (C, R, 2, 2, 2) pixels by whether the class is there, whether the first head calls it, and whether the
        second does.
    by_pixel: (R, 5) pixels by their whole label set: both heads right, both wrong with the same set, only the first
        right, only the second right, both wrong with different sets.
    """

    by_class: Int64Array
    by_pixel: Int64Array


def count_agreement(first: BoolArray, second: BoolArray, masks: UInt64Array, region: UInt8Array) -> Agreement:
    """Count one image.

    first, second: (C, H, W) bool decisions, C <= 64; masks: (H, W) uint64 label sets of the truth, bit c for class c;
    region: (H, W) uint8 of regions.regions, IGNORED pixels are left out of everything.
    Swapping the heads swaps the last two axes of by_class and the third and fourth column of by_pixel.
    Raises ShapeError when shapes or dtypes differ from these.
    """
    if first.ndim != 3 or first.shape[0] > MOST_CLASSES or first.dtype != np.bool_:
        raise ShapeError(
            f"first must be (C, H, W) bool with at most {MOST_CLASSES} classes, got {first.shape} {first.dtype}"
        )
    if second.shape != first.shape or second.dtype != np.bool_:
        raise ShapeError(f"second must be {first.shape} bool as the first, got {second.shape} {second.dtype}")
    if masks.shape != first.shape[1:] or masks.dtype != np.uint64:
        raise ShapeError(f"masks must be {first.shape[1:]} uint64, got {masks.shape} {masks.dtype}")
    if region.shape != first.shape[1:] or region.dtype != np.uint8:
        raise ShapeError(f"region must be {first.shape[1:]} uint8, got {region.shape} {region.dtype}")
    classes = first.shape[0]
    everywhere = np.full(masks.shape, 2**classes - 1, np.uint64)
    one, other = (label_loops.pack(np.ascontiguousarray(calls), everywhere) for calls in (first, second))
    by_class, by_pixel = np.zeros((classes, 2, 2, 2, 2), np.int64), np.zeros((2, 5), np.int64)
    label_loops.count_agreement(one, other, masks, region, by_class, by_pixel)
    return Agreement(by_class, by_pixel)
