"""Counts and thresholds of single classes to what was called, image by image, and to paired differences of two heads.

A cut k calls a class in the cells from k on (metrics.thresholds). Outcomes are true and false positives, false and true
negatives on the last axis, as in metrics.base.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from pipelines.arrays import Float64Array, Int32Array, Int64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import CELLS, HALF_CELL, P_UNIT, STEPS, first_cell_above
from pipelines.errors import ShapeError
from pipelines.metrics import inference
from pipelines.metrics.base import ratio
from pipelines.metrics.segmentation import dice, iou, precision, recall
from pipelines.metrics.thresholds import CUT_P, dice_curve, greatest, near_greatest

Statistic: TypeAlias = Callable[[Float64Array], Float64Array]
SCORE_NAMES: Final = ("dice", "iou", "precision", "recall")
_ALONE: Final = 2**18  # multiplications from which on OpenBLAS shares a matrix product among threads
NEAR: Final = 0.005  # a Dice this close to the greatest is as good: half the verdict's margin


class Bounds(NamedTuple):
    """What a share must lie between; equal ends where it is known."""

    low: float
    high: float


class Paired(NamedTuple):
    """A statistic of two heads, and first minus second with its 95% interval, each (K,); NaN with a single unit."""

    first: Float64Array
    second: Float64Array
    difference: Float64Array
    low: Float64Array
    high: Float64Array

    @property
    def values(self) -> tuple[Float64Array, ...]:
        """That of each head."""
        return self.first, self.second


class Alone(NamedTuple):
    """A statistic of the only head there is, with its 95% interval, each (K,); no interval with a single unit."""

    first: Float64Array
    low: Float64Array
    high: Float64Array

    @property
    def values(self) -> tuple[Float64Array, ...]:
        """That of each head."""
        return (self.first,)


def score_sums(counts: Counts) -> Float64Array:
    """(C, 4, CELLS) score histograms over all images and pixels (metrics.base.SCORES)."""
    pixels = counts.score.sum(axis=(0, 2)).astype(np.float64)
    return np.concatenate([pixels, counts.score_p.sum(axis=(0, 2)) * np.float64(P_UNIT)], axis=1)


def top_sums(counts: Counts) -> Float64Array:
    """(4, CELLS) wrong and right argmax by cell of the largest p, and sums of p over them (metrics.base.TOP).

    Raises ShapeError unless truth is exclusive.
    """
    if not counts.exclusive:
        raise ShapeError("a top label needs exactly one true class a pixel")
    sums = [counts.top.sum(axis=(0, 1, 2)), counts.top_p.sum(axis=(0, 1, 2)) * np.float64(P_UNIT)]
    return np.concatenate(sums).astype(np.float64)


def called_by_cut(counts: Counts) -> Int32Array:
    """(N, C, 2, CELLS + 1) pixels of each image, without and with the class, that are called at every cut."""
    score = counts.score.sum(axis=2)
    called = np.zeros((*score.shape[:-1], CELLS + 1), np.int32)
    called[..., :-1] = score[..., ::-1].cumsum(axis=-1)[..., ::-1]
    return called


def called_at(called: Int32Array, cuts: Int64Array) -> Float64Array:
    """Pixels called, each class at its own cut: (..., C, 2, CELLS + 1) and (C,) to (..., C, 2)."""
    shape = (1,) * (called.ndim - 3) + (len(cuts), 1, 1)
    return np.take_along_axis(called, cuts.reshape(shape), axis=-1)[..., 0].astype(np.float64)


def outcomes_of(picked: Float64Array, whole: Float64Array) -> Float64Array:
    """Outcomes of pixels called and of all pixels, both without and with the class: (..., C, 2) to (..., C, 4)."""
    fp, tp = picked[..., 0], picked[..., 1]
    return np.stack([tp, fp, whole[..., 1] - tp, whole[..., 0] - fp], axis=-1)


def score_terms(outcomes: Float64Array, classes: Sequence[int]) -> Float64Array:
    """The outcomes of some classes, whose SCORE_NAMES `mean_scores` takes: (..., C, 4) to (..., len(classes), 4)."""
    return outcomes[..., list(classes), :]


def mean_scores(sums: Float64Array) -> Float64Array:
    """SCORE_NAMES of single classes averaged over them, (..., C, 4) to (..., 4).

    Classes that the sums have no true pixel of are left out of the mean, as in metrics.estimates; NaN where none is
    left, and for precision where none is called.
    """
    there = sums[..., 0] + sums[..., 2] > 0
    means = []
    for score in (dice, iou, precision, recall):
        values = score(sums)
        known = there & ~np.isnan(values)
        count = known.sum(axis=-1)
        total = np.where(known, values, 0.0).sum(axis=-1)
        means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.stack(means, axis=-1)


def cost_terms(outcomes: Float64Array, classes: Sequence[int], *, cost_fp: float, cost_fn: float) -> Float64Array:
    """Cost of each image's mistakes, as the mean over some classes, and its pixels: (..., C, 4) to (..., 2)."""
    chosen = outcomes[..., list(classes), :]
    whole = (cost_fp * chosen[..., 1] + cost_fn * chosen[..., 2]).mean(axis=-1)
    return np.stack([whole, chosen[..., 0, :].sum(axis=-1)], axis=-1)


def mean_cost(sums: Float64Array) -> Float64Array:
    """Cost per pixel, (..., 2) to (...); NaN without pixels."""
    return ratio(sums[..., 0], sums[..., 1])


def resampled(terms: Float64Array, weights: Float64Array) -> Float64Array:
    """Sums over the images as they are, then in each replicate: (S, N, *F) and (B, N) to (1 + B, S, *F).

    terms: numbers of each image that add up, in each of S seeds; weights: how often each image stands in each
    replicate. Sums of whole numbers below 2^53 are exact.
    """
    by_image = np.moveaxis(terms, 1, 0)  # (N, S, *F)
    return np.concatenate([by_image.sum(axis=0)[None], _totals(by_image, weights)])


def paired(
    first: Float64Array, second: Float64Array, statistic: Statistic, *, units: int, most: float = np.inf
) -> Paired:
    """A statistic of two heads and its difference, with the same images in each replicate.

    first, second: (1 + B, S, *F) of `resampled`, of both heads by the same weights; statistic: sums (..., *F) to
    (..., K); it is taken in each seed and averaged over them, seeds being a second level of chance
    (inference.over_seeds); units: how many images or groups were drawn; most: the statistic lies in 0 to most, so
    that the interval of the difference is cut at ±most. Raises ShapeError when the shapes of the heads differ.
    """
    if first.shape != second.shape:
        raise ShapeError(
            f"expected the same seeds, replicates and numbers of both heads, got {first.shape}, {second.shape}"
        )
    ours, theirs = statistic(first), statistic(second)
    gaps = ours - theirs
    center, replicates, count = inference.over_seeds(gaps[0], gaps[1:], units=units, rng=np.random.default_rng(0))
    low, high = inference.interval(center, replicates, units=count, bounds=(-most, most))
    return Paired(ours[0].mean(axis=0), theirs[0].mean(axis=0), center, low, high)


def alone(sums: Float64Array, statistic: Statistic, *, units: int, most: float = np.inf) -> Alone:
    """A statistic of one head; sums, statistic and units as in `paired`.

    most: what the statistic cannot exceed; below 0 it cannot lie, and its interval leaves neither end.
    """
    values = statistic(sums)
    center, replicates, count = inference.over_seeds(values[0], values[1:], units=units, rng=np.random.default_rng(0))
    low, high = inference.interval(center, replicates, units=count, bounds=(0.0, most))
    return Alone(values[0].mean(axis=0), low, high)


def _totals(terms: Float64Array, weights: Float64Array) -> Float64Array:
    """`inference.totals` on this thread alone: a slider calls it many times a second, beside other readers' sliders.

    BLAS starts threads for products beyond a size, and they spin on after it: the few milliseconds they save here cost
    twice the processor time. Smaller pieces are below that size.
    """
    flat = np.ascontiguousarray(terms).reshape(len(terms), -1)
    step = max(2, _ALONE // max(flat.size, 1))
    parts = [weights[start : start + step] @ flat for start in range(0, len(weights), step)]
    sums = np.concatenate(parts) if parts else np.empty((0, flat.shape[1]))
    return sums.reshape(len(weights), *terms.shape[1:])


def labels_by_cut(counts: Counts) -> Float64Array:
    """(K, CELLS + 1) shares of the pixels with at least 1, …, K <= 3 classes called when all have the same cut."""
    ranks = counts.ranks.sum(axis=(0, 1, 2))
    shares = np.zeros((len(ranks), CELLS + 1))
    shares[:, :-1] = ranks[:, ::-1].cumsum(axis=-1)[:, ::-1]
    return shares / max(int(counts.pixels.sum()), 1)


def label_bounds(shares: Float64Array, called: Float64Array, cuts: Sequence[int]) -> tuple[Bounds, Bounds]:
    """What the shares of pixels with no label and with two or more must lie between when each class has its own cut.

    shares: of `labels_by_cut`; called: (C,) share of the pixels at which each class is called at its cut; cuts: (C,).
    Raising a threshold never adds a label, so the common lowest and highest cut enclose what lies between them; so do
    the sizes of the classes (Fréchet 1935). Known exactly where all cuts are the same.
    """
    lowest, highest = min(cuts), max(cuts)
    if lowest == highest:
        none = 1 - float(shares[0, lowest])
        several = float(shares[1, lowest]) if len(shares) > 1 else 0.0
        return Bounds(none, none), Bounds(several, several)
    total, largest = float(called.sum()), float(called.max())
    return (
        Bounds(max(1 - float(shares[0, lowest]), 1 - total), min(1 - float(shares[0, highest]), 1 - largest)),
        Bounds(
            max(float(shares[1, highest]), (total - 1) / (len(called) - 1)),
            min(float(shares[1, lowest]), total - largest),
        ),
    )


def threshold_choices(
    hist: Float64Array, tuned: Sequence[float] | None, *, classes: Sequence[str], near: float = NEAR
) -> pd.DataFrame:
    """Which threshold each class should have, and what that is worth in pooled Dice.

    hist: (S, C, 4, CELLS) of each of S seeds, whose Dice at a threshold is averaged over; tuned: threshold k/300 of
    each class chosen on another split, None if there is none. Returns one row a class: class, tuned, best (of the
    greatest Dice here), best_low and best_high (of the run of thresholds within `near` of it), half_optimum (half that
    Dice: what best is if p is calibrated), off (best less half_optimum), dice_half (at 0.5), dice_tuned, dice_best. NaN
    where the class is not in the truth, and for tuned where there is none.
    """
    curve = dice_curve(hist).mean(axis=0)
    curve[hist[:, :, 1].sum(axis=(0, 2)) == 0] = np.nan
    best, greatest_dice = greatest(curve)
    low, high = near_greatest(curve, within=near)
    given = np.full(len(classes), np.nan) if tuned is None else np.asarray(tuned, np.float64)
    cuts = [
        HALF_CELL if np.isnan(threshold) else first_cell_above(round(threshold * STEPS) / STEPS) for threshold in given
    ]
    at_tuned = curve[np.arange(len(classes)), cuts]
    return pd.DataFrame(
        {
            "class": list(classes),
            "tuned": given,
            "best": best,
            "best_low": low,
            "best_high": high,
            "half_optimum": greatest_dice / 2,
            "off": best - greatest_dice / 2,
            "dice_half": curve[:, HALF_CELL],
            "dice_tuned": np.where(np.isnan(given), np.nan, at_tuned),
            "dice_best": greatest_dice,
        }
    )


def nearest_cut(p: float) -> int:
    """The cut inside (0, 1) whose threshold is nearest to a p, by log-odds."""
    inner = CUT_P[1:-1]
    clipped = min(max(p, float(inner[0])), float(inner[-1]))
    with np.errstate(divide="ignore"):
        odds = np.log(inner) - np.log1p(-inner)
    return int(np.argmin(np.abs(odds - (np.log(clipped) - np.log1p(-clipped))))) + 1
