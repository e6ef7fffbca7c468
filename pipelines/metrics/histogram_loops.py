"""Score histograms to the numbers of their metrics: loops over many histograms at once, compiled by numba.

hist: (rows, 4, CELLS) float64, all entries >= 0: pixels without the class, pixels with it, and the sums of p over each,
by cell of p (statistics.grid). For the top label read "wrong" and "right" for "without" and "with". Counts may be
weighted sums. out: (rows, K) float64, overwritten; NaN where a number is not defined. Each row is worked on alone and
in one order, so that results depend neither on the threads nor on the other rows.
"""

from collections.abc import Callable
from math import log1p, nan, sqrt
from typing import Any

import numba
import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting.grid import CELLS
from pipelines.errors import ShapeError

_ROWS = 256  # histograms a call: 2.8 MB, what a core's cache holds
# With numpy's division, since one that may raise is never vectorised.
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def check_histogram(hist: Float64Array) -> None:
    """Raise ShapeError when the last two axes of a score histogram are not (4, CELLS)."""
    if hist.ndim < 2 or hist.shape[-2:] != (4, CELLS):
        raise ShapeError(f"a score histogram must be (..., 4, {CELLS}), got {hist.shape}; see metrics.sources.SCORES")


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


@_jit
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
