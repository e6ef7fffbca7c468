"""Proper scores: Brier score with its parts, and negative log-likelihood."""

from pipelines.arrays import Float64Array
from pipelines.metrics.base import (
    CATEGORICAL,
    NLL,
    PIXEL_REGIONS,
    SCORES,
    SOFT_NLL,
    SOFT_SQUARED_ERROR,
    SQUARED_ERROR,
    Metric,
    Setting,
    derived,
    first_over_second,
    ratio,
)
from pipelines.metrics.kernels import each_histogram, isotonic


def _categorical_nll(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 0], terms[..., 2])


def _discarded_mass(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 1], terms[..., 2])


# Parts of the Brier score ---------------------------------------------------------------------------------------------
#
# The parts of the Brier score: miscalibration - discrimination + uncertainty.
#
# The decomposition of Dimitriadis, Gneiting & Jordan (2021): p is recalibrated by isotonic regression of y on p (the
# pool-adjacent-violators algorithm), so that no bins are chosen and no part is negative. hist: (..., 4, CELLS) float:
# pixels without the class, pixels with it, sums of p over each, by cell of p.
#
# The score decomposed is the Brier score of p rounded to the mean of its cell. It differs from that of p itself by
# Var(p) - 2 Cov(p, y) within cells: the first is at most (1/300)² / 4 = 3 · 10⁻⁶, the second twice that where y follows
# p as it should, and noise in y adds about 10⁻³ / √pixels. With those terms put in, the parts could be negative.


def corp(hist: Float64Array) -> Float64Array:
    """MCB, DSC and UNC, (..., 3): what isotonic recalibration takes off, what the mean of y adds to it, and its score.

    Miscalibration is in [0, 1]; discrimination, at most the uncertainty, which a ranking without fault reaches and 0 if
    p says nothing of y, and uncertainty ȳ (1 - ȳ) are in [0, 0.25]. NaN without pixels.
    """
    return each_histogram(isotonic, hist, 3)


_CORP = derived(SCORES, "corp", corp)


METRICS = (
    Metric(
        name="brier",
        title="Brier score",
        better="lower",
        description="Mean of (p − y)² over pixels, one class against the rest.",
        source=SQUARED_ERROR,
        value=first_over_second,
    ),
    Metric(
        name="nll",
        title="NLL",
        better="lower",
        description="Mean of −log P(y) over pixels in nats, one class against the rest.",
        source=NLL,
        value=first_over_second,
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="soft_brier",
        title="Brier score against soft truth",
        better="lower",
        description="Mean of (p − s)² over pixels, s the share of observers who marked the class.",
        source=SOFT_SQUARED_ERROR,
        value=first_over_second,
        needs="soft",
    ),
    Metric(
        name="soft_nll",
        title="NLL against soft truth",
        better="lower",
        description="Mean of −s log p − (1 − s) log(1 − p) in nats, s the share of observers who marked the class.",
        source=SOFT_NLL,
        value=first_over_second,
        needs="soft",
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="categorical_nll",
        title="Categorical NLL",
        better="lower",
        description="Mean of −log P(true class) in nats; a sigmoid head is read as softmax of its logits.",
        source=CATEGORICAL,
        value=_categorical_nll,
        kinds=("exclusive",),
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="discarded_mass",
        title="Mass off one label",
        better="neither",
        description="Mean probability a sigmoid head gives to no label or several; 0 for softmax by construction.",
        source=CATEGORICAL,
        value=_discarded_mass,
        kinds=("exclusive",),
    ),
    # No foreground: it takes pixels in by their truth, and isotonic regression of truth on such a selection is flat.
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
