"""A split's images to its counts: pixels by label set, sizes, images per class, channel mean and deviation."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.arrays import BoolArray, Float64Array, Int64Array
from pipelines.datasets.base import Dataset, Item
from pipelines.progress import Progress
from pipelines.schema import Split

_DENSE_CLASSES: Final = 12  # up to here label sets are counted in a table of 2^C cells, above by sorting


@dataclass(frozen=True)
class SplitFacts:
    """What one pass over some images counted.

    set_counts: valid pixels by label set (ascending class indices; () is no label). sizes: images by (height, width).
    class_pixels, class_images: per class, pixels and images that carry it. mean, std: of the three channels, in
    [0, 1]; NaN without pixels. Ignored pixels count in mean and std, which describe the input, and nowhere else.
    """

    images: int
    valid_pixels: int
    ignored_pixels: int
    set_counts: dict[tuple[int, ...], int]
    sizes: dict[tuple[int, int], int]
    class_pixels: tuple[int, ...]
    class_images: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class FactsCounter:
    """Adds up facts image by image; memory depends on the number of label sets and sizes, not of images."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._images = 0
        self._valid = 0
        self._ignored = 0
        self._sets: Counter[tuple[int, ...]] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._class_images: Int64Array = np.zeros(classes, np.int64)
        self._pixels = 0
        self._sum: Float64Array = np.zeros(3)
        self._squares: Float64Array = np.zeros(3)

    def add(self, item: Item) -> None:
        """Count one image."""
        height, width = item.valid.shape
        valid = int(np.count_nonzero(item.valid))
        self._images += 1
        self._valid += valid
        self._ignored += height * width - valid
        self._sizes[(height, width)] += 1
        found = count_label_sets(item.truth, item.valid)
        self._sets.update(found)
        for index in {index for members in found for index in members}:
            self._class_images[index] += 1
        flat = item.image.reshape(-1, 3).astype(np.float64)
        self._pixels += flat.shape[0]
        self._sum += flat.sum(axis=0)
        self._squares += np.einsum("ij,ij->j", flat, flat)

    def facts(self) -> SplitFacts:
        """What was counted so far."""
        counts = dict(sorted(self._sets.items(), key=lambda entry: (-entry[1], entry[0])))
        with np.errstate(invalid="ignore"):
            mean = self._sum / np.float64(self._pixels)
            std = np.sqrt(np.maximum(self._squares / np.float64(self._pixels) - mean * mean, 0.0))
        return SplitFacts(
            images=self._images,
            valid_pixels=self._valid,
            ignored_pixels=self._ignored,
            set_counts=counts,
            sizes=dict(sorted(self._sizes.items(), key=lambda entry: (-entry[1], entry[0]))),
            class_pixels=class_pixels(counts, self._classes),
            class_images=tuple(int(n) for n in self._class_images),
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            std=(float(std[0]), float(std[1]), float(std[2])),
        )


def scan(
    dataset: Dataset, split: Split, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> SplitFacts:
    """Read a split once and count it.

    size: (height, width) every image is resized to first, as in training. Raises DatasetError at the first bad image.
    """
    names = dataset.images(split)
    counter = FactsCounter(len(dataset.classes))
    shown = progress or Progress()  # without a stream it is silent
    with shown.stage(f"scan {split}", len(names)):
        for name in names:
            counter.add(dataset.read(name, size=size))
            shown.advance()
    return counter.facts()


def count_label_sets(truth: BoolArray, valid: BoolArray) -> dict[tuple[int, ...], int]:
    """Valid pixels by the set of classes they carry. truth: (C, H, W) bool; valid: (H, W) bool; C at most 64."""
    classes = truth.shape[0]
    wide = classes > _DENSE_CLASSES
    code = np.zeros(valid.shape, np.uint64 if wide else np.uint16)
    for index in range(classes):
        code |= truth[index].astype(code.dtype) << code.dtype.type(index)
    chosen = code[valid]
    if wide:
        values, counts = np.unique(chosen, return_counts=True)
    else:
        table = np.bincount(chosen, minlength=1)
        values = np.flatnonzero(table)
        counts = table[values]
    return {_members(int(value)): int(n) for value, n in zip(values, counts, strict=True)}


def class_pixels(set_counts: dict[tuple[int, ...], int], classes: int) -> tuple[int, ...]:
    """Pixels that carry each class."""
    totals = [0] * classes
    for members, n in set_counts.items():
        for index in members:
            totals[index] += n
    return tuple(totals)


def merge_counts(parts: Iterable[dict[tuple[int, ...], int]]) -> dict[tuple[int, ...], int]:
    """Label-set counts of several parts together, commonest first."""
    total: Counter[tuple[int, ...]] = Counter()
    for part in parts:
        total.update(part)
    return dict(sorted(total.items(), key=lambda entry: (-entry[1], entry[0])))


def _members(code: int) -> tuple[int, ...]:
    return tuple(index for index in range(code.bit_length()) if code >> index & 1)
