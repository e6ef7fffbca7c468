"""Score histograms to the risk of the most confident pixels: what is gained by leaving the others to somebody else.

hist: (..., 4, CELLS) float. One class against the rest: pixels without the class, pixels with it, sums of p over each,
by cell of p; confidence is max(p, 1 - p) and the decision p > 0.5. Top label: wrong pixels, right pixels, sums of p
over each, by cell of the largest p, which is the confidence.

Pixels of equal confidence are one block, within which errors are spread evenly. For one class a block is a cell and its
mirror image about 0.5, which span the same confidences. Cells are right-closed, so a p on an edge above 0.5 is in the
block below that edge, and a p on an edge under 0.5 in the block of the higher confidences. p = 0.5 itself is called
absent and is in the last block.
"""

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting.grid import HALF_CELL
from pipelines.metrics.base import Metric, ratio
from pipelines.metrics.histogram_loops import check_histogram, each_histogram, risk_coverage_area
from pipelines.metrics.sources import SCORES, TOP


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
