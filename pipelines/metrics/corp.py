"""Score histograms to the parts of the Brier score: miscalibration - discrimination + uncertainty.

The decomposition of Dimitriadis, Gneiting & Jordan (2021): p is recalibrated by isotonic regression of y on p (the
pool-adjacent-violators algorithm), so that no bins are chosen and no part is negative. hist: (..., 4, CELLS) float:
pixels without the class, pixels with it, sums of p over each, by cell of p.

The score decomposed is the Brier score of p rounded to the mean of its cell. It differs from that of p itself by
Var(p) - 2 Cov(p, y) within cells: the first is at most (1/300)² / 4 = 3 · 10⁻⁶, the second twice that where y follows p
as it should, and noise in y adds about 10⁻³ / √pixels. With those terms put in, the parts could be negative.
"""

from pipelines.arrays import Float64Array
from pipelines.metrics.base import PIXEL_REGIONS, Metric, derived
from pipelines.metrics.histogram_loops import each_histogram, isotonic
from pipelines.metrics.sources import SCORES


def corp_miscalibration(hist: Float64Array) -> Float64Array:
    """MCB: how much isotonic recalibration lowers the Brier score, (...), in [0, 1]; NaN without pixels."""
    return each_histogram(isotonic, hist, 3)[..., 0]


def corp_discrimination(hist: Float64Array) -> Float64Array:
    """DSC: how much lower the recalibrated score is than that of the mean of y everywhere, (...), in [0, 0.25].

    At most the uncertainty, which a ranking without fault reaches; 0 if p says nothing of y. NaN without pixels.
    """
    return each_histogram(isotonic, hist, 3)[..., 1]


def corp_uncertainty(hist: Float64Array) -> Float64Array:
    """UNC: ȳ (1 - ȳ), the Brier score of the mean of y everywhere, (...), in [0, 0.25]; NaN without pixels."""
    return each_histogram(isotonic, hist, 3)[..., 2]


_CORP = derived(SCORES, "corp", lambda hist: each_histogram(isotonic, hist, 3))

# No foreground: it takes pixels in by their truth, and the isotonic regression of truth on such a selection is flat.
METRICS = (
    Metric(
        name="corp_miscalibration",
        title="Miscalibration (CORP)",
        better="lower",
        description="The part of the Brier score that the best monotone recalibration of p would remove.",
        folded=True,
        source=_CORP,
        value=lambda parts, _: parts[..., 0],
        regions=PIXEL_REGIONS,
    ),
    Metric(
        name="corp_discrimination",
        title="Discrimination (CORP)",
        better="neither",  # more is better, but the best is not a bound: it is the uncertainty of the truth at hand
        description="What telling pixels apart takes off the Brier score, at most the uncertainty; more is better.",
        source=_CORP,
        value=lambda parts, _: parts[..., 1],
        regions=PIXEL_REGIONS,
        bounds=(0.0, 0.25),
    ),
    Metric(
        name="corp_uncertainty",
        title="Uncertainty (CORP)",
        better="neither",
        description="Brier score of always saying the class's share of pixels: the same for both heads.",
        source=_CORP,
        value=lambda parts, _: parts[..., 2],
        regions=PIXEL_REGIONS,
        bounds=(0.0, 0.25),
    ),
)
