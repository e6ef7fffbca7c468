"""Counts of single images to counts of many: stacked by image where resampling needs them, summed where it does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.arrays import Int64Array
from pipelines.errors import ShapeError
from pipelines.statistics.kernel import ImageCounts

PER_IMAGE: Final = (
    "score", "score_p", "squared_error", "nll", "ranks", "top", "top_p", "confusion", "categorical",
)  # fmt: skip
POOLED: Final = ("joint", "pairs")


@dataclass(frozen=True)
class Counts:
    """Counts over N images; array shapes are those of ImageCounts, with a leading N on the PER_IMAGE ones.

    images: names in the order of the first axis.
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
    joint: Int64Array
    pairs: Int64Array

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
    values |= {name: np.sum([getattr(one, name) for one in counts], axis=0) for name in POOLED}
    return Counts(images=tuple(names), **values)


def merge(parts: Sequence[Counts]) -> Counts:
    """Counts of all parts together; equal to counting the whole. Raises ShapeError on a repeated image."""
    images = tuple(name for part in parts for name in part.images)
    if len(set(images)) != len(images):
        raise ShapeError("an image stands in two of the parts; merge each image once")
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_IMAGE}
    values |= {name: np.sum([getattr(part, name) for part in parts], axis=0) for name in POOLED}
    return Counts(images=images, **values)
