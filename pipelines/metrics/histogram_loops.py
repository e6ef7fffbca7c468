"""Score histograms to the numbers of their metrics: loops over many histograms at once, compiled by numba.

hist: (rows, 4, CELLS) float64, all entries >= 0: pixels without the class, pixels with it, and the sums of p over each,
by cell of p (statistics.grid). For the top label read "wrong" and "right" for "without" and "with". Counts may be
weighted sums. out: (rows, K) float64, overwritten; NaN where a number is not defined. Each row is worked on alone and
in one order, so that results depend neither on the threads nor on the other rows.
"""

from collections.abc import Callable
from math import exp, log, log1p, nan, sqrt
from typing import Any

import numba
import numpy as np

from pipelines.arrays import Float64Array
from pipelines.engine import map_in_order
from pipelines.errors import ShapeError
from pipelines.statistics.grid import CELLS

_ROWS = 256  # histograms a call: 2.8 MB, what a core's cache holds
_FEW_BLOCKS = 4
_MOST_STEPS = 200  # of an iteration; ten are common, truth all but separated by p needs up to a hundred
_NEWTON_TOLERANCE = 1e-7  # last step of slope and intercept; convergence is quadratic, so they are good to 1e-13
_FIXED_POINT_TOLERANCE = 1e-6
_NO_WEIGHT = 16.0  # a mode damped by exp(-16) = 1e-7 is left out
_jit = numba.njit(nogil=True, cache=True)


def check_histogram(hist: Float64Array) -> None:
    """Raise ShapeError when the last two axes of a score histogram are not (4, CELLS)."""
    if hist.ndim < 2 or hist.shape[-2:] != (4, CELLS):
        raise ShapeError(f"a score histogram must be (..., 4, {CELLS}), got {hist.shape}; see metrics.sources.SCORES")


def each_histogram(loop: Callable[..., None], hist: Float64Array, columns: int, *args: Any) -> Float64Array:
    """Run a loop of this module over histograms (..., 4, CELLS) of any float dtype; returns (..., columns) float64.

    Blocks of the first axis are shared among threads and converted one at a time, so nothing of the size of hist is
    made. Raises ShapeError when the last two axes are not (4, CELLS).
    """
    check_histogram(hist)
    rows = hist if hist.ndim > 2 else hist[None]
    out = np.full((len(rows), int(np.prod(rows.shape[1:-2])), columns), nan)
    step = max(1, _ROWS // max(1, out.shape[1]))

    def run(start: int) -> None:
        block = np.ascontiguousarray(rows[start : start + step], np.float64).reshape(-1, 4, CELLS)
        loop(block, *args, out[start : start + step].reshape(len(block), columns))

    starts = range(0, len(rows), step)
    if len(starts) < _FEW_BLOCKS:  # starting threads would take longer
        for start in starts:
            run(start)
    else:
        for _ in map_in_order(run, starts):
            pass
    return out.reshape(*hist.shape[:-2], columns)


@_jit
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


@_jit
def binned_gaps(hist, bin_of_cell, bins, out):
    """Mean and largest |mean y - mean p| over non-empty bins, debiased root mean square gap."""
    sums = np.empty((bins, 3))
    for r in range(hist.shape[0]):
        sums[:] = 0.0
        for i in range(CELLS):
            b = bin_of_cell[i]
            sums[b, 0] += hist[r, 0, i] + hist[r, 1, i]
            sums[b, 1] += hist[r, 1, i]
            sums[b, 2] += hist[r, 2, i] + hist[r, 3, i]
        total = added = largest = squares = 0.0
        filled = 0
        for b in range(bins):
            n = sums[b, 0]
            if n <= 0:
                continue
            share = sums[b, 1] / n
            gap = abs(share - sums[b, 2] / n)
            filled += 1
            added += gap
            largest = max(largest, gap)
            total += n
            if n > 1:
                squares += n * (gap * gap - share * (1 - share) / (n - 1))
        out[r, 0] = added / filled if filled else nan
        out[r, 1] = largest if filled else nan
        out[r, 2] = sqrt(max(squares / total, 0.0)) if filled else nan


@_jit
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


@_jit
def _spread(modes, even, odd, rates, variance, node_sums):
    """Sum over nodes of the absolute smoothed residuals, from their cosine modes (2, M): even ones, odd ones."""
    node_sums[:] = 0.0
    for m in range(modes.shape[1]):
        if rates[2 * m] * variance > _NO_WEIGHT:
            break
        at_even = modes[0, m] * exp(-rates[2 * m] * variance)
        at_odd = modes[1, m] * exp(-rates[2 * m + 1] * variance)
        for j in range(even.shape[1]):
            node_sums[0, j] += at_even * even[m, j]
            node_sums[1, j] += at_odd * odd[m, j]
    total = 0.0
    for j in range(even.shape[1]):  # the two nodes of a mirrored pair are sum and difference: |a + b| + |a - b|
        total += 2 * max(abs(node_sums[0, j]), abs(node_sums[1, j]))
    return total


@_jit
def smoothed_gap(hist, step_of_cell, even, even_by_node, odd, rates, out):
    """Smooth calibration error at the bandwidth that equals it; see metrics.smooth for the tables."""
    half = even.shape[1]
    residual = np.empty(2 * half)
    modes = np.empty((2, half))
    node_sums = np.empty((2, half))
    for r in range(hist.shape[0]):
        residual[:] = 0.0
        total = 0.0
        for i in range(CELLS):
            total += hist[r, 0, i] + hist[r, 1, i]
            residual[step_of_cell[i]] += hist[r, 1, i] - hist[r, 2, i] - hist[r, 3, i]
        if total <= 0:
            out[r, 0] = nan
            continue
        high = 0.0
        for j in range(2 * half):
            residual[j] /= total
            high += abs(residual[j])
        if high <= _FIXED_POINT_TOLERANCE:  # smoothing only makes it smaller
            out[r, 0] = high
            continue
        modes[:] = 0.0
        for j in range(half):
            both = (residual[j] + residual[2 * half - 1 - j]) / half
            between = (residual[j] - residual[2 * half - 1 - j]) / half
            for m in range(half):
                modes[0, m] += both * even_by_node[j, m]
                modes[1, m] += between * odd[j, m]  # symmetric
        modes[0, 0] /= 2
        out[r, 0] = _fixed_point(modes, even, odd, rates, node_sums, high)


@_jit
def _fixed_point(modes, even, odd, rates, node_sums, high):
    """The bandwidth that equals the error at it. The error falls with the bandwidth and is `high` at 0."""
    at_high = _spread(modes, even, odd, rates, high * high, node_sums)
    low = at_high
    at_low = _spread(modes, even, odd, rates, low * low, node_sums)
    sigma = low
    for _ in range(_MOST_STEPS):
        if high - low <= _FIXED_POINT_TOLERANCE:
            break
        slope = (at_high - at_low) / (high - low)
        sigma = (at_low - slope * low) / (1 - slope)
        value = _spread(modes, even, odd, rates, sigma * sigma, node_sums)
        if abs(value - sigma) <= _FIXED_POINT_TOLERANCE:
            break
        if value > sigma:
            low, at_low = sigma, value
        else:
            high, at_high = sigma, value
    return sigma


@_jit
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
            pixels[blocks] = n
            positives[blocks] = hist[r, 1, i]
            while blocks and positives[blocks - 1] * pixels[blocks] >= positives[blocks] * pixels[blocks - 1]:
                positives[blocks - 1] += positives[blocks]  # the pool-adjacent-violators algorithm
                pixels[blocks - 1] += pixels[blocks]
                blocks -= 1
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


@_jit
def risk_coverage_area(hist, mirrored, out):
    """Area under the risk-coverage curve; see metrics.selective for the blocks."""
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


@_jit
def _score(x, pixels, there, cells, intercept, slope):
    """Gradient (2) and information (3) of the log-likelihood of logit P(y) = intercept + slope x."""
    g0 = g1 = h00 = h01 = h11 = 0.0
    for i in range(cells):
        p = 1 / (1 + exp(-(intercept + slope * x[i])))
        left = there[i] - pixels[i] * p
        weight = pixels[i] * p * (1 - p)
        g0 += left
        g1 += left * x[i]
        h00 += weight
        h01 += weight * x[i]
        h11 += weight * x[i] * x[i]
    return g0, g1, h00, h01, h11


@_jit
def _newton(x, pixels, there, cells):
    """Intercept and slope of greatest likelihood, NaN where the iteration does not end; x ascending."""
    a, b = 0.0, 1.0
    for _ in range(_MOST_STEPS):
        g0, g1, h00, h01, h11 = _score(x, pixels, there, cells, a, b)
        determinant = h00 * h11 - h01 * h01
        if not determinant > 0:
            break
        da = (h11 * g0 - h01 * g1) / determinant
        db = (h00 * g1 - h01 * g0) / determinant
        if abs(da) + abs(db) < _NEWTON_TOLERANCE:
            return a + da, b + db
        # The curvature along the step changes by a factor exp(change) at most, change the largest of a cell's log-odds
        # (Bach 2010), so that this part of the step cannot go beyond the maximum along it.
        change = max(abs(da + db * x[0]), abs(da + db * x[cells - 1]))
        scale = log1p(change) / change
        a += scale * da
        b += scale * db
    return nan, nan


@_jit
def logistic_recalibration(hist, lowest, highest, out):
    """Intercept and slope of the logistic regression of y on the log-odds of the cells' mean p.

    lowest, highest: (CELLS,) log-odds between which the one of each cell lies.
    """
    x = np.empty(CELLS)
    pixels = np.empty(CELLS)
    there = np.empty(CELLS)
    for r in range(hist.shape[0]):
        cells = 0
        first_with = first_without = CELLS
        last_with = last_without = -1
        for i in range(CELLS):
            n = hist[r, 0, i] + hist[r, 1, i]
            if n <= 0:
                continue
            p = hist[r, 2, i] + hist[r, 3, i]
            # Rounding may bring p to 0 or 1, or a mean out of its cell.
            odds = log(p / (n - p)) if 0 < p < n else (lowest[i] if p <= 0 else highest[i])
            x[cells] = min(max(odds, lowest[i]), highest[i])
            pixels[cells] = n
            there[cells] = hist[r, 1, i]
            if hist[r, 1, i] > 0:
                first_with, last_with = min(first_with, i), i
            if hist[r, 0, i] > 0:
                first_without, last_without = min(first_without, i), i
            cells += 1
        # The likelihood has a maximum only where the two overlap in both directions (Albert & Anderson 1984).
        if first_with < last_without and first_without < last_with:
            out[r, 0], out[r, 1] = _newton(x, pixels, there, cells)
        else:
            out[r, 0], out[r, 1] = nan, nan
