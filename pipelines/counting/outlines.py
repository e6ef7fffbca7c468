"""Truth and decisions of an image as label sets: regions of pixels, outlines, and where two heads agree."""

from typing import Final, NamedTuple

import numpy as np

from pipelines.arrays import BoolArray, Int64Array, UInt8Array, UInt64Array
from pipelines.counting import label_kernels
from pipelines.counting.kernels import BOUNDARY, IGNORED, INTERIOR
from pipelines.counting.label_kernels import MOST_CLASSES
from pipelines.errors import ShapeError

_EVERY_CLASS: Final = np.uint64(2**64 - 1)


def label_masks(truth: BoolArray) -> UInt64Array:
    """One uint64 a pixel whose bit c says whether class c is there. truth: (C, H, W) bool, C <= 64."""
    if truth.ndim != 3 or truth.shape[0] > 64:
        raise ShapeError(f"truth must be (C, H, W) with at most 64 classes, got {truth.shape}")
    everywhere = np.full(truth.shape[1:], _EVERY_CLASS)
    masks: UInt64Array = label_kernels.pack(np.ascontiguousarray(truth, np.bool_), everywhere)
    return masks


def disk(limit: float, *, closed: bool, farthest: int) -> Int64Array:
    """Reach in x of a disk's pixels at each distance in y from 0 on, for label_kernels.dilate.

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
    edge = label_kernels.surfaces(masks & known, known) | label_kernels.surfaces(~masks & known, known)
    near = label_kernels.dilate((edge != 0).astype(np.uint64), disk(width, closed=False, farthest=max(valid.shape)))
    out = np.where(near != 0, BOUNDARY, INTERIOR).astype(np.uint8)
    out[~valid] = IGNORED
    return out


# Outlines -------------------------------------------------------------------------------------------------------------
#
# An outline runs between two valid 4-neighbours, one in the mask and one not. The
# rim of the ignored area and the rim of the image are no outline, for nothing is known beyond them. MONAI and the
# boundary IoU paper's code count the rim of the image wherever a mask touches it. There the called and the true outline
# lie on one line whatever the network makes of the object, so that a class at the rim (road, sky) gets pixels for free.


class Geometry(NamedTuple):
    """Counts of one image, both int64; they add up over images.

    A surface pixel of a mask is a valid pixel in it with a valid 4-neighbour outside it. The band of a mask holds its
    pixels less than `width` pixels (between centres, Euclidean) from one of its surface pixels: width = 1 takes the
    surface alone.

    boundary: (C, 3) pixels in both bands, in the called one, in the true one: |(G_d ∩ G) ∩ (P_d ∩ P)|, |P_d ∩ P| and
        |G_d ∩ G| of the boundary IoU (Cheng et al. 2021), whose code measures d in steps of a 3x3 erosion instead.
    surface: (C, 4) true surface pixels, those of them at most `tolerance` pixels (Euclidean) from a called one, called
        surface pixels, those of them at most `tolerance` pixels from a true one: |S_T|, |S_T ∩ B_P|, |S_P| and
        |S_P ∩ B_T| of the surface Dice (Nikolov et al. 2018), with pixels counted where the paper measures lengths.
    """

    boundary: Int64Array
    surface: Int64Array


class Outline(NamedTuple):
    """Label sets, (H, W) uint64: classes on whose surface, in whose band, within tolerance of whose surface it lies."""

    surface: UInt64Array
    band: UInt64Array
    near: UInt64Array


class TrueSurfaces:
    """The truth's share of the geometry of one image, computed once for all heads that are counted against it.

    truth: (C, H, W) bool, C <= 64; valid: (H, W) bool; width: whole pixels, at least 1; tolerance: pixels, at least 0.
    What truth says at a pixel that is not valid does not matter.
    Raises ShapeError when shapes, dtypes or ranges differ from these.
    """

    def __init__(self, truth: BoolArray, valid: BoolArray, *, width: int, tolerance: float) -> None:
        if truth.ndim != 3 or truth.shape[0] > MOST_CLASSES or truth.dtype != np.bool_:
            raise ShapeError(
                f"truth must be (C, H, W) bool with at most {MOST_CLASSES} classes, got {truth.shape} {truth.dtype}"
            )
        if valid.shape != truth.shape[1:] or valid.dtype != np.bool_:
            raise ShapeError(f"valid must be {truth.shape[1:]} bool, got {valid.shape} {valid.dtype}")
        if width < 1:
            raise ShapeError(f"width must be at least 1 pixel, got {width}")
        if not 0 <= tolerance < np.inf:
            raise ShapeError(f"tolerance must be at least 0 pixels and finite, got {tolerance}")
        self.shape = truth.shape
        every_class = np.uint64(2 ** truth.shape[0] - 1)
        self._known: UInt64Array = valid.astype(np.uint64) * every_class
        farthest = max(valid.shape)
        self._band = disk(width, closed=False, farthest=farthest)
        self._near = disk(tolerance, closed=True, farthest=farthest)
        self.true_outline = self.outline(truth)

    def outline(self, classes: BoolArray) -> Outline:
        """Outline of any decisions, (C, H, W) bool, under the same width and tolerance at the same valid pixels."""
        masks = label_kernels.pack(np.ascontiguousarray(classes), self._known)
        surface = label_kernels.surfaces(masks, self._known)
        band = label_kernels.dilate(surface, self._band)
        return Outline(surface, band & masks, label_kernels.dilate(surface, self._near))


def count_geometry(called: BoolArray, truth: TrueSurfaces) -> Geometry:
    """Count a head's decisions in one image, (C, H, W) bool as the truth; see Geometry.

    Swapping the two swaps their columns. Raises ShapeError on another shape or dtype.
    """
    if called.shape != truth.shape or called.dtype != np.bool_:
        raise ShapeError(f"called must be {truth.shape} bool as the truth, got {called.shape} {called.dtype}")
    mine, true = truth.outline(called), truth.true_outline
    boundary, true_near, called_near = (np.zeros((truth.shape[0], 3), np.int64) for _ in range(3))
    label_kernels.count_common(mine.band, true.band, boundary)
    label_kernels.count_common(true.surface, mine.near, true_near)
    label_kernels.count_common(mine.surface, true.near, called_near)
    return Geometry(
        boundary, np.stack([true_near[:, 1], true_near[:, 0], called_near[:, 1], called_near[:, 0]], axis=1)
    )


# Two heads ------------------------------------------------------------------------------------------------------------


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
    region: (H, W) uint8 of `regions`, IGNORED pixels are left out of everything.
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
    first_sets, second_sets = (label_kernels.pack(np.ascontiguousarray(calls), everywhere) for calls in (first, second))
    by_class, by_pixel = np.zeros((classes, 2, 2, 2, 2), np.int64), np.zeros((2, 5), np.int64)
    label_kernels.count_agreement(first_sets, second_sets, masks, region, by_class, by_pixel)
    return Agreement(by_class, by_pixel)
