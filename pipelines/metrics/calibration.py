"""Score counts to calibration error over equal-width bins of p."""

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting.grid import bin_edges
from pipelines.metrics.base import Metric, Setting, image_mean, ratio
from pipelines.metrics.histogram_loops import bin_sums, each_histogram
from pipelines.metrics.sources import SCORES, TOP


def binned(hist: Float64Array, *, bins: int) -> Float64Array:
    """Score counts (..., 4, CELLS) to (..., bins, 3): pixels, pixels that are positive, sum of p in each bin of p.

    Bins are right-closed and of equal width; bins must divide 300.
    """
    sums = each_histogram(bin_sums, hist, 3 * bins, bin_edges(bins))
    return sums.reshape(*sums.shape[:-1], bins, 3)


def expected_calibration_error(hist: Float64Array, setting: Setting) -> Float64Array:
    """Sum over bins of (n_b / N) |mean y - mean p|, from score counts (..., 4, CELLS); NaN without pixels."""
    return ece_of_bins(binned(hist, bins=setting.bins))


def ece_of_bins(bins: Float64Array) -> Float64Array:
    """The same from (..., bins, 3): pixels, positives, sum of p.

    n_b cancels: it is the sum over bins of |sum y - sum p| / N (Naeini et al. 2015, for one class against the rest).
    """
    gaps = np.abs(bins[..., 1] - bins[..., 2]).sum(axis=-1)
    return ratio(gaps, bins[..., 0].sum(axis=-1))


def gaps(hist: Float64Array, setting: Setting) -> Float64Array:
    """(Σy − Σp) / N of each bin, (..., bins): their absolute values add up to the ECE. NaN without pixels."""
    bins = binned(hist, bins=setting.bins)
    return ratio(bins[..., 1] - bins[..., 2], bins[..., 0].sum(axis=-1, keepdims=True))


CLASSWISE_ECE = Metric(
    name="classwise_ece",
    title="Classwise ECE",
    better="lower",
    description="Mean gap between p and the observed share, weighted by pixels, in equal bins of a class's p.",
    source=SCORES,
    value=expected_calibration_error,
    gaps=gaps,
)
TOP_LABEL_ECE = Metric(
    name="top_label_ece",
    title="Top-label ECE",
    better="lower",
    description="Mean gap between the largest p and the share of pixels whose argmax is right, in equal bins.",
    source=TOP,
    value=expected_calibration_error,
    gaps=gaps,
    kinds=("exclusive",),
)

METRICS = (
    CLASSWISE_ECE,
    image_mean(
        CLASSWISE_ECE, name="classwise_ece_image_mean", title="Classwise ECE, mean over images",
        description="Mean of the images' own classwise ECE: what one image must reckon with, and far above the pooled.",
    ),
    TOP_LABEL_ECE,
    image_mean(
        TOP_LABEL_ECE, name="top_label_ece_image_mean", title="Top-label ECE, mean over images",
        description="Mean of the images' own top-label ECE.",
    ),
)  # fmt: skip
