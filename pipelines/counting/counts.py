"""Counts of single images to counts of many: stacked by image where resampling needs them, summed where it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipelines.arrays import Int64Array, UInt64Array
from pipelines.counting.kernel import ImageCounts
from pipelines.counting.sets import add_sets
from pipelines.errors import ShapeError

PER_IMAGE: Final = (
    "score", "score_p", "squared_error", "nll", "ranks", "top", "top_p", "confusion", "categorical", "mass", "boundary",
    "surface",
)  # fmt: skip
SUMMED: Final = ("joint", "pairs", "pair_mass")
POOLED: Final = (*SUMMED, "sets", "set_pixels")


@dataclass(frozen=True)
class Counts:
    """Counts over N images; array shapes are those of ImageCounts, with a leading N on the PER_IMAGE ones.

    images: names in the order of the first axis. The POOLED ones are of all images together: sums of SUMMED, and of
    `sets` the rows of all images with the sums of their pixels, at most sets.MOST_SETS.
    """

    images: tuple[str, ...]
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
    values = {name: np.stack([getattr(one, name) for one in counts]) for name in PER_IMAGE}
    return Counts(images=tuple(names), **values, **pool([pooled(one) for one in counts]))


def merge(parts: Sequence[Counts]) -> Counts:
    """Counts of all parts together; equal to counting the whole. Raises ShapeError on a repeated image."""
    images = tuple(name for part in parts for name in part.images)
    if len(set(images)) != len(images):
        raise ShapeError("an image stands in two of the parts; merge each image once")
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_IMAGE}
    return Counts(images=images, **values, **pool([pooled(part) for part in parts]))


def add_up(repeats: Sequence[Counts]) -> Counts:
    """Sums over several counts of the same images, as if each had seen every pixel once more (seeds).

    Raises ShapeError when the images differ.
    """
    if len({one.images for one in repeats}) != 1:
        raise ShapeError("expected counts of the same images in the same order; count the same split")
    if len(repeats) == 1:
        return repeats[0]
    values = {name: np.sum([getattr(one, name) for one in repeats], axis=0) for name in PER_IMAGE}
    return Counts(images=repeats[0].images, **values, **pool([pooled(one) for one in repeats]))


def pooled(counts: ImageCounts | Counts) -> dict[str, Any]:
    """The POOLED arrays of counts, by name."""
    return {name: getattr(counts, name) for name in POOLED}


def pool(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The POOLED arrays of one part or more, added up."""
    values: dict[str, Any] = {name: np.sum([part[name] for part in parts], axis=0) for name in SUMMED}
    sets, pixels = add_sets([part["sets"] for part in parts], [part["set_pixels"] for part in parts])
    return values | {"sets": sets, "set_pixels": pixels}
