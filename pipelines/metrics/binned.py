"""Score histograms to gaps between p and the observed share in equal-width bins: their mean, largest, debiased square.

hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p. Bins are
right-closed, with 0 in the first, and must divide 300; sums of p are exact, so a bin's mean p is that of its pixels.
"""

from pipelines.arrays import Float64Array
from pipelines.counting.grid import bin_edges
from pipelines.metrics.base import Metric
from pipelines.metrics.histogram_loops import binned_gaps, each_histogram
from pipelines.metrics.sources import SCORES


def _gaps(hist: Float64Array, bins: int) -> Float64Array:
    return each_histogram(binned_gaps, hist, 3, bin_edges(bins))


def average_calibration_error(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Mean over non-empty bins of |mean y - mean p|, (...): every bin counts the same, however few its pixels.

    Neumann, Zisserman & Vedaldi (2018); in segmentation Barfoot et al. (2024, mL1-ACE). NaN without pixels.
    Raises ShapeError unless bins divides 300.
    """
    return _gaps(hist, bins)[..., 0]


def maximum_calibration_error(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Largest |mean y - mean p| of the non-empty bins, (...) (Naeini, Cooper & Hauskrecht 2015).

    A bin of one pixel counts as much as any, so expect large values from few pixels. NaN without pixels.
    Raises ShapeError unless bins divides 300.
    """
    return _gaps(hist, bins)[..., 1]


def debiased_ece_l2(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Root of the sum over bins of (n_b / N) [(mean p - mean y)² - mean y (1 - mean y) / (n_b - 1)], at least 0, (...).

    The debiased estimator of Kumar, Liang & Ma (2019), here with equal-width bins. What is subtracted
    is the variance of mean y: without it noise in y passes for miscalibration. A bin with one pixel or less has no such
    estimate and gives 0, its pixels still counting in N. The variance takes pixels as independent; pixels of an image
    are not, so less is subtracted than should be, and the more so in replicates, where repeated images count as new
    pixels. NaN without pixels. Raises ShapeError unless bins divides 300.
    """
    return _gaps(hist, bins)[..., 2]


METRICS = (
    Metric(
        name="average_calibration_error",
        title="Average calibration error",
        better="lower",
        description="Mean gap between p and the observed share over the non-empty bins, each counting the same.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: average_calibration_error(hist, bins=setting.bins),
    ),
    Metric(
        name="maximum_calibration_error",
        title="Maximum calibration error",
        better="lower",
        description="Largest gap between p and the observed share in a bin, however few its pixels.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: maximum_calibration_error(hist, bins=setting.bins),
    ),
    Metric(
        name="debiased_ece_l2",
        title="Debiased ECE (root mean square)",
        better="lower",
        description="Root mean square gap less what noise in the truth alone gives, pixels taken as independent.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: debiased_ece_l2(hist, bins=setting.bins),
    ),
)
