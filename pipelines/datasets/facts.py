"""Images to counts, by label set above all; and from these the best scores of any output with one label a pixel."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from pipelines.arrays import BoolArray, Float64Array, Int64Array
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.progress import Progress
from pipelines.schema import Split

GAP: Final = 1e-9  # macro Dice is certified to lie within this of the optimum
_SWEEPS: Final = 10_000
_DENSE_CLASSES: Final = 12  # up to here label sets are counted in a table of 2^C cells, above by sorting

SetCounts: TypeAlias = Mapping[tuple[int, ...], int]  # pixels by label set: ascending class indices


@dataclass(frozen=True)
class SplitFacts:
    """What one pass over some images counted.

    set_counts: valid pixels by label set (ascending class indices; () is no label). sizes: images by (height, width).
    class_pixels, class_images: per class, pixels and images that carry it. mean, std: of each band, in
    [0, 1]; NaN without pixels. Ignored pixels count in mean and std, which describe the input, and nowhere else.
    """

    images: int
    valid_pixels: int
    ignored_pixels: int
    set_counts: dict[tuple[int, ...], int]
    sizes: dict[tuple[int, int], int]
    class_pixels: tuple[int, ...]
    class_images: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class FactsCounter:
    """Adds up facts image by image; memory depends on the number of label sets and sizes, not of images."""

    def __init__(self, classes: int, bands: int = 3) -> None:
        self._classes = classes
        self._images = 0
        self._valid = 0
        self._ignored = 0
        self._sets: Counter[tuple[int, ...]] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._class_images: Int64Array = np.zeros(classes, np.int64)
        self._pixels = 0
        self._sum: Float64Array = np.zeros(bands)
        self._squares: Float64Array = np.zeros(bands)

    def add(self, item: Item) -> None:
        """Count one image."""
        height, width = item.valid.shape
        valid = int(np.count_nonzero(item.valid))
        self._images += 1
        self._valid += valid
        self._ignored += height * width - valid
        self._sizes[(height, width)] += 1
        counts = count_label_sets(item.truth, item.valid)
        self._sets.update(counts)
        for index in {index for members in counts for index in members}:
            self._class_images[index] += 1
        flat = item.image.reshape(-1, len(self._sum)).astype(np.float64)
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
            class_pixels=tuple(class_pixels(counts, self._classes).astype(np.int64).tolist()),
            class_images=tuple(self._class_images.tolist()),
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
        )


def scan(
    dataset: Dataset, split: Split, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> SplitFacts:
    """Read a split once and count it.

    size: (height, width) every image is resized to first, as in training. Raises DatasetError at the first bad image.
    """
    names = dataset.images(split)
    counter = FactsCounter(len(dataset.classes), dataset.bands.count)
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


def class_pixels(set_counts: SetCounts, classes: int) -> Float64Array:
    """Pixels that carry each class, (C,): whole numbers up to 2^53."""
    totals = np.zeros(classes)
    for members, n in set_counts.items():
        totals[list(members)] += n
    return totals


def _members(code: int) -> tuple[int, ...]:
    return tuple(index for index in range(code.bit_length()) if code >> index & 1)


# The best that one label a pixel can reach ---------------------------------------------------------------------------
#
# A pixel that carries the set S of labels can be given to one class of S only (or to none); giving it to a class
# outside S only adds a false positive. So with TP_c pixels given to class c, of N_c that carry it, and no false
# positives, IoU_c = TP_c / N_c and Dice_c = 2 TP_c / (TP_c + N_c), and what is left is to choose who gets which pixels.


@dataclass(frozen=True)
class Ceiling:
    """Scores of one way to give every pixel to at most one class.

    dice, iou: per class, in [0, 1]; NaN for a class that no pixel carries. macro_dice, macro_iou: their means over
    the classes that occur; NaN when none does. gap: the optimum lies at most this far above the macro score that
    was maximised.
    """

    dice: tuple[float, ...]
    iou: tuple[float, ...]
    macro_dice: float
    macro_iou: float
    gap: float = 0.0


def best_iou(set_counts: SetCounts, classes: int) -> Ceiling:
    """The largest macro IoU: each label set goes to its rarest class. Exact.

    Macro IoU is the sum of TP_c / (N_c C): linear, so every pixel of a set goes where 1 / N_c is largest.
    """
    totals = class_pixels(set_counts, classes)
    order = sorted(range(classes), key=lambda index: (totals[index], index))
    return by_priority(set_counts, order)


def by_priority(set_counts: SetCounts, order: Sequence[int]) -> Ceiling:
    """Scores of a perfect network trained on targets where the first class in order wins.

    order: every class index once.
    """
    rank = {index: place for place, index in enumerate(order)}
    kept = np.zeros(len(order))
    for members, n in set_counts.items():
        if members:
            kept[min(members, key=rank.__getitem__)] += n
    return _scores(kept, class_pixels(set_counts, len(order)))


def best_dice(set_counts: SetCounts, classes: int) -> Ceiling:
    """The largest macro Dice, to within `gap`.

    Macro Dice is concave in how the pixels are shared out, and separable over classes. Each label set in turn is
    shared out in the best way given the others (water-filling, in closed form) until the Frank-Wolfe duality gap,
    which bounds the distance to the optimum from above, is below GAP (Jaggi 2013, eq. 2). Shares may be fractions of a
    pixel, so the ceiling holds for whole pixels too.
    """
    totals = class_pixels(set_counts, classes)
    sets = [(np.array(members, np.int64), float(n)) for members, n in set_counts.items() if members and n]
    shares = [np.full(len(members), n / len(members)) for members, n in sets]
    kept = np.zeros(classes)
    for (members, _), share in zip(sets, shares, strict=True):
        kept[members] += share
    open_sets = [index for index, (members, _) in enumerate(sets) if len(members) > 1]
    gap = 0.0
    for _ in range(_SWEEPS if open_sets else 0):
        for index in open_sets:
            members, n = sets[index]
            kept[members] -= shares[index]
            shares[index] = _water_fill(kept[members], totals[members], n)
            kept[members] += shares[index]
        gap = _duality_gap([sets[i] for i in open_sets], [shares[i] for i in open_sets], kept, totals)
        if gap <= GAP:
            break
    return _scores(kept, totals, gap=gap)


def _water_fill(kept: Float64Array, totals: Float64Array, n: float) -> Float64Array:
    """Share n pixels among classes so that the sum of 2 T / (T + N) is largest, T = kept + share.

    The slope 2 N / (T + N)^2 must be equal wherever the share is positive: T + N = s sqrt(2 N), with one s for all.
    The total share grows piecewise linearly in s, so s follows from its breakpoints.
    """
    root = np.sqrt(2 * totals)
    base = kept + totals
    start = base / root  # the s from which a class gets a share
    order = np.argsort(start, kind="stable")
    roots, bases = np.cumsum(root[order]), np.cumsum(base[order])
    level = (n + bases) / roots  # s if exactly the first k classes share
    takers = int(np.flatnonzero(level >= start[order])[-1])
    share = np.maximum(level[takers] * root - base, 0.0)
    return share * (n / share.sum())


def _duality_gap(
    sets: Sequence[tuple[np.ndarray, float]], shares: Sequence[Float64Array], kept: Float64Array, totals: Float64Array
) -> float:
    """Frank-Wolfe gap: how much macro Dice a linear look ahead still promises; the optimum is no further away."""
    occurring = int((totals > 0).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = 2 * totals / (kept + totals) ** 2 / occurring
    promised = sum(n * slope[members].max() for members, n in sets)
    reached = sum(float(share @ slope[members]) for (members, _), share in zip(sets, shares, strict=True))
    return max(float(promised - reached), 0.0)


def _scores(kept: Float64Array, totals: Float64Array, *, gap: float = 0.0) -> Ceiling:
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = kept / totals
        dice = 2 * kept / (kept + totals)
    occurs = totals > 0
    return Ceiling(
        dice=tuple(float(value) for value in dice),
        iou=tuple(float(value) for value in iou),
        macro_dice=float(dice[occurs].mean()) if occurs.any() else float("nan"),
        macro_iou=float(iou[occurs].mean()) if occurs.any() else float("nan"),
        gap=gap,
    )
