"""Score histograms to the numbers of their metrics: loops over many histograms at once, compiled by numba.

hist: (rows, 4, CELLS) float64, all entries >= 0: pixels without the class, pixels with it, and the sums of p over each,
by cell of p (counting.grid). For the top label read "wrong" and "right" for "without" and "with". Counts may be
weighted sums. out: (rows, K) float64, overwritten; NaN where a number is not defined. Each row is worked on alone and
in one order, so that results depend neither on the threads nor on the other rows.
"""

from collections.abc import Callable
from math import log1p, nan, sqrt
from typing import Any

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting.grid import CELLS
from pipelines.counting.kernels import jit
from pipelines.errors import ShapeError

_ROWS = 256  # histograms a call: 2.8 MB, what a core's cache holds


def check_histogram(hist: Float64Array) -> None:
    """Raise ShapeError when the last two axes of a score histogram are not (4, CELLS)."""
    if hist.ndim < 2 or hist.shape[-2:] != (4, CELLS):
        raise ShapeError(f"a score histogram must be (..., 4, {CELLS}), got {hist.shape}; see metrics.base.SCORES")


def each_histogram(loop: Callable[..., None], hist: Float64Array, columns: int, *args: Any) -> Float64Array:
    """Run a loop over histograms (..., 4, CELLS) of any float dtype; returns (..., columns) float64.

    Blocks of the first axis are converted one at a time, so nothing of the size of hist is made. Loops let go of the
    interpreter lock: threads may share the histograms (metrics.estimates).
    Raises ShapeError when the last two axes are not (4, CELLS).
    """
    check_histogram(hist)
    rows = hist if hist.ndim > 2 else hist[None]
    out = np.full((len(rows), int(np.prod(rows.shape[1:-2])), columns), nan)
    step = max(1, _ROWS // max(1, out.shape[1]))
    for start in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[start : start + step], np.float64).reshape(-1, 4, CELLS)
        loop(block, *args, out[start : start + step].reshape(len(block), columns))
    return out.reshape(*hist.shape[:-2], columns)


@jit
def ranking(hist, out):
    """Area under the ROC curve, average precision."""
    for r in range(hist.shape[0]):
        tp = fp = area = precision = 0.0
        for i in range(CELLS - 1, -1, -1):
            without, there = hist[r, 0, i], hist[r, 1, i]
            area += without * (tp + 0.5 * there)
            tp += there
            fp += without
            if there > 0:
                precision += there * tp / (tp + fp)
        out[r, 0] = area / (tp * fp) if tp > 0 and fp > 0 else nan
        out[r, 1] = precision / tp if tp > 0 else nan


@jit
def bin_sums(hist, edges, out):
    """Pixels, pixels with the class and sum of p of each bin, one bin after another; edges as in binned_gaps."""
    for r in range(hist.shape[0]):
        for b in range(edges.size - 1):
            n = there = p = 0.0
            for i in range(edges[b], edges[b + 1]):
                n += hist[r, 0, i] + hist[r, 1, i]
                there += hist[r, 1, i]
                p += hist[r, 2, i] + hist[r, 3, i]
            out[r, 3 * b] = n
            out[r, 3 * b + 1] = there
            out[r, 3 * b + 2] = p


@jit
def binned_gaps(hist, edges, out):
    """Mean and largest |mean y - mean p| over non-empty bins, debiased root mean square gap.

    edges: (bins + 1,) first cell of each bin, and CELLS.
    """
    for r in range(hist.shape[0]):
        total = added = largest = squares = 0.0
        filled = 0
        for b in range(edges.size - 1):
            n = there = p = 0.0
            for i in range(edges[b], edges[b + 1]):
                n += hist[r, 0, i] + hist[r, 1, i]
                there += hist[r, 1, i]
                p += hist[r, 2, i] + hist[r, 3, i]
            if n <= 0:
                continue
            share = there / n
            gap = abs(share - p / n)
            filled += 1
            added += gap
            largest = max(largest, gap)
            total += n
            if n > 1:
                squares += n * (gap * gap - share * (1 - share) / (n - 1))
        out[r, 0] = added / filled if filled else nan
        out[r, 1] = largest if filled else nan
        out[r, 2] = sqrt(max(squares / total, 0.0)) if filled else nan


@jit
def equal_mass_gaps(hist, bins, out):
    """Mean |mean y - mean p| over bins of about equal mass, weighted by pixels."""
    for r in range(hist.shape[0]):
        total = 0.0
        for i in range(CELLS):
            total += hist[r, 0, i] + hist[r, 1, i]
        before = gap = gaps = 0.0
        b = 0
        for i in range(CELLS):
            n = hist[r, 0, i] + hist[r, 1, i]
            if n <= 0:
                continue
            # Compared without a division: exact for counts, so a cell on a quantile is always in the bin above it.
            if bins * (2 * before + n) >= 2 * total * (b + 1):
                gaps += abs(gap)
                gap = 0.0
                while bins * (2 * before + n) >= 2 * total * (b + 1):
                    b += 1
            gap += hist[r, 1, i] - hist[r, 2, i] - hist[r, 3, i]
            before += n
        out[r, 0] = (gaps + abs(gap)) / total if total > 0 else nan


@jit
def isotonic(hist, out):
    """Miscalibration, discrimination, uncertainty: the CORP decomposition of the Brier score of the cells."""
    pixels = np.empty(CELLS)
    positives = np.empty(CELLS)
    for r in range(hist.shape[0]):
        score = total = there = 0.0
        blocks = 0
        for i in range(CELLS):
            n = hist[r, 0, i] + hist[r, 1, i]
            if n <= 0:
                continue
            p = (hist[r, 2, i] + hist[r, 3, i]) / n
            score += hist[r, 1, i] * (1 - p) ** 2 + hist[r, 0, i] * p * p
            total += n
            there += hist[r, 1, i]
            y = hist[r, 1, i]
            while blocks and positives[blocks - 1] * n >= y * pixels[blocks - 1]:
                blocks -= 1  # the pool-adjacent-violators algorithm
                y += positives[blocks]
                n += pixels[blocks]
            pixels[blocks] = n
            positives[blocks] = y
            blocks += 1
        if total <= 0:
            out[r] = nan
            continue
        recalibrated = 0.0
        for b in range(blocks):
            recalibrated += positives[b] * (1 - positives[b] / pixels[b])
        uncertainty = there / total * (1 - there / total)
        out[r, 0] = max(score / total - recalibrated / total, 0.0)  # negative only by rounding
        out[r, 1] = max(uncertainty - recalibrated / total, 0.0)
        out[r, 2] = uncertainty


@jit
def risk_coverage_area(hist, mirrored, out):
    """Area under the risk-coverage curve; see metrics.thresholds for the blocks."""
    for r in range(hist.shape[0]):
        taken = errors = area = 0.0
        for k in range(CELLS // 2 if mirrored else CELLS):
            top = CELLS - 1 - k
            n = hist[r, 0, top] + hist[r, 1, top]
            wrong = hist[r, 0, top]
            if mirrored:
                n += hist[r, 0, k] + hist[r, 1, k]
                wrong += hist[r, 1, k]
            if n <= 0:
                continue
            area += wrong
            if taken > 0:
                area += (errors - wrong / n * taken) * log1p(n / taken)
            taken += n
            errors += wrong
        out[r, 0] = area / taken if taken > 0 else nan


# Recalibration --------------------------------------------------------------------------------------------------------
#
# Its time goes into exponentials, so these are computed for several cells at once, which the library's are not.

_MOST_STEPS = 200  # of an iteration; ten are common, truth all but separated by p needs up to a hundred
_NEWTON_TOLERANCE = 1e-6  # last step of slope and intercept; convergence is quadratic, so they are good to 1e-11
_START_TOLERANCE = 1e-2  # of the start, which a step of the full iteration squares
_POOLED = 6  # cells that stand together in the start: 57 groups
_ROOT_2 = sqrt(2.0)
_LOG_2 = 0.6931471805599453
_LOG_2_HIGH = 0.693147180369123816490  # a multiple of which up to 2^20 is exact in float64; _LOW is what it lacks
_LOG_2_LOW = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 2^52: a number added to this is rounded to a whole one, found in the lowest bits
_MOST = 708.0  # exp(708) is finite, exp(-708) no denormal


@jit
def _exp(x, out, scratch):
    """exp of x, cut to within 708 of 0, to float64's precision; scratch: as large as x.

    x = n log 2 + r with |r| <= log 2 / 2, and exp r from its series; 2^n is written as the bits of a float64.
    """
    words = scratch.view(np.int64)
    for i in range(x.size):
        value = x[i]
        value = _MOST if value > _MOST else value
        value = -_MOST if value < -_MOST else value
        whole = value * (1 / _LOG_2) + _ROUND
        scratch[i] = whole
        n = whole - _ROUND
        r = (value - n * _LOG_2_HIGH) - n * _LOG_2_LOW
        series = 1 / 39916800 + r * (1 / 479001600)
        series = 1 / 362880 + r * (1 / 3628800 + r * series)
        series = 1 / 5040 + r * (1 / 40320 + r * series)
        series = 1 / 120 + r * (1 / 720 + r * series)
        series = 1 / 6 + r * (1 / 24 + r * series)
        out[i] = 1.0 + r * (1.0 + r * (0.5 + r * series))
    for i in range(x.size):
        words[i] = (words[i] + 1023) << 52
    for i in range(x.size):
        out[i] *= scratch[i]


@jit
def _log(x, out, scratch):
    """Natural logarithms of positive normal float64, to a few units in the last place; scratch: as large as x.

    x = 2^e m with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh(s) with s = (m - 1) / (m + 1), from its series.
    """
    words, fractions = x.view(np.int64), scratch.view(np.int64)
    for i in range(x.size):
        out[i] = np.float64((words[i] >> 52) - 1023)
        fractions[i] = (words[i] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000
    for i in range(x.size):
        large = scratch[i] >= _ROOT_2
        m = 0.5 * scratch[i] if large else scratch[i]
        exponent = out[i] + 1.0 if large else out[i]
        s = (m - 1.0) / (m + 1.0)
        t = s * s
        series = 1 / 15 + t * (1 / 17 + t * (1 / 19 + t * (1 / 21)))
        series = 1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13 + t * series)))
        out[i] = exponent * _LOG_2 + 2.0 * (s + s * t * (1 / 3 + t * (1 / 5 + t * series)))


@jit
def _score(x, pixels, there, intercept, slope, work):
    """Gradient (2) and information (3) of the log-likelihood of logit P(y) = intercept + slope x; work: (3, cells)."""
    exponent, odds, scratch = work[0], work[1], work[2]
    for i in range(x.size):
        exponent[i] = -(intercept + slope * x[i])
    _exp(exponent, odds, scratch)
    left, weight = exponent, scratch
    for i in range(x.size):
        p = 1.0 / (1.0 + odds[i])
        expected = pixels[i] * p
        left[i] = there[i] - expected
        weight[i] = expected * (1.0 - p)
    g0 = g1 = h00 = h01 = h11 = 0.0
    for i in range(x.size):
        g0 += left[i]
        g1 += left[i] * x[i]
        h00 += weight[i]
        h01 += weight[i] * x[i]
        h11 += weight[i] * x[i] * x[i]
    return g0, g1, h00, h01, h11


@jit
def _newton(x, pixels, there, first, last, a, b, tolerance, work):
    """Intercept and slope of greatest likelihood, NaN where the iteration does not end; x ascending.

    first, last: the outermost cells with pixels; a, b: where to begin.
    """
    for _ in range(_MOST_STEPS):
        g0, g1, h00, h01, h11 = _score(x, pixels, there, a, b, work)
        determinant = h00 * h11 - h01 * h01
        if not determinant > 0:
            break
        da = (h11 * g0 - h01 * g1) / determinant
        db = (h00 * g1 - h01 * g0) / determinant
        if abs(da) + abs(db) < tolerance:
            return a + da, b + db
        # The curvature along the step changes by a factor exp(change) at most, change the largest of a cell's log-odds
        # (Bach 2010): this part of a long step cannot go beyond the maximum along it, nor a whole short one do harm.
        change = max(abs(da + db * x[first]), abs(da + db * x[last]))
        scale = np.log1p(change) / change if change > 1.0 else 1.0
        a += scale * da
        b += scale * db
    return nan, nan


@jit
def _start(x, pixels, there, few):
    """The line of cells pooled by neighbours: near that of all, for a sixth of the work a step. (0, 1) without one.

    few: (6, groups) to work in.
    """
    groups = few.shape[1]
    few[:] = 0.0
    for i in range(x.size):
        g = i // _POOLED
        few[0, g] += pixels[i] * x[i]
        few[1, g] += pixels[i]
        few[2, g] += there[i]
    first, last = groups, 0
    for g in range(groups):
        if few[1, g] > 0:
            few[0, g] /= few[1, g]
            first, last = min(first, g), g
    a, b = _newton(few[0], few[1], few[2], first, last, 0.0, 1.0, _START_TOLERANCE, few[3:])
    return (a, b) if a == a else (0.0, 1.0)


@jit
def _mean_log_odds(hist, lowest, highest, x, pixels, work):
    """Pixels of each cell of one histogram, and the log-odds of their mean p, within those of the cell."""
    quotient = work[0]
    for i in range(CELLS):
        n, p = hist[0, i] + hist[1, i], hist[2, i] + hist[3, i]
        pixels[i] = n
        inside = (p > 0.0) & (p < n)
        quotient[i] = p / (n - p) if inside else 1.0
    _log(quotient, x, work[1])
    for i in range(CELLS):
        # Rounding may bring p to 0 or 1, or a mean out of its cell.
        n, p = pixels[i], hist[2, i] + hist[3, i]
        odds = lowest[i] if p <= 0.0 else (x[i] if p < n else highest[i])
        odds = lowest[i] if odds < lowest[i] else odds
        x[i] = highest[i] if odds > highest[i] else odds


@jit
def _ends(pixels):
    """First and last cell with pixels; CELLS and -1 where there are none."""
    first, last = 0, CELLS - 1
    while first < CELLS and pixels[first] <= 0:
        first += 1
    while last >= 0 and pixels[last] <= 0:
        last -= 1
    return first, last


@jit
def logistic_recalibration(hist, lowest, highest, out):
    """Intercept and slope of the logistic regression of y on the log-odds of the cells' mean p.

    lowest, highest: (CELLS,) log-odds between which the one of each cell lies.
    """
    x, pixels, work = np.empty(CELLS), np.empty(CELLS), np.empty((3, CELLS))
    few = np.empty((6, (CELLS + _POOLED - 1) // _POOLED))
    for r in range(hist.shape[0]):
        first_without, last_without = _ends(hist[r, 0])
        first_with, last_with = _ends(hist[r, 1])
        # The likelihood has a maximum only where the two overlap in both directions (Albert & Anderson 1984).
        if not (first_with < last_without and first_without < last_with):
            out[r, 0], out[r, 1] = nan, nan
            continue
        _mean_log_odds(hist[r], lowest, highest, x, pixels, work)
        there = hist[r, 1]
        a, b = _start(x, pixels, there, few)
        first, last = min(first_with, first_without), max(last_with, last_without)
        out[r, 0], out[r, 1] = _newton(x, pixels, there, first, last, a, b, _NEWTON_TOLERANCE, work)
