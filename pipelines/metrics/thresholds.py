"""Score histograms to what thresholds make of them: Dice, IoU and cost at each, the best, ranking, risk and coverage.

hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p. A cut k in
0 … CELLS calls the class present in the cells from k on, so at p above the edge k - 1: cut 0 calls it everywhere, cut
CELLS nowhere.
"""

from math import isfinite, log
from typing import Final, NamedTuple

import numpy as np

from pipelines.arrays import Float64Array, Int64Array
from pipelines.counting.grid import EDGES, HALF_CELL, STEPS, first_cell_above
from pipelines.errors import ConfigError, ShapeError
from pipelines.metrics.base import PIXEL_REGIONS, SCORES, TOP, Metric, Setting, derived, ratio
from pipelines.metrics.kernels import check_histogram, each_histogram, ranking, risk_coverage_area

CUT_LOG_ODDS: Final[Float64Array] = np.concatenate([[-np.inf], EDGES, [np.inf]])  # (CELLS + 1,)
_FIRST: Final = first_cell_above(1 / STEPS)


def _cut_p() -> Float64Array:
    p = np.concatenate([[0.0], 1 / (1 + np.exp(-EDGES)), [1.0]])
    p[_FIRST : _FIRST + STEPS - 1] = np.arange(1, STEPS) / STEPS  # as they were meant, free of rounding
    return p


CUT_P: Final[Float64Array] = _cut_p()  # (CELLS + 1,)


class Outcomes(NamedTuple):
    """Pixels by decision and truth at every cut, each (..., CELLS + 1) float64."""

    tp: Float64Array
    fp: Float64Array
    fn: Float64Array
    tn: Float64Array


def outcomes_by_cut(hist: Float64Array) -> Outcomes:
    """Cumulative sums over the cells from the top. Raises ShapeError unless hist is (..., 4, CELLS)."""
    check_histogram(hist)
    counts = np.zeros((*hist.shape[:-2], 2, len(CUT_P)))
    counts[..., :-1] = np.cumsum(hist[..., :2, ::-1], axis=-1, dtype=np.float64)[..., ::-1]
    fp, tp = counts[..., 0, :], counts[..., 1, :]
    return Outcomes(tp, fp, tp[..., :1] - tp, fp[..., :1] - fp)


def dice_curve(hist: Float64Array) -> Float64Array:
    """2TP / (2TP + FP + FN) at every cut, (..., CELLS + 1); NaN where the class is neither there nor called."""
    tp, fp, fn, _ = outcomes_by_cut(hist)
    return ratio(2 * tp, 2 * tp + fp + fn)


def iou_curve(hist: Float64Array) -> Float64Array:
    """TP / (TP + FP + FN) at every cut, (..., CELLS + 1); NaN where the class is neither there nor called."""
    tp, fp, fn, _ = outcomes_by_cut(hist)
    return ratio(tp, tp + fp + fn)


def best_threshold(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The threshold k/300, 0 < k < 300, of the greatest pooled Dice, and that Dice, each (...).

    Of equal ones the lowest threshold is taken; for counts below 2^53 equal Dice compare equal, so the choice does not
    depend on rounding. NaN for both where the class is not in the truth: every threshold that calls nothing is then as
    good. Tune on one split and report on another.
    """
    threshold, best = greatest(dice_curve(hist))
    there = np.asarray(hist)[..., 1, :].sum(axis=-1) > 0
    return np.where(there, threshold, np.nan), np.where(there, best, np.nan)


def greatest(curve: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The lowest threshold k/300, 0 < k < 300, at which a score is greatest, and that score, each (...).

    curve: (..., CELLS + 1), the score at every cut. NaN for both where it is not defined at any of these thresholds.
    """
    steps = curve[..., _FIRST : _FIRST + STEPS - 1]
    step = np.argmax(np.where(np.isnan(steps), -np.inf, steps), axis=-1)
    best = np.take_along_axis(steps, step[..., None], axis=-1)[..., 0]
    return np.where(np.isnan(best), np.nan, (step + 1) / STEPS), best


def near_greatest(curve: Float64Array, *, within: float) -> tuple[Float64Array, Float64Array]:
    """Lowest and highest threshold k/300 of the run around the greatest score that stays within that much of it.

    curve: (..., CELLS + 1); within: >= 0, in the score's own unit. A wide run says that the exact threshold hardly
    matters. NaN where `greatest` is.
    """
    steps = curve[..., _FIRST : _FIRST + STEPS - 1]
    threshold, best = greatest(curve)
    at = np.where(np.isnan(threshold), 1, np.rint(np.nan_to_num(threshold) * STEPS))[..., None] - 1
    with np.errstate(invalid="ignore"):
        far = ~(steps >= best[..., None] - within)
    place = np.arange(STEPS - 1)
    low = np.where(far & (place < at), place, -1).max(axis=-1) + 1
    high = np.where(far & (place > at), place, STEPS - 1).min(axis=-1) - 1
    known = ~np.isnan(threshold)
    return np.where(known, (low + 1) / STEPS, np.nan), np.where(known, (high + 1) / STEPS, np.nan)


def _check_costs(cost_fp: float, cost_fn: float) -> None:
    if not (cost_fp > 0 and cost_fn > 0 and isfinite(cost_fp) and isfinite(cost_fn)):
        raise ConfigError(f"costs must be finite and above 0, got {cost_fp} and {cost_fn}; only their ratio matters")


def bayes_threshold(*, cost_fp: float, cost_fn: float) -> float:
    """The p above which calling is cheaper for a calibrated score, cost_fp / (cost_fp + cost_fn) (Elkan 2001, eq. 2).

    Snapped to the nearest edge of a cell, by log-odds: within 1/600 of p between 1/300 and 299/300 and within a factor
    exp(1/4) of the odds outside; odds beyond exp(±16) become exp(±16). Of two edges equally near, the lower one.
    Raises ConfigError unless both costs are finite and above 0.
    """
    _check_costs(cost_fp, cost_fn)
    nearest = int(np.argmin(np.abs(EDGES - (log(cost_fp) - log(cost_fn)))))
    return float(CUT_P[nearest + 1])


def cut_at(threshold: float) -> int:
    """The cut whose p the threshold is. Raises ShapeError unless it is an edge of a cell, to 10⁻⁶ of its log-odds."""
    if 0 < threshold < 1:
        log_odds = log(threshold) - np.log1p(-threshold)
        nearest = int(np.argmin(np.abs(EDGES - log_odds)))
        if abs(EDGES[nearest] - log_odds) <= 1e-6:
            return nearest + 1
    raise ShapeError(f"a threshold must be k/{STEPS} or another edge of a cell, got {threshold}; see CUT_P")


def expected_cost(hist: Float64Array, *, cost_fp: float, cost_fn: float, threshold: float) -> Float64Array:
    """(cost_fp FP + cost_fn FN) / pixels when the class is called at p > threshold, (...), in units of the costs.

    threshold: k/300 or another edge of a cell, such as `bayes_threshold` gives. NaN without pixels.
    Raises ShapeError for another threshold.
    """
    cut = cut_at(threshold)
    fp = hist[..., 0, cut:].sum(axis=-1, dtype=np.float64)
    fn = hist[..., 1, :cut].sum(axis=-1, dtype=np.float64)
    return ratio(cost_fp * fp + cost_fn * fn, hist[..., :2, :].sum(axis=(-1, -2), dtype=np.float64))


def cost_curve(hist: Float64Array, *, cost_fp: float, cost_fn: float) -> Float64Array:
    """`expected_cost` at every cut, (..., CELLS + 1): from calling the class everywhere to calling it nowhere.

    NaN without pixels. Raises ConfigError unless both costs are finite and above 0.
    """
    _check_costs(cost_fp, cost_fn)
    tp, fp, fn, tn = outcomes_by_cut(hist)
    return ratio(cost_fp * fp + cost_fn * fn, tp + fp + fn + tn)


def cheapest_cut(costs: Float64Array, *, near: int) -> Int64Array:
    """The cut of the lowest cost, (...) from (..., CELLS + 1); of equal ones the nearest to a cut, then the lower one.

    near: the cut of the Bayes threshold, which also stands where no cost is defined. Choose on one split and report on
    another.
    """
    lowest = np.min(np.where(np.isnan(costs), np.inf, costs), axis=-1, keepdims=True)
    distance = np.abs(np.arange(costs.shape[-1]) - near)
    with np.errstate(invalid="ignore"):
        possible = (costs <= lowest) | np.isinf(lowest)
    return np.argmin(np.where(possible, distance, costs.shape[-1] + 1), axis=-1).astype(np.int64)


def _cost_at_bayes(hist: Float64Array, setting: Setting) -> Float64Array:
    costs = {"cost_fp": setting.cost_fp, "cost_fn": setting.cost_fn}
    return expected_cost(hist, threshold=bayes_threshold(**costs), **costs)


# Ranking --------------------------------------------------------------------------------------------------------------
#
# How well scores rank pixels with a class above those without. Scores in one cell are tied, so all numbers are exact
# for scores rounded to their cell.


def auroc(hist: Float64Array) -> Float64Array:
    """Probability that a pixel with the class has the higher p than one without, a tie counting one half, (...).

    The area under the ROC curve with straight lines between cells (Hanley & McNeil 1982). Raw scores can differ from it
    by at most half the share of pairs that fall into one cell. NaN unless there are pixels of both kinds.
    """
    return each_histogram(ranking, hist, 2)[..., 0]


def average_precision(hist: Float64Array) -> Float64Array:
    """Sum over cells from the top of (R_k - R_(k-1)) P_k, precision weighted by the recall gained, (...).

    scikit-learn's definition, without interpolation: straight lines between points of a precision-recall curve cannot
    be reached by any threshold and are too favourable (Davis & Goadrich 2006). Raw scores, which tell pixels of one
    cell apart, give more: by some 10⁻³, for a rare class 0.004. NaN where the class is not in the truth.
    """
    return each_histogram(ranking, hist, 2)[..., 1]


def roc_curve(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """False and true positive rate at every cut of `outcomes_by_cut`, each (..., CELLS + 1), from (1, 1) to (0, 0).

    NaN where there is no pixel to divide by.
    """
    tp, fp, fn, tn = outcomes_by_cut(hist)
    return ratio(fp, fp + tn), ratio(tp, tp + fn)


def pr_curve(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Precision and recall at every cut of `outcomes_by_cut`, each (..., CELLS + 1), recall falling from 1 to 0.

    Precision is NaN at cuts that call nothing (scikit-learn writes 1 there), recall where the class is not in the
    truth.
    """
    tp, fp, fn, _ = outcomes_by_cut(hist)
    return ratio(tp, tp + fp), ratio(tp, tp + fn)


_RANKING = derived(SCORES, "ranking", lambda hist: each_histogram(ranking, hist, 2))


# Risk against coverage ------------------------------------------------------------------------------------------------
#
# What is gained by leaving the least confident pixels to somebody else. One class against the rest: confidence is
# max(p, 1 - p) and the decision p > 0.5. Top label (hist: wrong pixels, right pixels, sums of p over each, by cell of
# the largest p): the largest p is the confidence.
#
# Pixels of equal confidence are one block, within which errors are spread evenly. For one class a block is a cell and
# its mirror image about 0.5, which span the same confidences. Cells are right-closed, so a p on an edge above 0.5 is in
# the block below that edge, and a p on an edge under 0.5 in the block of the higher confidences. p = 0.5 itself is
# called absent and is in the last block.


def aurc(hist: Float64Array) -> Float64Array:
    """Mean over coverages of the error rate among the most confident pixels, one class against the rest, (...).

    ∫ risk(c) dc over coverage c in [0, 1] (El-Yaniv & Wiener 2010; Geifman, Uziel & El-Yaniv 2019). In a block of n
    pixels with e errors after M with E the integral is e + (E - e M / n) ln(1 + n / M). The usual mean over the
    prefixes of a sorted list differs by O(log N / N) and depends on how ties are sorted; this depends on shares only.
    NaN without pixels.
    """
    return each_histogram(risk_coverage_area, hist, 1, True)[..., 0]


def top_label_aurc(hist: Float64Array) -> Float64Array:
    """The same for the top label: confidence is the largest p, an error a wrong argmax, (...); NaN without pixels."""
    return each_histogram(risk_coverage_area, hist, 1, False)[..., 0]


def risk_coverage(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Coverage and risk, each (..., CELLS / 2), after each block from the most confident; one class against the rest.

    Risk is the error rate of the pixels covered, NaN while there are none; coverage is NaN without pixels.
    """
    check_histogram(hist)
    high, low = hist[..., :2, HALF_CELL:][..., ::-1], hist[..., :2, :HALF_CELL]
    return _curve((high + low).sum(axis=-2), high[..., 0, :] + low[..., 1, :])


def top_label_risk_coverage(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Coverage and risk, each (..., CELLS), of the top label after each cell from the most confident."""
    check_histogram(hist)
    down = hist[..., :2, ::-1]
    return _curve(down.sum(axis=-2), down[..., 0, :])


def risk_at(coverage: Float64Array, risk: Float64Array, at: Float64Array) -> Float64Array:
    """Risk at any coverages, (..., A), from the points (..., K) of one of the curves above; at: (A,) in (0, 1].

    Errors are spread evenly in a block, so their number is a straight line between points and the risk is that number
    over the coverage: exact, and areas under means of such curves are means of areas. NaN without pixels.
    """
    flat, errors = coverage.reshape(-1, coverage.shape[-1]), np.nan_to_num(coverage * risk).reshape(-1, risk.shape[-1])
    rows = [
        np.interp(at, np.append(0.0, x), np.append(0.0, y)) / at if not np.isnan(x).any() else np.full(len(at), np.nan)
        for x, y in zip(flat, errors, strict=True)
    ]
    return np.array(rows, np.float64).reshape(*coverage.shape[:-1], len(at))


def _curve(pixels: Float64Array, wrong: Float64Array) -> tuple[Float64Array, Float64Array]:
    taken = np.cumsum(pixels, axis=-1, dtype=np.float64)
    return ratio(taken, taken[..., -1:]), ratio(np.cumsum(wrong, axis=-1, dtype=np.float64), taken)


METRICS = (
    Metric(
        name="auroc",
        title="AUROC",
        better="higher",
        description="Chance that a pixel with the class has a higher p than one without; blind to calibration.",
        source=_RANKING,
        value=lambda areas, _: areas[..., 0],
        regions=PIXEL_REGIONS,  # a foreground chosen by p > 0.5 leaves no ranking to judge
    ),
    Metric(
        name="average_precision",
        title="Average precision",
        better="higher",
        description="Precision averaged over recall, from the highest p down; falls with the share of the class.",
        source=_RANKING,
        value=lambda areas, _: areas[..., 1],
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="expected_cost",
        title="Expected cost",
        better="lower",
        description="Mean cost of a pixel's false alarm or miss, called where a calibrated p says that calling pays.",
        source=SCORES,
        value=_cost_at_bayes,
        regions=PIXEL_REGIONS,
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="aurc",
        title="Area under risk-coverage",
        better="lower",
        description="Error rate at p > 0.5 among the most confident pixels, averaged over how many are kept.",
        source=SCORES,
        value=lambda hist, _: aurc(hist),
    ),
    Metric(
        name="top_label_aurc",
        title="Top-label area under risk-coverage",
        better="lower",
        description="Error rate of the argmax among pixels with the largest p, averaged over how many are kept.",
        source=TOP,
        value=lambda hist, _: top_label_aurc(hist),
        kinds=("exclusive",),
    ),
)
