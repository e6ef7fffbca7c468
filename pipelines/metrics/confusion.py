"""Counts to confusion matrices, to the pixels that each image has in one of their cells, and to where they are."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from pipelines import heads
from pipelines.arrays import BoolArray, Float16Array, Int64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import first_cell_above
from pipelines.counting.kernels import BOUNDARY, INTERIOR
from pipelines.counting.outlines import regions
from pipelines.errors import ShapeError
from pipelines.metrics.base import in_region, ratio
from pipelines.schema import Kind, Region

NONE: Final = -1


class Cell(NamedTuple):
    """One cell of a confusion matrix.

    truth: class index, or NONE for pixels that carry no label. called: class index, or NONE for pixels that are not
    given the one class there is. threshold: k/300 above which p calls a class, None for the argmax. region: of the
    pixels; the threshold form is counted over all of them.
    """

    truth: int
    called: int
    threshold: float | None = None
    region: Region = "all"


class CellPixels(NamedTuple):
    """pixels: (N,) int64 of each image; exact: whether that many, or at most that many; total: of all images."""

    pixels: Int64Array
    exact: bool
    total: int


def cell_pixels(counts: Counts, cell: Cell) -> CellPixels:
    """Pixels of a cell in every image, and in all of them.

    The argmax confusion is counted by image, so its cells are exact. At a threshold, a cell off the diagonal is counted
    over all images together; what is known of one image is that it has no more such pixels than true ones of the
    row's class, nor than the column's class is called. Raises ShapeError where the cell does not exist.
    """
    if cell.threshold is None:
        if not counts.exclusive:
            raise ShapeError("the argmax confusion needs exactly one true class a pixel; use a threshold instead")
        return _exactly(in_region(counts.confusion, cell.region, axis=1)[:, cell.truth, cell.called])
    if cell.called == NONE and counts.classes > 1:
        raise ShapeError("only a single class has a column for pixels that are not called it")
    first = first_cell_above(cell.threshold)
    called = counts.score[:, max(cell.called, 0)].sum(axis=1)  # (N, Y, CELLS)
    above, below = called[..., first:].sum(axis=-1), called[..., :first].sum(axis=-1)
    if counts.classes == 1:
        return _exactly((below if cell.called == NONE else above)[:, int(cell.truth != NONE)])
    if cell.truth == cell.called:
        return _exactly(above[:, 1])
    if cell.truth == NONE:
        there, most = counts.ranks[:, :, 0, 0].sum(axis=(1, 2)), above[:, 0]
    else:
        there = counts.score[:, cell.truth, :, 1].sum(axis=(1, 2))
        # Where labels exclude each other, none of the row's pixels is a true one of the column's class.
        most = above[:, 0] if counts.exclusive else above.sum(axis=1)
    total = int(counts.joint[cell.truth, cell.called, first:].sum())  # NONE is the last row
    return CellPixels(np.minimum(there, most), exact=False, total=total)


def _exactly(pixels: Int64Array) -> CellPixels:
    return CellPixels(pixels, exact=True, total=int(pixels.sum()))


def cell_mask(cell: Cell, truth: BoolArray, valid: BoolArray, log_odds: Float16Array, *, width: int) -> BoolArray:
    """Where the pixels of a cell are, (H, W) bool, decided as they were counted.

    truth: (C, H, W) bool; valid: (H, W) bool; log_odds: (C, H, W) float16; width: of the boundary band in pixels.
    """
    if cell.threshold is None:
        called = log_odds.argmax(axis=0) == cell.called
    else:
        above = heads.decide(log_odds[[max(cell.called, 0)]], rule="threshold", thresholds=cell.threshold)[0]
        called = ~above if cell.called == NONE else above
    there = ~truth.any(axis=0) if cell.truth == NONE else truth[cell.truth]
    mask: BoolArray = there & called & valid
    if cell.region != "all":
        mask &= regions(truth, valid, width=width) == (BOUNDARY if cell.region == "boundary" else INTERIOR)
    return mask


def most_pixels(cell: CellPixels, count_of: Mapping[int, int], *, most: int) -> tuple[list[int], bool]:
    """At most `most` images with the most pixels of a cell, largest first, and whether no other image can have more.

    count_of: pixels of the images that were looked at, by place. Images without a pixel are left out.
    """
    order = sorted((place for place, pixels in count_of.items() if pixels), key=lambda k: (-count_of[k], k))[:most]
    unseen = np.delete(cell.pixels, list(count_of))
    least = count_of[order[-1]] if len(order) == most else 0
    return order, bool(len(unseen) == 0 or unseen.max() <= least)


# Matrices -------------------------------------------------------------------------------------------------------------

NO_LABEL: Final = "no label"


def argmax_confusion(counts: Counts, *, classes: Sequence[str], region: Region = "all") -> pd.DataFrame:
    """Pixels by true class and argmax; exclusive truth only.

    Returns one row a pair: truth, predicted, pixels, truth_pixels, share (of the true class; NaN where it has none).
    """
    if not counts.exclusive:
        raise ShapeError("the argmax confusion needs exactly one true class a pixel; use a threshold instead")
    matrix = in_region(counts.confusion, region, axis=1).sum(axis=0)
    return _confusion(matrix, matrix.sum(axis=1), list(classes), list(classes))


def threshold_confusion(
    counts: Counts, *, kind: Kind, classes: Sequence[str], threshold: float, background: str = "background"
) -> pd.DataFrame:
    """Pixels by true class and by class with p > threshold (k/300); columns as in `argmax_confusion`.

    A pixel counts in the row of each of its labels, or in NO_LABEL's, and in the column of each class called, so that
    rows may add up to more or less than their pixels. Binary truth gets the full 2 × 2 table with `background`.
    """
    first = first_cell_above(threshold)
    called = counts.joint[:, :, first:].sum(axis=-1)
    totals = counts.joint[:, 0].sum(axis=-1)
    if kind == "binary":
        both = np.stack([totals - called[:, 0], called[:, 0]], axis=1)[::-1]
        names = [background, classes[0]]
        return _confusion(both, totals[::-1], names, names)
    if kind == "exclusive":
        return _confusion(called[:-1], totals[:-1], list(classes), list(classes))
    return _confusion(called, totals, [*classes, NO_LABEL], list(classes))


def _confusion(matrix: Int64Array, totals: Int64Array, rows: list[str], columns: list[str]) -> pd.DataFrame:
    whole = np.repeat(totals, len(columns))
    return pd.DataFrame(
        {
            "truth": np.repeat(rows, len(columns)),
            "predicted": np.tile(columns, len(rows)),
            "pixels": matrix.reshape(-1),
            "truth_pixels": whole,
            "share": ratio(matrix.reshape(-1).astype(np.float64), whole.astype(np.float64)),
        }
    )
