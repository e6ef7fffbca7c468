"""The one hot loop: float16 log-odds and truth of an image to integer counts, each pixel read once."""

from typing import NamedTuple

import numpy as np

from pipelines.arrays import Float16Array, Int64Array, UInt8Array, UInt64Array
from pipelines.errors import ShapeError
from pipelines.statistics import grid, loops
from pipelines.statistics.loops import MOST_LABELS, RANKS
from pipelines.statistics.regions import IGNORED


class ImageCounts(NamedTuple):
    """Counts of one image, all int64. R = 2 regions (interior, boundary), Y = 2 (absent, present), K = min(C, 3).

    score: (C, R, Y, CELLS) pixels; score_p: their sum of p in units of grid.P_UNIT.
    squared_error, nll: (C, R, Y, 2) sums by whether p > 0.5, in units of P_UNIT and NLL_UNIT.
    ranks: (R, 4, K, CELLS) k-th largest score by true number of labels.
    top, top_p: (R, 2, 2, CELLS) largest score by foreground and by correct. Exclusive truth, else empty.
    confusion: (R, C, C) argmax, rows the truth. Exclusive truth, else empty.
    categorical: (R, 2) sums of -log P(truth | exactly one label) (NLL_UNIT) and of 1 - P(exactly one label) (P_UNIT),
        the latter 0 for softmax. Exclusive truth, else empty.
    joint: (C + 1, C, CELLS) pixels by true class (last row: no label) and score of every class.
    pairs: (C (C - 1) / 2, 2, CELLS) smaller score of a pair by whether both are there; p <= 1/300 is one cell.
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
    joint: Int64Array
    pairs: Int64Array


def empty_counts(classes: int, *, exclusive: bool) -> ImageCounts:
    """Zero counts of the right shapes."""
    cells, ranks, known = grid.CELLS, min(classes, RANKS), classes if exclusive else 0
    shapes: dict[str, tuple[int, ...]] = {
        "score": (classes, 2, 2, cells),
        "score_p": (classes, 2, 2, cells),
        "squared_error": (classes, 2, 2, 2),
        "nll": (classes, 2, 2, 2),
        "ranks": (2, MOST_LABELS + 1, ranks, cells),
        "top": (2, 2, 2, cells if exclusive else 0),
        "top_p": (2, 2, 2, cells if exclusive else 0),
        "confusion": (2, known, known),
        "categorical": (2, 2 if exclusive else 0),
        "joint": (classes + 1, classes, cells),
        "pairs": (classes * (classes - 1) // 2, 2, cells),
    }
    return ImageCounts(**{name: np.zeros(shape, np.int64) for name, shape in shapes.items()})


def count_image(
    log_odds: Float16Array,
    masks: UInt64Array,
    region: UInt8Array,
    *,
    exclusive: bool,
    softmax: bool = False,
    background: int = -1,
) -> ImageCounts:
    """Count one image.

    log_odds: (C, H, W) or (C, N) float16; masks: (H, W) uint64 label sets, bit c for class c; region: (H, W) uint8 of
    regions.regions, IGNORED pixels are left out of everything. softmax: whether the p of a pixel are one softmax, so
    that -log p[truth] is its categorical likelihood as it stands. background: class index that does not count as
    foreground in the top-label counts, -1 for none.
    Raises ShapeError when shapes or dtypes differ from these or a valid log-odds is not a number.
    """
    classes = log_odds.shape[0]
    pixels = int(np.prod(log_odds.shape[1:]))
    if log_odds.dtype != np.float16 or masks.size != pixels or region.size != pixels:
        raise ShapeError(
            f"log_odds must be (C, H, W) float16 with masks and region (H, W), got {log_odds.shape} {log_odds.dtype}, "
            f"{masks.shape} and {region.shape}"
        )
    region = np.ascontiguousarray(region).reshape(-1)
    keep = region != IGNORED
    bits = np.ascontiguousarray(log_odds).reshape(classes, pixels).view(np.uint16)
    masks = np.ascontiguousarray(masks).reshape(-1)
    if not keep.all():  # one copy here keeps every test for ignored pixels out of the loops
        bits, masks, region = np.ascontiguousarray(bits[:, keep]), masks[keep], region[keep]
    bad = int((bits & 0x7FFF > 0x7C00).sum())
    if bad:
        raise ShapeError(f"{bad} log-odds are not numbers; write finite values only")
    if exclusive and ((masks == 0) | (masks & (masks - np.uint64(1)) != 0)).any():
        raise ShapeError("exclusive truth must have exactly one class at every valid pixel; mark the others as ignored")
    counts = empty_counts(classes, exclusive=exclusive)
    pattern_counts = np.zeros((4, 65536), np.uint32)
    for c in range(classes):
        loops.count_class(c, bits[c], masks, region, pattern_counts, counts.joint, grid.CELL_TABLE)
        loops.reduce_patterns(
            pattern_counts, grid.CELL_TABLE, grid.P_TABLE, grid.SQUARED_ERROR_TABLE, grid.NLL_TABLE,
            counts.score[c], counts.score_p[c], counts.squared_error[c], counts.nll[c],
        )  # fmt: skip
    loops.count_pixels(
        bits, masks, region, grid.CELL_TABLE, counts.ranks, counts.pairs,
    )  # fmt: skip
    if exclusive:
        loops.count_categories(
            bits, masks, region, softmax, background,
            grid.CELL_TABLE, grid.P_TABLE, grid.NLL_TABLE, grid.EXP_TABLE, grid.SOFTPLUS_TABLE,
            counts.top, counts.top_p, counts.confusion, counts.categorical,
        )  # fmt: skip
    _fill_low_pairs(counts, masks)
    return counts


def _fill_low_pairs(counts: ImageCounts, masks: UInt64Array) -> None:
    """Put the pixels whose smaller score of a pair lies in the first step, which the loop skips, into cell 0."""
    classes = counts.score.shape[0]
    several = masks[(masks & (masks - np.uint64(1))) != 0]  # at least two bits set
    pair = 0
    for first in range(classes):
        for second in range(first + 1, classes):
            both_bits = np.uint64((1 << first) | (1 << second))
            both = int(((several & both_bits) == both_bits).sum())
            counts.pairs[pair, 1, 0] += both - counts.pairs[pair, 1].sum()
            counts.pairs[pair, 0, 0] += masks.size - both - counts.pairs[pair, 0].sum()
            pair += 1
