"""Label-set counts to the best Dice and IoU that any output with one label a pixel can reach.

A pixel that carries the set S of labels can be given to one class of S only (or to none); giving it to a class
outside S only adds a false positive. So with TP_c pixels given to class c, of N_c that carry it, and no false
positives, IoU_c = TP_c / N_c and Dice_c = 2 TP_c / (TP_c + N_c), and what is left is to choose who gets which pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.arrays import Float64Array

GAP: Final = 1e-9  # macro Dice is certified to lie within this of the optimum
_SWEEPS: Final = 10_000

SetCounts = Mapping[tuple[int, ...], int]


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
    totals = _totals(set_counts, classes)
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
    return _scores(kept, _totals(set_counts, len(order)))


def best_dice(set_counts: SetCounts, classes: int) -> Ceiling:
    """The largest macro Dice, to within `gap`.

    Macro Dice is concave in how the pixels are shared out, and separable over classes. Each label set in turn is
    shared out in the best way given the others (water-filling, in closed form) until the Frank-Wolfe duality gap,
    which bounds the distance to the optimum from above, is below GAP (Jaggi 2013, eq. 2). Shares may be fractions of a
    pixel, so the ceiling holds for whole pixels too.
    """
    totals = _totals(set_counts, classes)
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


def _totals(set_counts: SetCounts, classes: int) -> Float64Array:
    totals = np.zeros(classes)
    for members, n in set_counts.items():
        totals[list(members)] += n
    return totals
