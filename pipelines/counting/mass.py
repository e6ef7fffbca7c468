"""Sums over pixels to the probability that a pixel carries no label, one, and two or more."""

from typing import Final

import numpy as np

from pipelines.arrays import Float16Array, Int64Array
from pipelines.counting import grid, mass_loops, tables
from pipelines.counting.pixels import Pixels
from pipelines.errors import ShapeError

ONE: Final = round(1 / grid.P_UNIT)  # probability 1
_P: Final = np.where(grid.CELL_TABLE == grid.NOT_A_NUMBER, np.nan, grid.PROBABILITY)  # (65536,)


def of_binary(pixels: Pixels, score_p: Int64Array) -> Int64Array:
    """(R, 3) for one class: 1 - p, p, 0. score_p: (1, R, Y, CELLS) of ImageCounts."""
    return _with_rest(pixels, np.stack([pixels.valid * ONE - _there(score_p), _there(score_p)], axis=-1))


def _there(score_p: Int64Array) -> Int64Array:
    total: Int64Array = score_p[0].sum(axis=(1, 2))
    return total


def of_one_label(pixels: Pixels) -> Int64Array:
    """(R, 3) for a softmax over classes that shut each other out: 0, 1, 0."""
    return _with_rest(pixels, np.stack([np.zeros(2, np.int64), pixels.valid * ONE], axis=-1))


def of_independent(pixels: Pixels) -> tuple[Int64Array, Int64Array]:
    """(R, 3) for independent labels, and (R,) sums of the log of the sum of exp(log-odds) (NLL_UNIT)."""
    sums = np.zeros((2, 3), np.int64)
    mass_loops.sum_independent(pixels.bits, pixels.places, tables.ODDS, grid.LOG_ODDS, ONE, 1 / grid.NLL_UNIT, sums)
    return _with_rest(pixels, sums[:, :2]), sums[:, 2]


def of_channels(pixels: Pixels, channels: Float16Array | None, labels: tuple[int, ...]) -> Int64Array:
    """(R, 3) for a softmax on overlapping truth, from the channels that are not classes.

    channels: (E, H, W) float16 log-odds; labels: how many labels each stands for. One channel: its rest is one label,
    as for the background of a softmax by priority. Raises ShapeError when there is none, the numbers do not fit, or a
    valid value is not a number.
    """
    count = pixels.places.size
    if channels is None or not labels or channels.dtype != np.float16 or channels.size != len(labels) * count:
        got = "none" if channels is None else f"{channels.shape} {channels.dtype} for {len(labels)} numbers of labels"
        raise ShapeError(
            f"a softmax on overlapping truth needs its channels that are not classes, (E, H, W) float16, got {got}"
        )
    bits = np.ascontiguousarray(channels).reshape(-1, count).view(np.uint16)
    sums = np.zeros((2, 2), np.int64)
    bad = mass_loops.sum_channels(bits, np.array(labels, np.int64), pixels.places, _P, ONE, sums)
    if bad:
        raise ShapeError(f"log-odds of channels are not numbers at {bad} pixels; write finite values only")
    return _with_rest(pixels, sums)


def _with_rest(pixels: Pixels, few: Int64Array) -> Int64Array:
    """(R, 2) sums for no label and one to (R, 3): the third is what they lack of the region's pixels."""
    return np.concatenate([few, (pixels.valid * ONE - few.sum(axis=1))[:, None]], axis=1)
