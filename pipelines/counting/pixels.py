"""What is given of an image, checked, to the flat arrays that the loops take."""

from typing import Final, NamedTuple

import numpy as np

from pipelines.arrays import Float16Array, Int64Array, UInt8Array, UInt16Array, UInt64Array
from pipelines.counting import loops
from pipelines.counting.regions import BOUNDARY
from pipelines.errors import ShapeError

MOST_CLASSES: Final = 64  # bits of a label set


class Pixels(NamedTuple):
    """An image's N pixels in a row.

    bits: (C, N) uint16 patterns of the log-odds; masks: (N,) uint64 label sets; places, rows, labels: (N,) uint8 of
    loops.describe_pixels; valid: (R,) pixels of each region.
    """

    bits: UInt16Array
    masks: UInt64Array
    places: UInt8Array
    rows: UInt8Array
    labels: UInt8Array
    valid: Int64Array

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.bits)


def pixels_of(log_odds: Float16Array, masks: UInt64Array, region: UInt8Array, *, exclusive: bool) -> Pixels:
    """Pixels of one image, arguments as in kernel.count_image.

    Raises ShapeError when shapes or dtypes do not fit, a label or region at a valid pixel is unknown, or exclusive
    truth has not exactly one label there.
    """
    count = int(np.prod(log_odds.shape[1:]))
    if log_odds.dtype != np.float16 or masks.size != count or region.size != count:
        raise ShapeError(
            f"log_odds must be (C, H, W) float16 with masks and region (H, W), got {log_odds.shape} {log_odds.dtype}, "
            f"{masks.shape} and {region.shape}"
        )
    classes = log_odds.shape[0]
    if not 0 < classes <= MOST_CLASSES:
        raise ShapeError(f"expected 1 to {MOST_CLASSES} classes, got {classes}; count the classes in groups")
    flat = np.ascontiguousarray(masks, np.uint64).reshape(-1)
    places, rows, labels = (np.empty(count, np.uint8) for _ in range(3))
    valid, wrong = loops.describe_pixels(
        flat, np.ascontiguousarray(region, np.uint8).reshape(-1), classes, places, rows, labels
    )
    not_one, beyond, unknown = wrong
    if unknown:
        raise ShapeError(f"region must be 0 to {BOUNDARY} or ignored, got others at {unknown} pixels; use regions()")
    if beyond:
        raise ShapeError(f"masks name labels beyond the {classes} classes at {beyond} pixels; use label_masks()")
    if exclusive and not_one:
        raise ShapeError("exclusive truth must have exactly one class at every valid pixel; mark the others as ignored")
    bits = np.ascontiguousarray(log_odds).reshape(classes, count).view(np.uint16)
    return Pixels(bits, flat, places, rows, labels, valid)
