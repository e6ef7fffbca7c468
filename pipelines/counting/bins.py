"""Counts to what calibration errors of single images are made from: pixels, hits and sums of p in equal bins of p."""

from typing import Final

import numpy as np

from pipelines.arrays import Int64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import rebin

BINNED: Final = ("score", "score_p", "top", "top_p", "confusion")  # arrays of Counts that they are made from


def image_bins(counts: Counts, bins: int) -> Int64Array:
    """(N, C, 3, bins): pixels, pixels where the class is there, and sum of p (P_UNIT), over both regions of each image.

    Bins are right-closed and of equal width. Where the truth is exclusive, class C + 1 is the largest p of a pixel
    against whether the argmax is right. Raises ShapeError unless bins divides 300.
    """
    found = _binned(counts.score.sum(axis=2), counts.score_p.sum(axis=2), bins)
    if not counts.exclusive:
        return found
    top = _binned(counts.top.sum(axis=(1, 2)), counts.top_p.sum(axis=(1, 2)), bins)
    return np.concatenate([found, top[:, None]], axis=1)


def _binned(pixels: Int64Array, mass: Int64Array, bins: int) -> Int64Array:
    """(..., 2, CELLS) of what is not a hit and what is to (..., 3, bins)."""
    by_bin = rebin(pixels, bins)
    return np.stack([by_bin.sum(axis=-2), by_bin[..., 1, :], rebin(mass.sum(axis=-2), bins)], axis=-2)
