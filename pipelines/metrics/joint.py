"""Counts to tables of labels that share a pixel: pairs of classes, and which set of labels was called for which.

Marginal probabilities do not say how likely two labels are together: max(0, p_a + p_b − 1) ≤ P(a, b) ≤ min(p_a, p_b)
(Fréchet 1935), and p_a p_b only if the labels are independent given the pixel.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from pipelines.arrays import Float64Array, Int64Array, UInt64Array
from pipelines.counting import Counts
from pipelines.counting.grid import P_UNIT, first_cell_above
from pipelines.errors import ShapeError
from pipelines.metrics.base import ratio

REST: Final = "all other sets"
NO_LABELS: Final = "none"
MOST_SETS: Final = 64


def pair_probabilities(counts: Counts, *, classes: Sequence[str]) -> pd.DataFrame:
    """Joint presence of each pair of classes against what the marginal probabilities allow, as shares of the pixels.

    Returns one row a pair: first, second, observed (share of pixels with both in the truth), independent (mean of
    p_a p_b), lowest and highest (means of the Fréchet bounds), inside (whether the observed share lies between them; if
    not, the marginals are wrong, whatever joint law is assumed). Needs truth that is not exclusive.
    Raises ShapeError otherwise.
    """
    pairs = list(combinations(range(len(classes)), 2))
    if len(counts.pair_mass) != len(pairs):
        raise ShapeError("joint probabilities are counted only where labels may share a pixel")
    pixels = max(int(counts.pixels.sum()), 1)
    independent, lowest, highest = (counts.pair_mass * P_UNIT / pixels).T
    observed = counts.pairs[:, 1].sum(axis=1) / pixels
    rounding = P_UNIT  # each pixel's mass was rounded to this
    return pd.DataFrame(
        {
            "first": [classes[a] for a, _ in pairs],
            "second": [classes[b] for _, b in pairs],
            "observed": observed,
            "independent": independent,
            "lowest": lowest,
            "highest": highest,
            "inside": (observed >= lowest - rounding) & (observed <= highest + rounding),
        }
    )


def pair_decisions(counts: Counts, *, classes: Sequence[str], threshold: float = 0.5) -> pd.DataFrame:
    """Pixels called both classes of a pair at p > threshold (k/300) against what chance would give.

    Returns one row a pair: first, second, called (pixels with both), expected (first's times second's called pixels
    over all pixels: as if the two calls were independent over the image), lift (their quotient), and the same of the
    truth: true, true_expected, true_lift.
    """
    cell = first_cell_above(threshold)
    pairs = list(combinations(range(len(classes)), 2))
    score = counts.score.sum(axis=(0, 2))  # (C, Y, CELLS)
    both_called = counts.pairs[:, :, cell:].sum(axis=(1, 2)).astype(np.float64)
    both_true = counts.pairs[:, 1].sum(axis=1).astype(np.float64)
    pixels = max(int(counts.pixels.sum()), 1)

    def expected(own: Int64Array) -> Float64Array:
        return np.array([float(own[a]) * float(own[b]) / pixels for a, b in pairs], np.float64)

    by_call, by_truth = expected(score[:, :, cell:].sum(axis=(1, 2))), expected(score[:, 1].sum(axis=1))
    return pd.DataFrame(
        {
            "first": [classes[a] for a, _ in pairs],
            "second": [classes[b] for _, b in pairs],
            "called": both_called.astype(np.int64),
            "expected": by_call,
            "lift": ratio(both_called, by_call),
            "true": both_true.astype(np.int64),
            "true_expected": by_truth,
            "true_lift": ratio(both_true, by_truth),
        }
    )


def label_set_confusion(counts: Counts, *, classes: Sequence[str], most: int = MOST_SETS) -> pd.DataFrame:
    """Pixels by true set of labels and set called at p > 0.5.

    The `most` commonest sets, by true and called pixels together, keep their name ("a+b", or "none"); the others are
    pooled as REST. Returns one row a pair that occurs, commonest sets first: truth, called, pixels, truth_pixels, share
    (of the true set's pixels), right (whether the two sets, before pooling, are the same in all of its pixels).
    """
    keys, pixels = counts.sets, counts.set_pixels
    every, place = np.unique(keys.reshape(-1), return_inverse=True)
    place = place.reshape(keys.shape)
    weight = np.bincount(place.reshape(-1), weights=np.repeat(pixels, 2), minlength=len(every))
    order = np.lexsort((every, -weight))  # commonest first, then by mask
    kept = order[:most]
    rank = np.full(len(every), len(kept), np.int64)
    rank[kept] = np.arange(len(kept))
    frame = pd.DataFrame(
        {"t": rank[place[:, 0]], "c": rank[place[:, 1]], "pixels": pixels, "right": keys[:, 0] == keys[:, 1]}
    )
    missing = int(counts.pixels.sum() - pixels.sum())  # of sets beyond those that counting keeps
    if missing:
        frame.loc[len(frame)] = [len(kept), len(kept), missing, False]
    grouped = frame.groupby(["t", "c"], as_index=False).agg(pixels=("pixels", "sum"), right=("right", "all"))
    names = [*_set_names(every[kept], classes), REST]
    truth_pixels = grouped.groupby("t")["pixels"].transform("sum")
    return pd.DataFrame(
        {
            "truth": [names[k] for k in grouped["t"]],
            "called": [names[k] for k in grouped["c"]],
            "pixels": grouped["pixels"].astype(np.int64),
            "truth_pixels": truth_pixels.astype(np.int64),
            "share": grouped["pixels"] / truth_pixels,
            "right": grouped["right"],
        }
    )


def exact_match(counts: Counts) -> float:
    """Share of pixels whose whole set of labels is right at p > 0.5 (subset accuracy); NaN without pixels.

    Of the pixels whose pair of sets was kept, which is all but in noise over many classes (statistics.sets.MOST_SETS).
    """
    whole = int(counts.set_pixels.sum())
    right = int(counts.set_pixels[counts.sets[:, 0] == counts.sets[:, 1]].sum())
    return right / whole if whole else float("nan")


def _set_names(masks: UInt64Array, classes: Sequence[str]) -> list[str]:
    return ["+".join(name for bit, name in enumerate(classes) if int(mask) >> bit & 1) or NO_LABELS for mask in masks]
