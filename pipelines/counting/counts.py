"""Counts of single images to counts of many: stacked by image where resampling needs them, summed where it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np

from pipelines.arrays import Int64Array, UInt64Array
from pipelines.counting.grid import rebin
from pipelines.errors import ShapeError


@dataclass(frozen=True)
class _Arrays:
    """Arrays of counts over C classes, int64 but for `sets`; shapes are those of one image.

    R = 2 regions: interior, boundary. Y = 2: absent, present. K = min(C, 3). P = C (C - 1) / 2 pairs of classes in the
    order (0, 1), (0, 2), …, (1, 2), …

    score: (C, R, Y, CELLS) pixels; score_p: their sum of p in units of grid.P_UNIT.
    squared_error, nll: (C, R, Y, 2) sums by whether p > 0.5, in units of P_UNIT and NLL_UNIT.
    ranks: (R, 4, K, CELLS) k-th largest score by true number of labels.
    top, top_p: (R, 2, 2, CELLS) largest score by foreground and by correct. Exclusive truth, else empty.
    confusion: (R, C, C) argmax, rows the truth. Exclusive truth, else empty.
    categorical: (R, 2) sums of -log P(truth | exactly one label) (NLL_UNIT) and of 1 - P(exactly one label) (P_UNIT),
        the latter 0 for softmax. Exclusive truth, else empty.
    mass: (R, 3) sums of the probability that a pixel carries no label, one, and two or more (P_UNIT); they add up to
        the region's pixels.
    boundary, surface: (C, 3) and (C, 4) of outlines.Geometry; 0 as count_image leaves them.
    joint: (C + 1, C, CELLS) pixels by true class (last row: no label) and score of every class.
    pairs: (P, 2, CELLS) smaller score of a pair by whether both are there; p <= 1/300 is one cell.
    pair_mass: (P, 3) sums of p_a p_b and of the Fréchet bounds max(0, p_a + p_b - 1) and min(p_a, p_b) (P_UNIT). Truth
        that is not exclusive, else empty.
    sets: (S, 2) uint64, true set and set with p > 0.5 (bit c for class c) of the pairs that occur, ascending;
    set_pixels: (S,) their pixels. At most MOST_SETS rows.
    soft: (C, R, Y, CELLS) sums of the soft truth s (SOFT_UNIT); soft_squared_error, soft_nll: (C, R, Y, 2) sums of
        (p - s)² (P_UNIT) and of -s log p - (1 - s) log(1 - p) (NLL_UNIT) by whether p > 0.5. Y is the hard truth. Empty
        where the truth is hard, and in runs that are older than soft truth.
    """

    score: Int64Array
    score_p: Int64Array
    squared_error: Int64Array
    nll: Int64Array
    ranks: Int64Array
    top: Int64Array
    top_p: Int64Array
    confusion: Int64Array
    categorical: Int64Array
    mass: Int64Array
    boundary: Int64Array
    surface: Int64Array
    joint: Int64Array
    pairs: Int64Array
    pair_mass: Int64Array
    sets: UInt64Array
    set_pixels: Int64Array
    soft: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64), kw_only=True)
    soft_squared_error: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64), kw_only=True)
    soft_nll: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64), kw_only=True)


POOLED: Final = ("joint", "pairs", "pair_mass", "sets", "set_pixels")  # kept of all images together
SUMMED: Final = POOLED[:3]  # of these their sum
PER_IMAGE: Final = tuple(field.name for field in fields(_Arrays) if field.name not in POOLED)


class ImageCounts(_Arrays):
    """Counts of one image."""


@dataclass(frozen=True)
class Counts(_Arrays):
    """Counts over N images: the PER_IMAGE arrays have a leading N.

    images: names in the order of the first axis. The POOLED ones are of all images together: sums of SUMMED, and of
    `sets` the rows of all images with the sums of their pixels, at most MOST_SETS.
    """

    images: tuple[str, ...]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.score.shape[1])

    @property
    def exclusive(self) -> bool:
        """Whether the counts that need exactly one label a pixel are there."""
        return self.confusion.shape[-1] > 0

    @property
    def pixels(self) -> Int64Array:
        """Valid pixels of each image, (N,)."""
        return self.score[:, 0].sum(axis=(1, 2, 3)) if self.classes else np.zeros(len(self.images), np.int64)


def stack(names: Sequence[str], counts: Sequence[ImageCounts]) -> Counts:
    """Counts of at least one image, in the order given. Raises ShapeError when there is none."""
    if not counts or len(names) != len(counts):
        raise ShapeError(f"expected one name for each of at least one image, got {len(names)} and {len(counts)}")
    values = {name: np.stack([getattr(image, name) for image in counts]) for name in PER_IMAGE}
    return Counts(images=tuple(names), **values, **pool([pooled(image) for image in counts]))


def merge(parts: Sequence[Counts]) -> Counts:
    """Counts of all parts together; equal to counting the whole. Raises ShapeError on a repeated image."""
    images = tuple(name for part in parts for name in part.images)
    if len(set(images)) != len(images):
        raise ShapeError("an image stands in two of the parts; merge each image once")
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_IMAGE}
    return Counts(images=images, **values, **pool([pooled(part) for part in parts]))


def pooled(counts: ImageCounts | Counts) -> dict[str, Any]:
    """The POOLED arrays of counts, by name."""
    return {name: getattr(counts, name) for name in POOLED}


def pool(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The POOLED arrays of one part or more, added up."""
    values: dict[str, Any] = {name: np.sum([part[name] for part in parts], axis=0) for name in SUMMED}
    sets, pixels = add_sets([part["sets"] for part in parts], [part["set_pixels"] for part in parts])
    return values | {"sets": sets, "set_pixels": pixels}


# Rows kept, those first in order, 1.5 MB: predictions that are noise over many classes could make a row of every
# pixel. A row that is kept is first in order wherever it was counted, so nothing depends on the order of images, and
# its pixels are exact; the pixels of the others are missing from the sum.
MOST_SETS: Final = 65_536


def add_sets(
    sets: Sequence[UInt64Array], pixels: Sequence[Int64Array], *, most: int = MOST_SETS
) -> tuple[UInt64Array, Int64Array]:
    """Unique rows in ascending order and the sums of their pixels.

    sets: (S, 2) uint64 each, true and called set; pixels: (S,) int64 each, rows with 0 pixels are left out. Returns at
    most `most` rows, the first ones. Raises ShapeError unless there is one array of pixels for each of sets.
    """
    if not sets or len(sets) != len(pixels):
        raise ShapeError(f"expected pixels for each of at least one array of sets, got {len(sets)} and {len(pixels)}")
    rows, counts = np.concatenate(list(sets)), np.concatenate(list(pixels))
    rows, counts = rows[counts > 0], counts[counts > 0]
    if not len(rows):
        return np.zeros((0, 2), np.uint64), np.zeros(0, np.int64)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, counts = rows[order], counts[order]
    starts = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1)))
    return rows[starts][:most], np.add.reduceat(counts, starts)[:most]


# Calibration of single images -----------------------------------------------------------------------------------------

BINNED: Final = ("score", "score_p", "top", "top_p", "confusion")  # arrays of Counts that they are made from


def image_bins(counts: Counts, bins: int) -> Int64Array:
    """(N, C, 3, bins): pixels, pixels where the class is there, and sum of p (P_UNIT), over both regions of each image.

    Bins are right-closed and of equal width. Where the truth is exclusive, class C + 1 is the largest p of a pixel
    against whether the argmax is right. Raises ShapeError unless bins divides 300.
    """
    binned = _binned(counts.score.sum(axis=2), counts.score_p.sum(axis=2), bins)
    if not counts.exclusive:
        return binned
    top = _binned(counts.top.sum(axis=(1, 2)), counts.top_p.sum(axis=(1, 2)), bins)
    return np.concatenate([binned, top[:, None]], axis=1)


def _binned(pixels: Int64Array, mass: Int64Array, bins: int) -> Int64Array:
    """(..., 2, CELLS) of what is not a hit and what is to (..., 3, bins)."""
    by_bin = rebin(pixels, bins)
    return np.stack([by_bin.sum(axis=-2), by_bin[..., 1, :], rebin(mass.sum(axis=-2), bins)], axis=-2)
