"""Decisions and truth of an image to counts of pixels on and near their outlines.

What an outline is follows regions.regions: it runs between two valid 4-neighbours, one in the mask and one not. The
rim of the ignored area and the rim of the image are no outline, for nothing is known beyond them. MONAI and the
boundary IoU paper's code count the rim of the image wherever a mask touches it. There the called and the true outline
lie on one line whatever the network makes of the object, so that a class at the rim (road, sky) gets pixels for free.
"""

from typing import NamedTuple

import numpy as np

from pipelines.arrays import BoolArray, Int64Array, UInt64Array
from pipelines.counting import label_loops
from pipelines.counting.label_loops import MOST_CLASSES
from pipelines.counting.regions import disk
from pipelines.errors import ShapeError


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
        masks = label_loops.pack(np.ascontiguousarray(classes), self._known)
        surface = label_loops.surfaces(masks, self._known)
        band = label_loops.dilate(surface, self._band)
        return Outline(surface, band & masks, label_loops.dilate(surface, self._near))


def count_geometry(called: BoolArray, truth: TrueSurfaces) -> Geometry:
    """Count a head's decisions in one image, (C, H, W) bool as the truth; see Geometry.

    Swapping the two swaps their columns. Raises ShapeError on another shape or dtype.
    """
    if called.shape != truth.shape or called.dtype != np.bool_:
        raise ShapeError(f"called must be {truth.shape} bool as the truth, got {called.shape} {called.dtype}")
    mine, true = truth.outline(called), truth.true_outline
    boundary, found, right = (np.zeros((truth.shape[0], 3), np.int64) for _ in range(3))
    label_loops.count_common(mine.band, true.band, boundary)
    label_loops.count_common(true.surface, mine.near, found)
    label_loops.count_common(mine.surface, true.near, right)
    return Geometry(boundary, np.stack([found[:, 1], found[:, 0], right[:, 1], right[:, 0]], axis=1))
